/* The player of a separated song: all stems on one clock, as loud and where a person wants them. Pages that
 * partita exports carry it too, without a server: export/web/site.py names the scripts that it needs.
 */
"use strict";

(function () {
  const SEEK_S = 5;
  const FINE_SEEK_S = 1;
  const ZOOM_S = 20;
  const MOST_SUSPECTS = 5;
  const MIXTURE = "\0mixture"; // a stem may be called anything
  const { clock, element } = partita;
  const $ = (id) => document.getElementById(id);

  class Player {
    /** @param headroom  by what pieces are quieter
     * @param models  name → facts
     * @param source  where separations come from: find(id) promises {job, song}, loadPiece is for pieces.js;
     *     correct(song, correction) promises the song, if it can be put right
     * @param keys  names of all keys, see music.js
     * @param findsTempo  whether the source estimates tempo and key
     */
    constructor({ headroom, models, source, keys = [], findsTempo = true }) {
      Object.assign(this, { headroom, models, source, findsTempo, engine: null, job: null, turn: 0 });
      this.lanes = new partita.Lanes($("lanes"), {
        seek: (time) => this.engine.seek(time),
        mark: (region, isFinal) => this.setRegion(region, isFinal),
        choose: (lane) => this.choose(lane),
        tell: (text) => this.tell(text),
      });
      this.music = new partita.Music(this, source, keys);
      this.exports = new partita.Exports(this);
      this._listen();
    }

    /** Show a separation; fails with one sentence. */
    async open(id) {
      this.close();
      const { turn } = this;
      const { job, song } = await this.source.find(id);
      if (turn !== this.turn) return; // somewhere else meanwhile
      Object.assign(this, { job, song, region: null, isLooping: false, isNull: false, isOriginal: false });
      this._tellFacts();
      const { samples, ...coding } = song.player;
      this.engine = new partita.Engine("", coding, (base, key) => this.music.loadPiece(key) || this.source.loadPiece(base, key));
      this.engine.addEventListener("change", () => this.render());
      this.engine.addEventListener("error", (event) => this.tell(event.message));
      const pieces = Math.ceil(samples / coding.piece);
      const signal = (folder) => ({ folder, samples, pieces, scale: this.headroom });
      const signals = { [MIXTURE]: signal(`songs/${song.id}`) };
      for (const stem of job.result.stems) {
        const folder = `jobs/${job.id}/stems/${encodeURIComponent(stem.name)}`;
        signals[stem.name] = { ...signal(folder), peaks: stem.peaks, peak: 1 };
      }
      this.engine.load(signals);
      this.engine.volume = $("volume").value / 100;
      const lanes = job.result.stems.map((stem, n) => new partita.Lane(stem, n, () => this._balanceChanged()));
      this.lanes.load(lanes, job.result.stems.map((stem) => signals[stem.name]), this.engine.duration, this.engine.pieces);
      this.choose(lanes[0]);
      this._setTempo(1, 0);
      this.music.open(song.music, this.findsTempo);
      this.tell("");
      this._tellQuality();
      this.exports.open(job, song).catch((error) => this.tell(error.message));
      this._heardChanged();
      this._warm();
      this._frame();
    }

    /** Leave the song; nothing of it plays on. */
    close() {
      this.turn++;
      if (!this.engine) return;
      this.music.close();
      this.engine.pause();
      if (this.engine.context) this.engine.context.close();
      this.engine = null;
      cancelAnimationFrame(this.frame);
      this.lanes.load([], [], 1, null);
      for (const id of ["song-name", "song-facts", "downloads", "player-status", "suspects"]) $(id).replaceChildren();
    }

    tell(text) {
      $("player-status").textContent = text;
    }

    choose(lane) {
      this.chosen = lane;
      for (const each of this.lanes.lanes) each.item.classList.toggle("chosen", each === lane);
    }

    /** Show what another page, or another separation, has told of the song. */
    async songChanged(songs, ids) {
      if (!this.engine || !ids.has(this.song.id) || !songs.has(this.song.id)) return;
      if (this.music.knows(songs.get(this.song.id).music)) return;
      const { engine } = this;
      const found = await this.source.find(this.job.id).catch(() => null);
      if (found && engine === this.engine) this.music.learn(found.song.music || null);
    }

    /** The click is another signal, of other beats. */
    beatsChanged() {
      if (!this.engine) return;
      const { samples, piece } = this.song.player;
      const signal = { folder: `click/${this.music.version}`, samples, pieces: Math.ceil(samples / piece), scale: 1 };
      if (this.music.hasBeats) this.engine.signals.set(this.music.signal, signal);
      this.lanes.setBeats(this.music.hasBeats ? this.music.found : null);
      this._heardChanged();
    }

    clickChanged() {
      this._heardChanged();
    }

    playOrPause() {
      if (this.engine.playing) this.engine.pause();
      else this.engine.play();
    }

    setRegion(region, isFinal) {
      this.region = region && region.end - region.start >= 0.1 ? region : null;
      if (isFinal) this._setLoop(Boolean(this.region));
      else this.render();
    }

    toggleLoop() {
      if (!this.region) this.region = { start: 0, end: this.engine.duration };
      this._setLoop(!this.isLooping);
    }

    toggleNull() {
      this.isNull = !this.isNull;
      this.isOriginal = false;
      const depth = this.job.result.null_depth_db;
      const level = depth === null ? "" : `: ${depth.toFixed(0).replace("-", "−")} dB relative to the song`;
      this.tell(this.isNull ? `What remains when all stems are taken from the song${level}.` : "");
      this._heardChanged();
    }

    toggleOriginal() {
      this.isOriginal = !this.isOriginal;
      this.isNull = false;
      this.tell("");
      this._heardChanged();
    }

    /** Show the region, or the seconds around the cursor; then all of the song again. */
    toggleZoom() {
      const start = this.engine.time - ZOOM_S / 4;
      if (this.lanes.isZoomed) this.lanes.zoom(null);
      else this.lanes.zoom(this.region || { start, end: start + ZOOM_S });
      this.render();
    }

    togglePictures() {
      this.lanes.hasPictures = !this.lanes.hasPictures;
      this.lanes.draw();
      this.render();
    }

    reset() {
      for (const lane of this.lanes.lanes) lane.reset();
      this.isNull = this.isOriginal = false;
      this._setTempo(1, 0);
      this._balanceChanged();
    }

    isHeard(lane) {
      return this.lanes.lanes.some((each) => each.isSolo) ? lane.isSolo : !lane.isMuted;
    }

    /* What else the page draws, which follows the audio clock. */
    _frame() {
      this.frame = requestAnimationFrame(() => this._frame());
      if (!this.engine.playing) return;
      const { start, end } = this.lanes.view;
      const { time } = this.engine;
      if (this.lanes.isZoomed && (time < start || time > end)) this.lanes.zoom({ start: time, end: time + end - start });
      this._showTime();
    }

    _showTime() {
      $("time").textContent = clock(this.engine.time, 1);
      this.lanes.show(this.engine.time, this.region, this.isLooping);
    }

    render() {
      const isPlaying = this.engine.playing;
      $("play").classList.toggle("playing", isPlaying);
      $("play").setAttribute("aria-label", isPlaying ? "Pause" : "Play");
      $("loop").setAttribute("aria-pressed", this.isLooping);
      $("zoom").setAttribute("aria-pressed", this.lanes.isZoomed);
      $("pictures").setAttribute("aria-pressed", this.lanes.hasPictures);
      $("null").setAttribute("aria-pressed", this.isNull);
      $("original").setAttribute("aria-pressed", this.isOriginal);
      for (const lane of this.lanes.lanes) lane.item.classList.toggle("silent", this.isNull || this.isOriginal || !this.isHeard(lane));
      this._showTime();
    }

    _setLoop(isLooping) {
      this.isLooping = isLooping;
      this.engine.setLoop(isLooping ? this.region : null);
      this.render();
    }

    _balanceChanged() {
      this.isNull = this.isOriginal = false;
      for (const lane of this.lanes.lanes) {
        if (lane.place !== 0 || this.engine.pans.has(lane.stem.name)) this.engine.setPan(lane.stem.name, lane.place);
      }
      this._heardChanged();
    }

    _heardChanged() {
      this.engine.setMix(this._mix());
      this.render();
    }

    /* Stems may be quieter than in the song, so that they do not clip. */
    _mix() {
      const made = 10 ** (this.job.result.gain_db / 20);
      const click = { [this.music.signal]: this.music.clickLevel };
      if (this.isOriginal) return { [MIXTURE]: 1, ...click };
      const levels = this.lanes.lanes.map((lane) => [lane, this.isNull ? -1 : this.isHeard(lane) ? lane.level : 0]);
      const mix = Object.fromEntries(levels.map(([lane, level]) => [lane.stem.name, level / made]));
      if (!this.isNull) Object.assign(mix, click);
      if (this.isNull) {
        for (const lane of this.lanes.lanes) this.engine.setPan(lane.stem.name, 0);
        mix[MIXTURE] = 1;
      } else {
        for (const lane of this.lanes.lanes) if (this.engine.pans.has(lane.stem.name)) this.engine.setPan(lane.stem.name, lane.place);
      }
      return mix;
    }

    /* The beginning is decoded before anybody plays, what may be switched to while it plays. */
    _warm() {
      const { engine } = this;
      const names = [...this.job.result.stems.map((stem) => stem.name), MIXTURE];
      engine.warm(names);
      for (const name of names) engine.pieces.get(engine.signals.get(name), 0).catch((error) => this.tell(error.message));
    }

    async _setTempo(speed, semitones) {
      $("speed").value = 100 * speed;
      $("pitch").value = semitones;
      $("speed-value").textContent = `${Math.round(100 * speed)} %`;
      $("pitch-value").textContent = `${semitones > 0 ? "+" : ""}${semitones}`.replace("-", "−");
      try {
        await partita.setTempo(this.engine, speed, semitones);
      } catch (error) {
        this.tell(error.message);
      }
      this.music.render();
    }

    _tellFacts() {
      const { job, song } = this;
      document.title = `${song.name} – partita`;
      $("song-name").textContent = song.name;
      const model = this.models.get(job.model);
      const facts = [clock(song.duration_s), `${song.sample_rate / 1000} kHz`, job.model];
      if (model && model.licence) facts.push(`licence of the model: ${model.licence}`);
      if (job.result.gain_db < -0.005) facts.push(`stems ${job.result.gain_db.toFixed(1).replace("-", "−")} dB against clipping`);
      $("song-facts").textContent = [...facts, ...job.result.warnings].join(" · ");
    }

    /* Beside each stem how good it probably is; below, seconds to listen to. */
    _tellQuality() {
      const { quality } = this.job.result;
      const round = (value) => String(Math.round(value)).replace("-", "−");
      for (const lane of this.lanes.lanes) {
        const found = quality && quality.stems[lane.stem.name];
        if (!found || found.sdr_db === null || !found.known_stem) continue;
        const [low, high] = found.intervals_db["80"];
        const estimate = `SDR about ${round(found.sdr_db)} dB (${round(low)} to ${round(high)})`;
        lane.tellQuality(found.quiet ? "quiet: the song may not have it" : estimate);
      }
      const suspects = quality ? quality.suspects : [];
      const worst = [...suspects].sort((one, other) => (other.drop_db || 0) - (one.drop_db || 0)).slice(0, MOST_SUSPECTS);
      worst.sort((one, other) => one.start_s - other.start_s);
      const buttons = worst.map((each) =>
        element("button", { type: "button", class: "quiet", click: () => this.engine.seek(each.start_s) },
          `${clock(each.start_s)} ${each.stem || "all stems"}: ${each.reason}`));
      $("suspects").replaceChildren(...(buttons.length ? ["Listen closely:", ...buttons] : []));
    }

    _listen() {
      const on = (id, act, type = "click") => $(id).addEventListener(type, () => this.engine && act());
      on("play", () => this.playOrPause());
      on("loop", () => this.toggleLoop());
      on("null", () => this.toggleNull());
      on("original", () => this.toggleOriginal());
      on("zoom", () => this.toggleZoom());
      on("pictures", () => this.togglePictures());
      on("reset", () => this.reset());
      on("volume", () => (this.engine.volume = $("volume").value / 100), "input");
      for (const id of ["speed", "pitch"]) on(id, () => this._setTempo($("speed").value / 100, Number($("pitch").value)), "input");
      this.isPointed = true; // the focus came by a click: space is then for the player, not the button
      document.addEventListener("pointerdown", () => (this.isPointed = true), true);
      document.addEventListener("keydown", (event) => this._key(event));
      document.addEventListener("keyup", (event) => {
        if (this.engine && event.key === " " && !isTaken(event.target, " ", this.isPointed)) event.preventDefault(); // Firefox
      });
    }

    _key(event) {
      if (event.key === "Tab") this.isPointed = false;
      if (!this.engine || event.ctrlKey || event.metaKey || event.altKey) return;
      const { lanes } = this.lanes;
      const step = (by) => this.choose(lanes[Math.max(0, Math.min(lanes.length - 1, lanes.indexOf(this.chosen) + by))]);
      const move = (sign) => this.engine.seek(this.engine.time + sign * (event.shiftKey ? FINE_SEEK_S : SEEK_S));
      const keys = {
        " ": () => this.playOrPause(),
        ArrowLeft: () => move(-1),
        ArrowRight: () => move(1),
        ArrowUp: () => step(-1),
        ArrowDown: () => step(1),
        m: () => this.chosen.toggle("isMuted"),
        s: () => this.chosen.toggle("isSolo"),
        l: () => this.toggleLoop(),
        n: () => this.toggleNull(),
        o: () => this.toggleOriginal(),
        z: () => this.toggleZoom(),
        v: () => this.togglePictures(),
        b: () => this.music.startBar(),
        c: () => this.music.toggleCountIn(),
        k: () => this.music.toggleClick(),
        Escape: () => this.setRegion(null, true),
      };
      lanes.slice(0, 9).forEach((lane, n) => (keys[n + 1] = () => lane.toggle("isSolo")));
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (!Object.hasOwn(keys, key) || isTaken(event.target, key, this.isPointed)) return;
      event.preventDefault();
      keys[key]();
    }
  }

  /* Whether an element that has the focus needs a key itself. */
  function isTaken(target, key, isPointed) {
    if (target.matches("select, textarea, input:not([type=range])")) return true;
    if (target.matches("input[type=range]")) return key.startsWith("Arrow");
    return key === " " && !isPointed && target.matches("button, summary, a");
  }

  partita.Player = Player;
})();
