/* What is shown of the player: buttons, lanes, cursor. */
"use strict";

(function () {
  const { make, Choice } = partita;
  const $ = (id) => document.getElementById(id);
  const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800];
  const LEAST_TICK_PX = 48; // from tick to tick

  /** A time as 1:02, or with digits as 1:02.3. */
  partita.clock = function (seconds, digits) {
    const unit = 10 ** digits;
    const whole = Math.round(seconds * unit);
    const rest = ((whole % (60 * unit)) / unit).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
    return `${Math.floor(whole / (60 * unit))}:${rest}`;
  };

  partita.decibels = (value) => (value === null ? "–" : `${value.toFixed(1).replace("-", "−")} dB`);

  class View {
    constructor(player) {
      this.player = player;
      this.marks = ["cursor", "hover", "shade"].map((name) => $("lanes").querySelector(`.${name}`));
      $("song").append(...player.songs.map((song, number) => make("option", { value: number }, song.name)));
      document.querySelector(".song-row").hidden = player.songs.length < 2;
    }

    /** Make buttons and lanes for a song. */
    setSong() {
      const { player } = this;
      const buttons = [...player.names, Choice.MIXTURE].map((name, number) => this._button(name, number + 1));
      $("systems").replaceChildren(...buttons);
      this.lanes = player.stems.map((stem) => this._lane(stem));
      this.residual = new partita.Lane("residual", null);
      this.residual.element.hidden = true;
      for (const old of $("lanes").querySelectorAll(".lane")) old.remove();
      $("lanes").prepend(...this.lanes.map((lane) => lane.element), this.residual.element);
      for (const lane of this.lanes) {
        const curves = player.song.systems.map(({ name, sdr }) => ({ name, values: ownOf(sdr, lane.name) || [] }));
        lane.setSdr(curves, player.song.hop);
      }
      const stems = player.names.flatMap((name) => Object.values(player.stemsOf(name)));
      this.loudest = Math.max(1e-6, ...stems.map((signal) => signal.peak));
    }

    _button(name, number) {
      const { player } = this;
      const key = name === Choice.MIXTURE ? 0 : number;
      const isSystem = Boolean(player.find(name));
      const label = Choice.labelOf(name);
      const button = make("button", { type: "button", "aria-pressed": "false" }, label);
      if (isSystem) {
        const dot = make("span", { class: "dot", "aria-hidden": "true" });
        dot.style.background = `var(--hue-${player.hue(name)})`;
        button.prepend(dot);
      }
      if (key < 10) button.append(make("kbd", { "aria-hidden": "true" }, String(key)));
      button.dataset.system = name;
      button.dataset.kind = isSystem ? "system" : label.toLowerCase();
      button.addEventListener("click", () => player.choose(name));
      return button;
    }

    _lane(stem) {
      const { player } = this;
      return new partita.Lane(stem, {
        mute: () => player.toggle(player.muted, stem),
        solo: () => player.toggle(player.soloed, stem),
        choose: () => player.chooseStem(stem),
      });
    }

    /** Show everything anew. */
    render() {
      const { player } = this;
      const { residual } = player;
      for (const button of $("systems").children) press(button, button.dataset.system === player.system);
      press($("loop"), player.isLooping);
      press($("null"), player.isNull);
      press($("raise"), player.isRaised);
      press($("zoom"), player.isZoomed);
      press($("spectrograms"), player.hasPictures);
      $("null").disabled = !residual;
      $("raise").hidden = !player.isNull;
      if (player.isNull) {
        $("raise").textContent = `Raise by ${Math.round(20 * Math.log10(player.raiseOf(residual)))} dB`;
      }
      $("worst").disabled = !player.song.systems.some((each) => Object.keys(each.sdr).length);
      $("play").classList.toggle("playing", player.engine.playing);
      $("play").setAttribute("aria-label", player.engine.playing ? "Pause" : "Play");
      this._renderLanes(residual);
      this._renderRuler();
      this.renderTime();
    }

    _renderRuler() {
      const { left, width, view } = this.placing();
      const length = view.end - view.start;
      const step = STEPS_S.find((each) => (each / length) * width >= LEAST_TICK_PX) || STEPS_S[STEPS_S.length - 1];
      const ticks = [];
      for (let n = Math.ceil(view.start / step - 1e-6); n * step <= view.end; n++) {
        const tick = make("span", {}, partita.clock(n * step, step < 1 ? 1 : 0));
        const place = left + ((n * step - view.start) / length) * width;
        tick.style.left = `${place}px`;
        if (place + LEAST_TICK_PX <= left + width + 1) ticks.push(tick);
      }
      $("ruler").replaceChildren(...ticks);
    }

    _renderLanes(residual) {
      const { player } = this;
      const isSystem = Boolean(player.find(player.shown));
      const common = {
        system: player.shown,
        hue: isSystem ? partita.hue(player.hue(player.shown)) : partita.colour("--wave"),
        view: player.view,
        seconds: player.song.seconds,
        loudest: this.loudest,
        spectrograms: player.hasPictures,
        pieces: player.engine.pieces,
        failed: (error) => this.say(error.message, true),
      };
      const stems = player.stemsOf(player.shown);
      for (const lane of this.lanes) {
        const signal = ownOf(stems, lane.name);
        const isOff = player.system === Choice.MIXTURE || player.isNull || !signal;
        lane.element.classList.toggle("silent", isOff || !player.isHeard(lane.name));
        lane.element.classList.toggle("chosen", lane.name === player.chosen);
        press(lane.mute, player.muted.has(lane.name));
        press(lane.solo, player.soloed.has(lane.name));
        lane.draw({ ...common, signal });
      }
      this.residual.element.hidden = !player.isNull;
      if (!player.isNull) return;
      const loudest = player.isRaised ? Math.max(residual.peak, 1e-9) : this.loudest;
      this.residual.draw({ ...common, signal: residual, loudest });
      const depth = player.find(player.system).null;
      this.residual.readout.textContent = depth || (residual.pieces ? "" : "silent");
    }

    /** Show where it plays, and what is there. */
    renderTime() {
      const { player } = this;
      const { time } = player.engine;
      const { hovered, region, shown, song } = player;
      const [cursor, hover, shade] = this.marks;
      const place = this.placing();
      $("time").textContent = `${partita.clock(time, 1)} / ${partita.clock(song.seconds, 0)}`;
      player.overview.setTime(time);
      mark(cursor, place, time, time);
      mark(hover, place, hovered, hovered);
      hover.textContent = hovered === null ? "" : partita.clock(hovered, 1);
      mark(shade, place, region && region.start, region && region.end);
      shade.classList.toggle("on", player.isLooping);
      for (const lane of this.lanes) {
        const value = lane.sdrAt(shown, hovered === null ? time : hovered);
        lane.readout.textContent = value === null ? "" : partita.decibels(value);
      }
    }

    /** Where times lie in the lanes: {left, width} in pixels, `page` for the left on the page. */
    placing() {
      const frame = $("lanes").getBoundingClientRect();
      const area = this.lanes.length ? this.lanes[0].view.getBoundingClientRect() : frame;
      const { gutter } = partita.Lane;
      const left = area.left - frame.left + gutter;
      return { left, width: area.width - gutter, page: area.left + gutter, view: this.player.view };
    }

    say(text, isError = false) {
      $("status").textContent = text;
      $("status").classList.toggle("error", isError);
    }
  }

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
    const within = (time) => Math.max(view.start, Math.min(view.end, time));
    const at = (time) => ((within(time) - view.start) / (view.end - view.start)) * width;
    element.style.left = `${left + at(start)}px`;
    if (end > start) element.style.width = `${at(end) - at(start)}px`;
  }

  partita.View = View;
})();
