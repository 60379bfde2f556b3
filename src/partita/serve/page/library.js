/* The library: songs with their separations, and the model for new ones. */
"use strict";

(function () {
  const { element, sureButton } = partita;
  const PHASES = { loading: "loads the model", fetching: "fetches the model's weights", separating: "separates", writing: "writes the stems", estimating: "estimates their quality" };
  const USE = new Map([[true, "commercial use allowed"], [false, "no commercial use"], [null, "commercial use unclear"]]);

  /** What a model is, in a sentence. */
  function factsOf(model) {
    const facts = [model.stems.join(", ")];
    facts.push(model.licence ? `licence: ${model.licence} (${USE.get(model.commercial_use)})` : "needs no weights");
    if (model.sdr_db !== null) facts.push(`SDR ${model.sdr_db.toFixed(1)} dB`);
    if (model.speed) facts.push(`about ${model.speed.toFixed(model.speed < 10 ? 1 : 0)}× real time on two cores`);
    if (model.download_bytes) facts.push(`${partita.bytes(model.download_bytes)} are fetched first`);
    return facts.join(" · ");
  }

  class ModelChoice {
    constructor(select, facts, models) {
      this.select = select;
      const byUse = [models.filter((model) => model.recommended), models.filter((model) => !model.recommended)];
      ["Recommended", "Others"].forEach((label, n) => {
        const options = byUse[n].map((model) =>
          element("option", { value: model.name }, model.name + (model.recommended ? ` – ${model.recommended}` : "")));
        if (options.length) select.append(element("optgroup", { label }, ...options));
      });
      const kept = localStorage.getItem("model");
      if (models.some((model) => model.name === kept)) select.value = kept;
      const show = () => (facts.textContent = factsOf(models.find((model) => model.name === select.value)));
      select.addEventListener("change", () => {
        localStorage.setItem("model", select.value);
        show();
      });
      show();
    }

    get name() {
      return this.select.value;
    }
  }

  class Library {
    constructor(list, store, choice, tell) {
      Object.assign(this, { list, store, choice, tell, rows: new Map() });
      store.addEventListener("change", (event) => this._update(event.songs));
    }

    _update(ids) {
      for (const id of ids) {
        const song = this.store.songs.get(id);
        if (!song) {
          if (this.rows.has(id)) this.rows.get(id).item.remove();
          this.rows.delete(id);
          continue;
        }
        if (!this.rows.has(id)) this._insert(song);
        this.rows.get(id).show(this.store.jobsOf(song), song.music);
      }
      document.getElementById("empty").hidden = this.store.songs.size > 0;
    }

    _insert(song) {
      const row = new SongRow(song, this);
      const newer = [...this.rows.values()].filter((each) => each.song.added_at < song.added_at);
      newer.sort((one, other) => other.song.added_at - one.song.added_at);
      if (newer.length) newer[0].item.before(row.item);
      else this.list.append(row.item);
      this.rows.set(song.id, row);
    }

    /** Do something on the server, and say so if it fails. */
    async act(promise) {
      try {
        await promise;
        this.tell("");
      } catch (error) {
        this.tell(error.message);
      }
    }
  }

  class SongRow {
    constructor(song, library) {
      Object.assign(this, { song, library, jobs: new Map() });
      const { server } = partita;
      const again = () => {
        const model = library.choice.name;
        const isOn = library.store.jobsOf(song).some((job) => job.model === model && ["queued", "running"].includes(job.state));
        if (isOn) library.tell(`${song.name} waits for ${model} already.`);
        else library.act(server.post(`/api/songs/${song.id}/jobs`, { model }, server.newKey()));
      };
      const separate = element("button", { type: "button", class: "quiet", click: again }, "Separate");
      separate.title = "With the model that is chosen above";
      const remove = sureButton("Delete", "Delete for good?", () => library.act(server.delete(`/api/songs/${song.id}`)));
      for (const [button, verb] of [[separate, "Separate"], [remove, "Delete"]]) button.setAttribute("aria-label", `${verb} ${song.name}`);
      this.facts = element("span", { class: "muted length" });
      this.list = element("ul", { class: "jobs", "aria-label": `Separations of ${song.name}` });
      this.item = element("li", { class: "song" },
        element("div", { class: "song-head" },
          element("p", { class: "song-name" }, song.name),
          this.facts,
          element("span", { class: "muted length" }, partita.clock(song.duration_s)),
          element("span", { class: "buttons" }, separate, remove)),
        this.list);
    }

    show(jobs, music) {
      const { tempo_bpm: tempo, key } = music || {};
      this.facts.textContent = [tempo && `${Math.round(tempo)} BPM`, key].filter(Boolean).join(" · ");
      const there = new Set(jobs.map((job) => job.id));
      for (const [id, row] of this.jobs) {
        if (there.has(id)) continue;
        row.item.remove();
        this.jobs.delete(id);
      }
      for (const job of jobs) {
        if (!this.jobs.has(job.id)) {
          const row = new JobRow(this.library, this.song);
          this.jobs.set(job.id, row);
          this.list.append(row.item);
        }
        this.jobs.get(job.id).show(job);
      }
    }
  }

  class JobRow {
    constructor(library, song) {
      Object.assign(this, { library, song, shown: "" });
      this.item = element("li", { class: "job" });
    }

    show(job) {
      const stays = `${job.state} ${job.error}`;
      if (stays !== this.shown) this._build(job);
      this.shown = stays;
      if (job.state !== "running") return;
      this.text.textContent = PHASES[job.phase] || "";
      if (job.progress === null || job.phase === "writing") this.bar.removeAttribute("value");
      else {
        this.bar.value = job.progress;
        this.text.textContent += ` · ${Math.floor(100 * job.progress)} %`;
      }
    }

    _build(job) {
      const hadFocus = this.item.contains(document.activeElement);
      const path = `/api/jobs/${job.id}`;
      const { server } = partita;
      const act = (label, run) => {
        const button = element("button", { type: "button", class: "quiet", click: () => this.library.act(run()) }, label);
        button.setAttribute("aria-label", `${label}: ${this.song.name}, ${job.model}`);
        return button;
      };
      const name = element("span", { class: "job-model" }, job.model);
      this.text = element("span", { class: "state" });
      this.bar = element("progress", { max: 1, "aria-label": `${this.song.name}, ${job.model}` });
      const remove = () => sureButton("Remove", "Remove its stems?", () => this.library.act(server.delete(path)));
      const parts = {
        queued: () => [name, (this.text.textContent = "waits", this.text), act("Cancel", () => server.post(`${path}/cancel`))],
        running: () => [name, this.bar, this.text, act("Cancel", () => server.post(`${path}/cancel`))],
        done: () => [this._open(job), element("span", { class: "state" }, job.result.stems.map((stem) => stem.name).join(", ")), remove()],
        failed: () => [name, element("span", { class: "state problem" }, job.error), act("Retry", () => server.post(`${path}/retry`)), remove()],
        cancelled: () => [name, element("span", { class: "state" }, "cancelled"), act("Retry", () => server.post(`${path}/retry`)), remove()],
      };
      this.item.className = `job ${job.state}`;
      this.item.replaceChildren(...parts[job.state]());
      const next = this.item.querySelector("a, button");
      if (hadFocus && next) next.focus();
    }

    _open(job) {
      const link = element("a", { class: "open", href: `#/song/${job.id}` }, "Listen");
      link.setAttribute("aria-label", `Listen: ${this.song.name}, ${job.model}`);
      return element("span", { class: "job-model" }, link, ` ${job.model}`);
    }
  }

  Object.assign(partita, { ModelChoice, Library, factsOf });
})();
