/* Songs of this visit: one is separated at a time, the others wait. All of it is gone with the page. */
"use strict";

(function () {
  const COLUMNS = 1600; // of waveforms
  const PIECE_S = 10;
  const FADE_S = 0.01;
  const { element, clock } = partita;

  class Song {
    constructor(id, file) {
      Object.assign(this, { id, name: file.name.replace(/\.[^.]+$/, "") || file.name, file, stems: new Map(), loudest: 0 });
    }

    /** Take a block of the stems: what is in memory becomes a Blob. */
    take(blocks, names) {
      const at = this.separated || 0;
      blocks.forEach((block, n) => {
        if (!this.stems.has(names[n])) this.stems.set(names[n], { parts: [], peaks: new Float32Array(COLUMNS) });
        const { parts, peaks } = this.stems.get(names[n]);
        parts.push(new Blob([partita.interleaved(block)]));
        for (const samples of block) {
          samples.forEach((value, i) => {
            const column = Math.floor(((at + i) * COLUMNS) / this.samples);
            peaks[column] = Math.max(peaks[column], Math.abs(value));
          });
        }
      });
      this.separated = at + blocks[0][0].length;
    }

    finish() {
      for (const stem of this.stems.values()) {
        stem.pcm = new Blob(stem.parts);
        delete stem.parts;
        this.loudest = Math.max(this.loudest, ...stem.peaks);
      }
    }

    /** Song and separation as the player of partita serve takes them. */
    forPlayer({ name: model, sampleRate }) {
      const bytesOf = (peaks) => String.fromCharCode(...peaks.map((peak) => Math.round(255 * Math.min(1, peak))));
      const stems = [...this.stems].map(([name, { peaks, pcm }]) => ({ name, peaks: btoa(bytesOf(peaks)), size: pcm.size }));
      const player = { samples: this.samples, sampleRate, piece: PIECE_S * sampleRate, fade: Math.round(FADE_S * sampleRate) };
      return {
        song: { id: this.id, name: this.name, duration_s: this.seconds, sample_rate: sampleRate, player },
        job: { id: this.id, model, result: { stems, gain_db: 0, null_depth_db: this.nullDepthDb, quality: null, warnings: [] } },
      };
    }
  }

  class Songs {
    /** @param list  the <ul> that shows them
     * @param facts  model.json
     * @param tell  shows one sentence
     */
    constructor(list, facts, tell) {
      Object.assign(this, { list, facts, tell, rows: [], number: 0, worker: null, running: null });
    }

    add(files) {
      for (const file of files) {
        const row = new Row(new Song(String(++this.number), file), (row) => this._drop(row));
        this.rows.push(row);
        this.list.append(row.item);
      }
      this._next();
    }

    get isBusy() {
      return this.running !== null;
    }

    /** For the player: a separation by its number. */
    async find(id) {
      const row = this.rows.find((each) => each.song.id === id && each.isDone);
      if (!row) throw new Error("This song is not here any more: it was separated in another visit.");
      return row.song.forPlayer(this.facts);
    }

    /** For the player: a piece of the song, songs/ID/NUMBER, or of a stem, jobs/ID/stems/NAME/NUMBER. */
    async loadPiece(base, key) {
      const [, id, stem, number] = /^(?:songs|jobs)\/(\d+)(?:\/stems\/(.+))?\/(\d+)$/.exec(key);
      const { song } = this.rows.find((each) => each.song.id === id);
      const pcm = stem === undefined ? song.pcm : song.stems.get(decodeURIComponent(stem)).pcm;
      const { sampleRate } = this.facts;
      const from = Number(number) * PIECE_S * sampleRate;
      const to = Math.min(song.samples, from + PIECE_S * sampleRate + Math.round(FADE_S * sampleRate));
      const wav = await partita.wavOf(pcm.slice(8 * from, 8 * to), sampleRate, 32);
      return { head: { lead: 0, delay: 0, frames: to - from }, bytes: await wav.arrayBuffer() };
    }

    songOf(id) {
      return this.rows.find((each) => each.song.id === id).song;
    }

    _drop(row) {
      this.rows = this.rows.filter((each) => each !== row);
      row.item.remove();
      if (this.running !== row) return;
      this._end();
      this._next();
    }

    /* What runs ends with its thread; the next song loads the models from the browser's cache. */
    _end() {
      if (this.worker) this.worker.terminate();
      this.worker = this.running = null;
    }

    async _next() {
      const row = this.rows.find((each) => each.isWaiting);
      if (this.running || !row) return;
      this.running = row;
      row.isWaiting = false;
      try {
        await this._separate(row);
        if (this.running === row) row.finish();
      } catch (error) {
        if (this.running === row) row.fail(error.message);
      }
      if (this.running !== row) return; // cancelled
      this.running = null;
      if (row.isDone && this.rows.length === 1 && !location.hash.startsWith("#/song")) location.hash = `#/song/${row.song.id}`;
      this._next();
    }

    async _separate(row) {
      const { song } = row;
      row.show("is read");
      Object.assign(song, await partita.decode(song.file, this.facts.sampleRate));
      if (this.running !== row) return;
      if (!song.samples) throw new Error("The file has no sound.");
      const began = performance.now();
      this.worker ||= new Worker("worker.js", { type: "module" });
      song.nullDepthDb = await new Promise((resolve, reject) => {
        this.worker.onerror = (event) => {
          event.preventDefault();
          this.worker = null;
          reject(new Error("The page's scripts cannot be loaded: keep the page's folder together."));
        };
        this.worker.onmessage = ({ data }) => {
          if (data.kind === "done") resolve(data.nullDepthDb);
          else if (data.kind === "failed") reject(new Error(data.reason));
          else if (data.kind === "block") song.take(data.stems, this.facts.sources);
          else row.progress(data.kind, data.share);
        };
        this.worker.postMessage({ pcm: song.pcm, samples: song.samples, isMono: song.isMono });
      });
      song.finish();
      song.tookS = (performance.now() - began) / 1000;
    }
  }

  class Row {
    constructor(song, drop) {
      Object.assign(this, { song, isWaiting: true, isDone: false });
      this.bar = element("progress", { max: 1, value: 0, "aria-label": `Separation of ${song.name}` });
      this.text = element("p", { class: "state" }, "waits");
      this.length = element("span", { class: "length muted" });
      this.button = element("button", { type: "button", class: "quiet", click: () => drop(this) }, "Cancel");
      this.button.setAttribute("aria-label", `Cancel ${song.name}`);
      this.line = element("div", { class: "job" }, this.bar, this.text);
      this.item = element("li", { class: "song" },
        element("div", { class: "song-head" }, element("p", { class: "song-name" }, song.name), this.length, this.button),
        this.line);
    }

    show(text) {
      this.text.textContent = text;
    }

    progress(kind, share) {
      const now = performance.now();
      if (kind !== this.kind) Object.assign(this, { kind, begun: now, from: kind === "loading" ? 0 : share });
      this.bar.value = share;
      const whole = Math.round(100 * share);
      if (kind === "loading") return this.show(`loads the model: ${whole} %`);
      if (this.song.seconds) this.length.textContent = clock(this.song.seconds);
      const rate = (share - this.from) / (now - this.begun);
      const left = share > this.from && share < 1 ? `, about ${clock(Math.ceil((1 - share) / rate / 1000))} left` : "";
      return this.show(`separates: ${whole} %${left}`);
    }

    finish() {
      const { song } = this;
      this.isDone = true;
      this.bar.remove();
      this.length.textContent = clock(song.seconds);
      this.show(`separated in ${clock(song.tookS)}`);
      this.line.prepend(element("a", { class: "open", href: `#/song/${song.id}`, "aria-label": `Open ${song.name}` }, "Open"));
      this._calm("Remove");
    }

    fail(why) {
      this.bar.remove();
      this.show(why);
      this.text.className = "state problem";
      this.text.setAttribute("role", "alert");
      this._calm("Dismiss");
    }

    _calm(label) {
      this.button.textContent = label;
      this.button.setAttribute("aria-label", `${label} ${this.song.name}`);
    }
  }

  partita.Songs = Songs;
})();
