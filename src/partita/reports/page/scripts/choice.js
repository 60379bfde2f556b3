/* Which song, system and stems are heard, and by which of the page's signals. */
"use strict";

(function () {
  const MOST_EXCESS = 1.5; // of the residual's peak over the mixture's
  const LOUDEST_RESIDUAL = 0.5; // its peak, when it is raised
  const [MIXTURE, REFERENCE] = ["\0mixture", "\0reference"]; // systems may have these names themselves
  const LABELS = new Map([
    [MIXTURE, "Mixture"],
    [REFERENCE, "Reference"],
  ]);

  class Choice {
    constructor() {
      this.system = null; // what is heard: MIXTURE, REFERENCE, or a system's name
      this.shown = null; // whose stems are shown: the last one that was no mixture
      this.muted = new Set();
      this.soloed = new Set();
      this.isNull = this.isRaised = false;
    }

    /** Take another song; the system and the stems that were chosen stay, where it has them. */
    setSong(song) {
      this.song = song;
      const systems = song.systems.map((each) => each.name);
      this.names = [...(Object.keys(song.references).length ? [REFERENCE] : []), ...systems];
      this.stems = [...new Set([song.references, ...song.systems.map((each) => each.stems)].flatMap(Object.keys))];
      this.muted = new Set([...this.muted, ...song.sums].filter((stem) => this.stems.includes(stem)));
      this.soloed = new Set([...this.soloed].filter((stem) => this.stems.includes(stem)));
      this.chosen = this.stems[0];
      this.isNull = false;
      const isKept = this.system === MIXTURE || this.names.includes(this.system);
      const first = systems.find((name) => this.levelOf(name) === 1) || systems[0] || this.names[0] || MIXTURE;
      this.setSystem(isKept ? this.system : first);
    }

    setSystem(name) {
      this.system = name;
      if (name !== MIXTURE) this.shown = name;
      else if (!this.names.includes(this.shown)) this.shown = this.names[this.names.length - 1] || null;
      this.isNull = this.isNull && Boolean(this.residual);
    }

    /** A system of the song, {name, stems, residual, null, sdr}, or undefined. */
    find(name) {
      return this.song.systems.find((each) => each.name === name);
    }

    /** Number of a system's colour. */
    hue(name) {
      return Math.max(0, this.song.systems.indexOf(this.find(name))) % 8;
    }

    stemsOf(name) {
      if (name === REFERENCE) return this.song.references;
      const found = this.find(name);
      return found ? found.stems : {};
    }

    /** Mixture minus sum of the stems of the system that is heard, if there is one. */
    get residual() {
      return this._residualOf(this.system);
    }

    _residualOf(name) {
      const found = this.find(name);
      return found && found.residual;
    }

    /* Systems may be called anything; these keys are ours. */
    _key(name, stem) {
      return name === MIXTURE ? MIXTURE : `${this.names.indexOf(name)}/${stem}`;
    }

    /** All signals of the song, {key: signal}. */
    signals() {
      const signals = { [MIXTURE]: this.song.mixture };
      for (const name of this.names) {
        for (const [stem, signal] of Object.entries(this.stemsOf(name))) signals[this._key(name, stem)] = signal;
        const residual = this._residualOf(name);
        if (residual) signals[this._key(name, "")] = residual;
      }
      return signals;
    }

    isHeard(stem) {
      return this.soloed.size ? this.soloed.has(stem) : !this.muted.has(stem);
    }

    /** What is heard if a system is chosen, {key: level}. */
    mixOf(name) {
      if (name === MIXTURE) return { [MIXTURE]: 1 };
      const residual = this.isNull && this._residualOf(name);
      if (residual) return { [this._key(name, "")]: this.isRaised ? this.raiseOf(residual) : 1 };
      const heard = Object.keys(this.stemsOf(name)).filter((stem) => this.isHeard(stem));
      const level = heard.length > 1 ? this.levelOf(name) : 1;
      return Object.fromEntries(heard.map((stem) => [this._key(name, stem), level]));
    }

    /** Level of a system's stems that are heard together: 1, unless they add up to far too much.
     *
     * So does the floor of a comparison, each of whose stems is the mixture.
     */
    levelOf(name) {
      const residual = this._residualOf(name);
      const excess = residual ? residual.peak / Math.max(this.song.mixture.peak, 1e-9) : 0;
      return excess > MOST_EXCESS ? 1 / (1 + excess) : 1;
    }

    /** By how much a residual is raised, so that it can be heard. */
    raiseOf(residual) {
      return Math.min(1000, Math.max(1, LOUDEST_RESIDUAL / Math.max(residual.peak, 1e-9)));
    }
  }

  Choice.labelOf = (name) => LABELS.get(name) || name;
  Object.assign(Choice, { MIXTURE, REFERENCE });
  partita.Choice = Choice;
})();
