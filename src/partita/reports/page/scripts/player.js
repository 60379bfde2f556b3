/* The player: which song, system and stems are heard, and what is shown of them. */
"use strict";

(function () {
  const SEEK_S = 5;
  const FINE_SEEK_S = 1;
  const ZOOM_S = 10;
  const LOUDEST_RESIDUAL = 0.5;
  const [MIXTURE, REFERENCE] = ["\0mixture", "\0reference"]; // systems may have these names themselves
  const LABELS = new Map([
    [MIXTURE, "Mixture"],
    [REFERENCE, "Reference"],
  ]);
  const labelOf = (name) => LABELS.get(name) || name;
  const { make } = partita;
  const $ = (id) => document.getElementById(id);

  function clock(seconds, digits) {
    const unit = 10 ** digits;
    const whole = Math.round(seconds * unit);
    const rest = ((whole % (60 * unit)) / unit).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
    return `${Math.floor(whole / (60 * unit))}:${rest}`;
  }

  const decibels = (value) => (value === null ? "–" : `${value.toFixed(1).replace("-", "−")} dB`);

  class Player {
    constructor({ coding, songs }) {
      this.songs = songs;
      this.engine = new partita.Engine("audio/", coding);
      this.engine.volume = Number($("volume").value);
      this.overview = new partita.Overview($("overview"), {
        seek: (time) => this.engine.seek(time),
        choose: (region) => this.setRegion(region, true),
      });
      this.system = null; // what is heard: MIXTURE, REFERENCE, or a system's name
      this.shown = null; // whose stems the lanes show: the last one that was no mixture
      this.muted = new Set();
      this.soloed = new Set();
      this.isNull = this.isRaised = this.isLooping = this.isZoomed = this.hasPictures = false;
      this.hovered = null; // seconds
      this._listen();
      this.open(0);
    }

    /* ---- songs, systems, stems ---- */

    open(number) {
      this.song = this.songs[number];
      const { song } = this;
      this.names = [
        ...(Object.keys(song.references).length ? [REFERENCE] : []),
        ...song.systems.map((each) => each.name),
      ];
      this.stems = [...new Set([song.references, ...song.systems.map((each) => each.stems)].flatMap(Object.keys))];
      this.muted = new Set([...this.muted, ...song.sums].filter((stem) => this.stems.includes(stem)));
      this.soloed = new Set([...this.soloed].filter((stem) => this.stems.includes(stem)));
      this.chosen = this.stems[0];
      this.engine.load(this._signals());
      this.overview.load(song.mixture, song.seconds);
      this.region = null;
      this.isLooping = this.isZoomed = this.isNull = false;
      this._makeSystems();
      this._makeLanes();
      const first = song.systems.length ? song.systems[0].name : this.names[0] || MIXTURE;
      this.choose(this.system === MIXTURE || this.names.includes(this.system) ? this.system : first);
    }

    stemsOf(system) {
      if (system === REFERENCE) return this.song.references;
      const found = this.song.systems.find((each) => each.name === system);
      return found ? found.stems : {};
    }

    /* Systems may be called anything; these keys are ours. */
    _key(system, stem) {
      return system === MIXTURE ? MIXTURE : `${this.names.indexOf(system)}/${stem}`;
    }

    _residualOf(system) {
      const found = this.song.systems.find((each) => each.name === system);
      return found && found.residual;
    }

    _signals() {
      const signals = { [MIXTURE]: this.song.mixture };
      for (const system of this.names) {
        for (const [stem, signal] of Object.entries(this.stemsOf(system))) signals[this._key(system, stem)] = signal;
        const residual = this._residualOf(system);
        if (residual) signals[this._key(system, "")] = residual;
      }
      return signals;
    }

    isHeard(stem) {
      return this.soloed.size ? this.soloed.has(stem) : !this.muted.has(stem);
    }

    _mixOf(system) {
      if (system === MIXTURE) return { [MIXTURE]: 1 };
      const residual = this.isNull && this._residualOf(system);
      if (residual) return { [this._key(system, "")]: this.isRaised ? this._raise(residual) : 1 };
      const heard = Object.keys(this.stemsOf(system)).filter((stem) => this.isHeard(stem));
      return Object.fromEntries(heard.map((stem) => [this._key(system, stem), 1]));
    }

    _raise(residual) {
      return Math.min(1000, Math.max(1, LOUDEST_RESIDUAL / Math.max(residual.peak, 1e-9)));
    }

    choose(system) {
      this.system = system;
      if (system !== MIXTURE) this.shown = system;
      else if (!this.names.includes(this.shown)) this.shown = this.names[this.names.length - 1] || null;
      this.isNull = this.isNull && Boolean(this._residualOf(system));
      this._heardChanged();
    }

    toggle(set, stem) {
      if (!set.delete(stem)) set.add(stem);
      this._heardChanged();
    }

    _heardChanged() {
      this.engine.setMix(this._mixOf(this.system));
      const others = [...this.names, MIXTURE].filter((name) => name !== this.system);
      this.engine.warm(others.flatMap((name) => Object.keys(this._mixOf(name))));
      this.worst = null;
      this._say("");
      this.render();
    }

    /* ---- time ---- */

    setRegion(region, isLooping) {
      this.region = region;
      this.isLooping = Boolean(region) && isLooping;
      this.engine.setLoop(this.isLooping ? region : null);
      this.overview.setRegion(region);
      this.render();
    }

    toggleLoop() {
      const around = {
        start: Math.max(0, this.engine.time - 1),
        end: Math.min(this.song.seconds, this.engine.time + 3),
      };
      this.setRegion(this.region || around, !this.isLooping);
    }

    /** Go to the window of lowest SDR among the stems that are heard; called again, to the next one. */
    goToWorst() {
      if (!this.worst) this.worst = partita.worstWindows(this.song, this.shown, (stem) => this.isHeard(stem));
      const window = this.worst.shift();
      if (!window) {
        this.worst = null;
        this._say(`There is no SDR of what is heard of ${labelOf(this.shown)}.`);
        return;
      }
      const { hop, seconds } = this.song;
      this.setRegion({ start: window.start, end: Math.min(seconds, window.start + hop) }, this.isLooping);
      this.engine.seek(window.start);
      if (this.isZoomed) this._zoomAround(window.start + hop / 2);
      this._say(
        `${this.shown}, ${window.stem} at ${clock(window.start, 0)}: SDR ${decibels(window.value)}, median of the song ${decibels(window.median)}.`,
      );
      this.render();
    }

    get view() {
      return this.isZoomed ? this.zoomed : { start: 0, end: this.song.seconds };
    }

    toggleZoom() {
      this.isZoomed = !this.isZoomed;
      if (this.isZoomed && this.region) {
        const margin = Math.max(0.5, 0.25 * (this.region.end - this.region.start));
        this.zoomed = this._within(this.region.start - margin, this.region.end + margin);
      } else if (this.isZoomed) this._zoomAround(this.engine.time);
      this.render();
    }

    _zoomAround(time) {
      this.zoomed = this._within(time - ZOOM_S / 2, time + ZOOM_S / 2);
    }

    _within(start, end) {
      const length = Math.min(end - start, this.song.seconds);
      const first = Math.max(0, Math.min(start, this.song.seconds - length));
      return { start: first, end: first + length };
    }

    /* ---- what is shown ---- */

    _makeSystems() {
      const buttons = [...this.names, MIXTURE].map((name, number) => {
        const key = name === MIXTURE ? 0 : number + 1;
        const dot = make("span", { class: "dot", "aria-hidden": "true" });
        const isSystem = !LABELS.has(name);
        if (isSystem) dot.style.background = `var(--hue-${this._hue(name)})`;
        const label = labelOf(name);
        const button = make("button", { type: "button", "aria-pressed": "false" }, ...(isSystem ? [dot] : []), label);
        if (key < 10) button.append(make("kbd", { "aria-hidden": "true" }, String(key)));
        button.dataset.system = name;
        button.dataset.kind = isSystem ? "system" : label.toLowerCase();
        button.addEventListener("click", () => this.choose(name));
        return button;
      });
      $("systems").replaceChildren(...buttons);
    }

    _hue(name) {
      return (
        Math.max(
          0,
          this.song.systems.findIndex((each) => each.name === name),
        ) % 8
      );
    }

    _makeLanes() {
      this.lanes = this.stems.map((stem) => {
        const lane = new partita.Lane(stem, {
          mute: () => this.toggle(this.muted, stem),
          solo: () => this.toggle(this.soloed, stem),
          choose: () => {
            this.chosen = stem;
            this.render();
          },
        });
        return lane;
      });
      this.residual = new partita.Lane("residual", null);
      this.residual.element.hidden = true;
      for (const old of $("lanes").querySelectorAll(".lane")) old.remove();
      $("lanes").prepend(...this.lanes.map((lane) => lane.element), this.residual.element);
      for (const lane of this.lanes) {
        const curves = this.song.systems.map((each) => ({ name: each.name, values: ownOf(each.sdr, lane.name) || [] }));
        lane.setSdr(curves, this.song.hop);
      }
      const signals = Object.entries(this._signals()).filter(([key]) => key !== MIXTURE);
      this.loudest = Math.max(1e-6, ...signals.filter(([key]) => !key.endsWith("/")).map(([, signal]) => signal.peak));
    }

    render() {
      const { engine } = this;
      const residual = this._residualOf(this.system);
      for (const button of $("systems").children) press(button, button.dataset.system === this.system);
      for (const [id, on] of [
        ["loop", this.isLooping],
        ["null", this.isNull],
        ["raise", this.isRaised],
        ["zoom", this.isZoomed],
        ["spectrograms", this.hasPictures],
      ])
        press($(id), on);
      $("null").disabled = !residual;
      $("raise").hidden = !this.isNull;
      if (this.isNull) $("raise").textContent = `Raise by ${Math.round(20 * Math.log10(this._raise(residual)))} dB`;
      $("worst").disabled = !this.song.systems.some((each) => Object.keys(each.sdr).length);
      $("play").classList.toggle("playing", engine.playing);
      $("play").setAttribute("aria-label", engine.playing ? "Pause" : "Play");
      this._renderLanes(residual);
      this.renderTime();
    }

    _renderLanes(residual) {
      const isSystem = this.shown !== REFERENCE;
      const common = {
        system: this.shown,
        hue: isSystem ? partita.hue(this._hue(this.shown)) : partita.colour("--wave"),
        view: this.view,
        seconds: this.song.seconds,
        loudest: this.loudest,
        spectrograms: this.hasPictures,
        pieces: this.engine.pieces,
        failed: (error) => this._say(error.message, true),
      };
      const stems = this.shown ? this.stemsOf(this.shown) : {};
      for (const lane of this.lanes) {
        const isHeard = this.system !== MIXTURE && !this.isNull && ownOf(stems, lane.name) && this.isHeard(lane.name);
        lane.element.classList.toggle("silent", !isHeard);
        lane.element.classList.toggle("chosen", lane.name === this.chosen);
        press(lane.mute, this.muted.has(lane.name));
        press(lane.solo, this.soloed.has(lane.name));
        lane.draw({ ...common, signal: ownOf(stems, lane.name) });
      }
      this.residual.element.hidden = !this.isNull;
      if (this.isNull) {
        const own = this._residualOf(this.system);
        const loudest = this.isRaised ? Math.max(own.peak, 1e-9) : this.loudest;
        this.residual.draw({ ...common, signal: residual, loudest });
        const { null: depth } = this.song.systems.find((each) => each.name === this.system);
        this.residual.readout.textContent = depth || (residual.pieces ? "" : "silent");
      }
    }

    renderTime() {
      const { engine, view } = this;
      const time = engine.time;
      if (engine.playing && this.isZoomed && (time < view.start || time >= view.end)) {
        const next = this._within(time, time + view.end - view.start);
        if (next.start !== view.start) {
          this.zoomed = next;
          this.render();
          return;
        }
      }
      $("time").textContent = `${clock(time, 1)} / ${clock(this.song.seconds, 0)}`;
      this.overview.setTime(time);
      const place = this.placing();
      const [cursor, hover, shade] = ["cursor", "hover", "shade"].map((name) => $("lanes").querySelector(`.${name}`));
      mark(cursor, place, time, time);
      mark(hover, place, this.hovered, this.hovered);
      hover.textContent = this.hovered === null ? "" : clock(this.hovered, 1);
      mark(shade, place, this.region && this.region.start, this.region && this.region.end);
      shade.classList.toggle("on", this.isLooping);
      for (const lane of this.lanes) {
        const value =
          this.shown === REFERENCE ? null : lane.sdrAt(this.shown, this.hovered === null ? time : this.hovered);
        lane.readout.textContent = value === null ? "" : decibels(value);
      }
    }

    /* Where times lie in the lanes: {left, width} in pixels, and the view. */
    placing() {
      const frame = $("lanes").getBoundingClientRect();
      const area = this.lanes.length ? this.lanes[0].view.getBoundingClientRect() : frame;
      const { gutter } = partita.Lane;
      return {
        left: area.left - frame.left + gutter,
        width: area.width - gutter,
        page: area.left + gutter,
        view: this.view,
      };
    }

    _say(text, isError) {
      $("status").textContent = text;
      $("status").classList.toggle("error", Boolean(isError));
    }

    /* ---- orders ---- */

    _listen() {
      const { engine } = this;
      engine.addEventListener("change", () => this._changed());
      engine.addEventListener("error", (event) => this._say(event.message, true));
      $("song").append(...this.songs.map((song, number) => make("option", { value: number }, song.name)));
      document.querySelector(".song-row").hidden = this.songs.length < 2;
      $("song").addEventListener("change", () => this.open(Number($("song").value)));
      $("volume").addEventListener("input", () => (engine.volume = Number($("volume").value)));
      for (const [id, order] of Object.entries(this._orders())) $(id).addEventListener("click", order);
      partita.listenToKeys(this);
      partita.listenToPointer(this, $("lanes"));
      partita.onTheme(() => {
        this.overview.recolour();
        this.render();
      });
      let width = 0;
      new ResizeObserver(() => {
        if ($("lanes").clientWidth === width) return;
        width = $("lanes").clientWidth;
        if (this.song) this.render();
      }).observe($("lanes"));
    }

    _orders() {
      return {
        play: () => this.playOrPause(),
        loop: () => this.toggleLoop(),
        worst: () => this.goToWorst(),
        null: () => this.toggleNull(),
        raise: () => this.toggleRaise(),
        zoom: () => this.toggleZoom(),
        spectrograms: () => this.togglePictures(),
      };
    }

    playOrPause() {
      if (this.engine.playing) this.engine.pause();
      else this.engine.play();
    }

    togglePictures() {
      this.hasPictures = !this.hasPictures;
      this.render();
    }

    toggleNull() {
      if (!this._residualOf(this.system)) return;
      this.isNull = !this.isNull;
      this._heardChanged();
      if (!this.isNull) return;
      const { null: depth, residual } = this.song.systems.find((each) => each.name === this.system);
      const level = depth ? `, ${depth} relative to the mixture` : "";
      const silent = residual.pieces ? "" : " It is silent.";
      this._say(`Null test: the mixture minus the sum of ${this.system}’s stems${level}.${silent}`);
    }

    toggleRaise() {
      this.isRaised = !this.isRaised;
      this.engine.setMix(this._mixOf(this.system));
      this.render();
    }

    _changed() {
      if (!this.song || !this.lanes) return;
      const isPlaying = this.engine.playing;
      if (isPlaying !== this.wasPlaying) {
        this.wasPlaying = isPlaying;
        this.render();
        if (isPlaying) requestAnimationFrame(() => this._frame());
      } else this.renderTime();
    }

    _frame() {
      this.renderTime();
      if (this.engine.playing) requestAnimationFrame(() => this._frame());
    }
  }

  Player.mixture = MIXTURE;
  Player.seeks = { long: SEEK_S, short: FINE_SEEK_S };

  /* Stems may be called anything, "constructor" too. */
  function ownOf(object, name) {
    return Object.hasOwn(object, name) ? object[name] : undefined;
  }

  function press(button, on) {
    button.setAttribute("aria-pressed", String(on));
  }

  /* Put an element where a stretch of time lies; hide it where it is out of view. */
  function mark(element, { left, width, view }, start, end) {
    element.hidden = start === null || end < view.start || start > view.end;
    if (element.hidden) return;
    const at = (time) =>
      ((Math.max(view.start, Math.min(view.end, time)) - view.start) / (view.end - view.start)) * width;
    element.style.left = `${left + at(start)}px`;
    if (end > start) element.style.width = `${at(end) - at(start)}px`;
  }

  const data = $("songs");
  if (data) {
    document.querySelector(".player-body").hidden = false;
    partita.player = new Player(JSON.parse(data.textContent));
  }
})();
