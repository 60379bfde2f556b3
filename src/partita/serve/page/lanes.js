/* One lane a stem: its level, place and waveform; a cursor and a region lie over all of them. */
"use strict";

(function () {
  const { element } = partita;
  const SHORTEST_DRAG_PX = 5;
  const LOWEST_DB = -40;
  const SHORTEST_VIEW_S = 1;
  const CLOSEST_BEATS_PX = 12;

  /** Level of a slider from 0 to 100 % and on to +6 dB; 0: silence. */
  function levelOf(decibels) {
    return decibels <= LOWEST_DB ? 0 : 10 ** (decibels / 20);
  }

  const shownDecibels = (value) => (value <= LOWEST_DB ? "off" : `${value > 0 ? "+" : ""}${value} dB`.replace("-", "−"));

  function shownPan(value) {
    if (value === 0) return "middle";
    return `${Math.abs(value)} % ${value < 0 ? "left" : "right"}`;
  }

  class Lane {
    /** @param changed  called when the level, place, mute or solo is another */
    constructor(stem, number, changed) {
      Object.assign(this, { stem, isMuted: false, isSolo: false, changed });
      this.hue = `--hue-${number % 8}`;
      this.mute = this._toggle("M", "Mute", "isMuted");
      this.solo = this._toggle("S", "Solo", "isSolo");
      this.gain = this._slider("Level", LOWEST_DB, 6, 1, shownDecibels);
      this.pan = this._slider("Pan", -100, 100, 5, shownPan);
      this.canvas = element("canvas", { class: "wave", "aria-hidden": "true" });
      this.view = element("div", { class: "lane-view" }, this.canvas);
      this.head = element("div", { class: "lane-head" },
        element("span", { class: `stem hue-${number % 8}` }, stem.name),
        element("span", { class: "pair" }, this.mute, this.solo), this.gain.label, this.pan.label);
      this.item = element("div", { class: "lane", role: "group", "aria-label": stem.name }, this.head, this.view);
    }

    get level() {
      return levelOf(Number(this.gain.input.value));
    }

    get decibels() {
      return Number(this.gain.input.value);
    }

    get place() {
      return Number(this.pan.input.value) / 100;
    }

    toggle(name) {
      this[name] = !this[name];
      this.render();
      this.changed();
    }

    tellQuality(text) {
      const line = element("span", { class: "quality", title: "Estimated without references; in 80 of 100 songs it lies in that range" }, text);
      this.head.append(line);
    }

    reset() {
      this.isMuted = this.isSolo = false;
      for (const slider of [this.gain, this.pan]) slider.set(0);
      this.render();
    }

    render() {
      this.mute.setAttribute("aria-pressed", this.isMuted);
      this.solo.setAttribute("aria-pressed", this.isSolo);
    }

    /** Draw what lies in a stretch of time.
     *
     * @param state  {view: {start, end}, seconds: of the song, loudest, hasPictures, pieces}
     */
    async draw(signal, state) {
      const wanted = (this.drawn = {});
      const isWanted = () => this.drawn === wanted;
      const { width, height } = this.view.getBoundingClientRect();
      const scale = window.devicePixelRatio || 1;
      this.canvas.width = Math.max(1, Math.round(width * scale));
      this.canvas.height = Math.max(1, Math.round(height * scale));
      const context = this.canvas.getContext("2d");
      const hue = getComputedStyle(document.documentElement).getPropertyValue(this.hue);
      if (state.hasPictures) return partita.drawSpectrogram(context, state.pieces, signal, state.view, isWanted);
      partita.drawWaveform(context, signal, { ...state, hue });
      return partita.refineWaveform(context, state.pieces, signal, { ...state, hue }, isWanted);
    }

    _toggle(letter, label, name) {
      const button = element("button", { type: "button", "aria-pressed": "false", title: label, click: () => this.toggle(name) }, letter);
      button.setAttribute("aria-label", `${label} ${this.stem.name}`);
      return button;
    }

    _slider(name, min, max, step, shown) {
      const input = element("input", { type: "range", min, max, step, value: 0, "aria-label": `${name} of ${this.stem.name}` });
      const output = element("output", {});
      const set = (value) => {
        input.value = value;
        output.textContent = shown(Number(input.value));
        input.setAttribute("aria-valuetext", output.textContent);
      };
      input.addEventListener("input", () => {
        set(input.value);
        this.changed();
      });
      input.addEventListener("dblclick", () => {
        set(0);
        this.changed();
      });
      set(0);
      return { input, set, label: element("label", { class: "slider", title: "Double click: back to the middle" }, name, input, output) };
    }
  }

  /** All lanes: where a pointer goes, a click seeks, and a drag marks a region. */
  class Lanes {
    constructor(frame, { seek, mark, choose, tell }) {
      Object.assign(this, { frame, seek, mark, choose, tell, lanes: [], seconds: 1, view: { start: 0, end: 1 } });
      this.cursor = frame.querySelector(".cursor");
      this.shade = frame.querySelector(".region");
      this.beats = null;
      this.grid = frame.querySelector(".grid");
      this.dragged = null;
      frame.addEventListener("pointerdown", (event) => this._down(event));
      frame.addEventListener("pointermove", (event) => this._move(event));
      for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, (event) => this._up(event));
      new ResizeObserver(() => this.draw()).observe(frame);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    /** Take the lanes of a song, their signals, and what holds the pieces of these. */
    load(lanes, signals, seconds, pieces) {
      for (const lane of this.lanes) lane.item.remove();
      Object.assign(this, { lanes, signals, seconds, pieces, view: { start: 0, end: seconds }, hasPictures: false });
      this.loudest = Math.max(0.05, ...signals.map((signal) => Math.max(...partita.peaksOf(signal))));
      this.frame.append(...lanes.map((lane) => lane.item));
      this.draw();
    }

    get isZoomed() {
      return this.view.end - this.view.start < this.seconds;
    }

    /** Show a stretch of time; null: all of the song. */
    zoom(view) {
      const long = view ? Math.min(this.seconds, Math.max(SHORTEST_VIEW_S, view.end - view.start)) : this.seconds;
      const start = view ? Math.max(0, Math.min(view.start, this.seconds - long)) : 0;
      this.view = { start, end: start + long };
      this.draw();
    }

    draw() {
      const { view, seconds, loudest, hasPictures, pieces } = this;
      const state = { view, seconds, loudest, hasPictures, pieces };
      this.lanes.forEach((lane, n) => lane.draw(this.signals[n], state).catch((error) => this.tell(error.message)));
      this._drawBeats();
    }

    /** Show where beats are, as far as there is room for them: {beats_s, beats_in_bar, one}; null: nowhere. */
    setBeats(beats) {
      this.beats = beats;
      this._drawBeats();
    }

    _drawBeats() {
      const box = this._box();
      this.grid.hidden = !this.beats || !box;
      if (this.grid.hidden) return;
      const scale = window.devicePixelRatio || 1;
      const { start, end } = this.view;
      Object.assign(this.grid.style, { left: `${box.left}px`, width: `${box.width}px` });
      this.grid.width = Math.round(box.width * scale);
      this.grid.height = 1;
      const context = this.grid.getContext("2d");
      const { beats_s: beats, beats_in_bar: bar, one } = this.beats;
      const shown = beats.filter((beat) => beat >= start && beat < end).length;
      const isClose = shown * CLOSEST_BEATS_PX < box.width;
      context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
      beats.forEach((beat, n) => {
        const isOne = one !== null && (n - one) % bar === 0;
        if (beat < start || beat >= end || !(isClose || (isOne && shown * CLOSEST_BEATS_PX < bar * box.width))) return;
        context.globalAlpha = isOne ? 0.5 : 0.18;
        context.fillRect(Math.round(((beat - start) / (end - start)) * this.grid.width), 0, Math.max(1, Math.round(scale)), 1);
      });
    }

    show(time, region, isLooping) {
      const box = this._box();
      if (!box) return;
      const { start, end } = this.view;
      const x = (seconds) => box.left + ((Math.max(start, Math.min(end, seconds)) - start) / (end - start)) * box.width;
      this.cursor.hidden = time < start || time > end;
      this.cursor.style.transform = `translateX(${x(time)}px)`;
      this.shade.hidden = !region || region.end < start || region.start > end;
      if (!region) return;
      this.shade.style.left = `${x(region.start)}px`;
      this.shade.style.width = `${x(region.end) - x(region.start)}px`;
      this.shade.classList.toggle("on", isLooping);
    }

    /* Place of the waveforms in the frame. */
    _box() {
      if (!this.lanes.length) return null;
      const frame = this.frame.getBoundingClientRect();
      const { left, width } = this.lanes[0].view.getBoundingClientRect();
      return { left: left - frame.left, width, page: left };
    }

    _timeOf(event) {
      const { page, width } = this._box();
      const { start, end } = this.view;
      return start + Math.max(0, Math.min(1, (event.clientX - page) / width)) * (end - start);
    }

    _down(event) {
      const lane = this.lanes.find((each) => each.item.contains(event.target));
      if (lane) this.choose(lane);
      if (event.button !== 0 || !event.target.closest(".lane-view")) return;
      this.dragged = { x: event.clientX, time: this._timeOf(event), isRegion: false };
      event.target.setPointerCapture(event.pointerId);
    }

    _move(event) {
      if (!this.dragged) return;
      if (Math.abs(event.clientX - this.dragged.x) > SHORTEST_DRAG_PX) this.dragged.isRegion = true;
      if (this.dragged.isRegion) this.mark(this._regionTo(event), false);
    }

    _up(event) {
      if (!this.dragged) return;
      if (this.dragged.isRegion) this.mark(this._regionTo(event), true);
      else if (event.type === "pointerup") this.seek(this.dragged.time);
      this.dragged = null;
    }

    _regionTo(event) {
      const [start, end] = [this.dragged.time, this._timeOf(event)].sort((one, other) => one - other);
      return { start, end };
    }
  }

  Object.assign(partita, { Lane, Lanes });
})();
