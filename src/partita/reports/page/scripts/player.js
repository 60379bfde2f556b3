/* The player: carries out what buttons, keys and the pointer order. */
"use strict";

(function () {
  const ZOOM_S = 10;
  const { Choice } = partita;
  const $ = (id) => document.getElementById(id);

  class Player extends Choice {
    constructor({ coding, songs }) {
      super();
      this.songs = songs;
      this.isLooping = this.isZoomed = this.hasPictures = false;
      this.region = null; // {start, end} in seconds
      this.hovered = null; // seconds
      this.engine = new partita.Engine("audio/", coding);
      this.engine.volume = Number($("volume").value);
      this.screen = new partita.View(this);
      this.overview = new partita.Overview($("overview"), {
        seek: (time) => this.engine.seek(time),
        choose: (region) => this.setRegion(region, true),
      });
      this.open(0);
      this._listen();
    }

    open(number) {
      $("song").value = String(number);
      this.setSong(this.songs[number]);
      this.engine.load(this.signals());
      this.overview.load(this.song.mixture, this.song.seconds);
      this.region = null;
      this.isLooping = this.isZoomed = false;
      this.screen.setSong();
      this._heardChanged();
    }

    /* ---- what is heard ---- */

    choose(system) {
      this.setSystem(system);
      this._heardChanged();
    }

    chooseStem(stem) {
      this.chosen = stem;
      this.screen.render();
    }

    toggle(set, stem) {
      if (!set.delete(stem)) set.add(stem);
      this._heardChanged();
    }

    toggleNull() {
      if (!this.residual) return;
      this.isNull = !this.isNull;
      this._heardChanged();
      if (!this.isNull) return;
      const { null: depth, residual } = this.find(this.system);
      const level = depth ? `, ${depth} relative to the mixture` : "";
      const silent = residual.pieces ? "" : " It is silent.";
      this.screen.say(`Null test: the mixture minus the sum of ${this.system}’s stems${level}.${silent}`);
    }

    toggleRaise() {
      this.isRaised = !this.isRaised;
      this.engine.setMix(this.mixOf(this.system));
      this.screen.render();
    }

    _heardChanged() {
      this.engine.setMix(this.mixOf(this.system));
      const others = [...this.names, Choice.MIXTURE].filter((name) => name !== this.system);
      this.engine.warm(others.flatMap((name) => Object.keys(this.mixOf(name))));
      this.worst = null;
      const levels = Object.values(this.mixOf(this.system));
      const lower = Math.round(20 * Math.log10(Math.max(1, ...levels.map((level) => 1 / level))));
      this.screen.say(
        lower ? `The stems of ${this.system} add up to more than the mixture: heard ${lower} dB lower.` : "",
      );
      this.screen.render();
    }

    /* ---- time ---- */

    playOrPause() {
      if (this.engine.playing) this.engine.pause();
      else this.engine.play();
    }

    setRegion(region, isLooping) {
      this.region = region;
      this.isLooping = Boolean(region) && isLooping;
      this.engine.setLoop(this.isLooping ? region : null);
      this.overview.setRegion(region);
      this.screen.render();
    }

    toggleLoop() {
      const { time } = this.engine;
      const around = { start: Math.max(0, time - 1), end: Math.min(this.song.seconds, time + 3) };
      this.setRegion(this.region || around, !this.isLooping);
    }

    /** Go to the window of lowest SDR among the stems that are heard; called again, to the next one. */
    goToWorst() {
      if (!this.worst) this.worst = partita.worstWindows(this.song, this.shown, (stem) => this.isHeard(stem));
      const window = this.worst.shift();
      if (!window) {
        this.worst = null;
        this.screen.say(`There is no SDR of what is heard of ${Choice.labelOf(this.shown)}.`);
        return;
      }
      const { hop, seconds } = this.song;
      this.setRegion({ start: window.start, end: Math.min(seconds, window.start + hop) }, this.isLooping);
      this.engine.seek(window.start);
      if (this.isZoomed) this._zoomAround(window.start + hop / 2);
      const place = `${this.shown}, ${window.stem} at ${partita.clock(window.start, 0)}`;
      const { decibels } = partita;
      this.screen.say(`${place}: SDR ${decibels(window.value)}, median of the song ${decibels(window.median)}.`);
      this.screen.render();
    }

    /** The seconds that the lanes show, {start, end}. */
    get view() {
      return this.isZoomed ? this.zoomed : { start: 0, end: this.song.seconds };
    }

    toggleZoom() {
      this.isZoomed = !this.isZoomed;
      if (this.isZoomed && this.region) {
        const margin = Math.max(0.5, 0.25 * (this.region.end - this.region.start));
        this.zoomed = this._within(this.region.start - margin, this.region.end + margin);
      } else if (this.isZoomed) this._zoomAround(this.engine.time);
      this.screen.render();
    }

    _zoomAround(time) {
      this.zoomed = this._within(time - ZOOM_S / 2, time + ZOOM_S / 2);
    }

    _within(start, end) {
      const length = Math.min(end - start, this.song.seconds);
      const first = Math.max(0, Math.min(start, this.song.seconds - length));
      return { start: first, end: first + length };
    }

    togglePictures() {
      this.hasPictures = !this.hasPictures;
      this.screen.render();
    }

    /* ---- what happens by itself ---- */

    _listen() {
      const { engine, screen } = this;
      const orders = {
        play: () => this.playOrPause(),
        loop: () => this.toggleLoop(),
        worst: () => this.goToWorst(),
        null: () => this.toggleNull(),
        raise: () => this.toggleRaise(),
        zoom: () => this.toggleZoom(),
        spectrograms: () => this.togglePictures(),
      };
      for (const [id, order] of Object.entries(orders)) $(id).addEventListener("click", order);
      $("song").addEventListener("change", () => this.open(Number($("song").value)));
      $("volume").addEventListener("input", () => (engine.volume = Number($("volume").value)));
      engine.addEventListener("change", () => this._changed());
      engine.addEventListener("error", (event) => screen.say(event.message, true));
      partita.listenToKeys(this);
      partita.listenToPointer(this, $("lanes"));
      partita.onTheme(() => {
        this.overview.recolour();
        screen.render();
      });
      let width = $("lanes").clientWidth;
      new ResizeObserver(() => {
        if ($("lanes").clientWidth === width) return;
        width = $("lanes").clientWidth;
        screen.render();
      }).observe($("lanes"));
    }

    _changed() {
      const isPlaying = this.engine.playing;
      if (isPlaying === this.wasPlaying) {
        this.screen.renderTime();
        return;
      }
      this.wasPlaying = isPlaying;
      this.screen.render();
      cancelAnimationFrame(this._next);
      if (isPlaying) this._follow();
    }

    /* Follow what plays, frame by frame. */
    _follow() {
      const { time } = this.engine;
      const { start, end } = this.view;
      const next = this._within(time, time + end - start);
      if (this.isZoomed && (time < start || time >= end) && next.start !== start) {
        this.zoomed = next;
        this.screen.render();
      } else this.screen.renderTime();
      this._next = requestAnimationFrame(() => this._follow());
    }
  }

  const data = $("songs");
  if (data) {
    document.querySelector(".player-body").hidden = false;
    partita.player = new Player(JSON.parse(data.textContent));
  }
})();
