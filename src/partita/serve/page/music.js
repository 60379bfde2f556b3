/* Tempo, beats and key of a song: shown, put right, clicked and counted in. */
"use strict";

(function () {
  const { element } = partita;
  const $ = (id) => document.getElementById(id);
  const OFF_DB = -40;
  const USUAL_DB = -12;
  const COUNT_DB = -6;
  const FACTORS = [0.25, 4];
  const BARS = [2, 3, 4, 5, 6, 7, 8, 9, 12];
  const level = (decibels) => 10 ** (decibels / 20);

  class Music {
    /** @param player  whose engine clicks
     * @param source  correct(song, correction) promises the song; without it, nothing can be put right
     * @param keys  names of all keys: twelve in major, twelve in minor, from C upwards
     */
    constructor(player, source, keys) {
      Object.assign(this, { player, source, keys, found: null, version: 0 });
      for (const bar of BARS) $("bar").append(element("option", { value: bar }, `${bar} beats`));
      const on = (id, act, type = "click") => $(id).addEventListener(type, () => this.found && act());
      on("tempo-half", () => this._scale(0.5));
      on("tempo-double", () => this._scale(2));
      on("key", () => this._correct({ key: $("key").value }), "change");
      on("bar", () => this._correct({ beats_in_bar: Number($("bar").value) }), "change");
      on("one", () => this.startBar());
      on("count-in", () => this.toggleCountIn());
      on("click", () => this._clickChanged(), "input");
      this.isCounting = localStorage.getItem("count-in") === "yes";
      this._setClick(OFF_DB);
    }

    /** Take what is known of a song; null: nothing. */
    open(music, finds) {
      this._setClick(OFF_DB);
      this._take(music || null);
      $("music-note").textContent = music || finds ? "" : "Tempo, beats and key need sonara on the server: pip install sonara";
    }

    /** Whether something, without its beats, is known already. */
    knows(music) {
      return JSON.stringify(music) === JSON.stringify(this.found && { ...this.found, beats_s: undefined });
    }

    /** Take what is known now, and go on clicking. */
    learn(music) {
      this._take(music);
    }

    close() {
      this._take(null);
      $("music-note").textContent = "";
    }

    get hasBeats() {
      return Boolean(this.found && this.found.beats_s.length > 1);
    }

    /** Name of the engine's signal: another one for other beats. */
    get signal() {
      return `\0click/${this.version}`;
    }

    /** Level of the click along with the song. */
    get clickLevel() {
      return this.clickDb === null ? 0 : level(this.clickDb);
    }

    get clickDb() {
      const value = Number($("click").value);
      return this.hasBeats && value > OFF_DB ? value : null;
    }

    /** Pieces of the click, which this page makes; null: of another signal. */
    loadPiece(key) {
      if (!key.startsWith("click/")) return null;
      const { samples, ...coding } = this.player.song.player;
      return partita.clickPiece(this.found, coding, samples, Number(key.slice(key.lastIndexOf("/") + 1)));
    }

    toggleCountIn() {
      if (!this.hasBeats) return;
      this.isCounting = !this.isCounting;
      localStorage.setItem("count-in", this.isCounting ? "yes" : "no");
      this.render();
    }

    toggleClick() {
      if (!this.hasBeats) return;
      this._setClick(this.clickDb === null ? USUAL_DB : OFF_DB);
      this._clickChanged();
    }

    /** A bar begins at the beat next to the cursor. */
    startBar() {
      if (this.hasBeats && this.source.correct) this._correct({ one_s: this.player.engine.time });
    }

    /** Sound a bar of beats on an engine's clock: its leadIn. */
    countIn(place, begin) {
      const { engine } = this.player;
      const { seconds, clicks } = partita.countIn(this.found, place);
      const { speed } = engine;
      const shift = engine.wanted.semitones - 12 * Math.log2(speed); // of all that goes to the output
      const sounds = partita.clickSounds(engine.coding.sampleRate);
      const gain = new GainNode(engine.context, { gain: level(Math.max(COUNT_DB, this.clickDb ?? OFF_DB)) });
      gain.connect(engine.output);
      const nodes = clicks.map(({ at, isOne }) => {
        const samples = isOne ? sounds.one : sounds.beat;
        const buffer = new AudioBuffer({ length: samples.length, sampleRate: engine.coding.sampleRate });
        buffer.copyToChannel(samples, 0);
        const node = new AudioBufferSourceNode(engine.context, { buffer, playbackRate: 2 ** (-shift / 12) });
        node.connect(gain);
        node.start(begin + at / speed);
        return node;
      });
      nodes[nodes.length - 1].onended = () => gain.disconnect();
      return { seconds: seconds / speed, stop: () => nodes.forEach((node) => node.stop()) };
    }

    render() {
      const { found } = this;
      $("music").hidden = !found;
      $("player").classList.toggle("has-beats", this.hasBeats);
      $("player").classList.toggle("is-fixed", !this.source.correct);
      $("count-in").setAttribute("aria-pressed", this.isCounting);
      if (this.player.engine) this.player.engine.leadIn = this.isCounting && this.hasBeats ? (place, begin) => this.countIn(place, begin) : null;
      if (found) this._tell();
    }

    _tell() {
      const { found, keys } = this;
      const { speed, semitones } = this.player.engine.wanted;
      const tempo = found.tempo_bpm === null ? "no beats" : `${Math.round(found.tempo_bpm * speed)} BPM`;
      $("tempo").textContent = found.tempo_bpm === null || found.is_tempo_sure ? tempo : `${tempo}?`;
      $("tempo").title = found.is_tempo_sure ? "Listen with the click: it may be half or twice the tempo" : "The beats are irregular: it may be wrong";
      const key = keys.indexOf(found.key);
      const heard = keys[12 * (key >= 12) + ((key + semitones + 24) % 12)];
      $("key-heard").textContent = key >= 0 && semitones ? `heard in ${heard}` : "";
      const { tempo_factor: factor } = this.correction;
      $("tempo-half").disabled = factor / 2 < FACTORS[0];
      $("tempo-double").disabled = factor * 2 > FACTORS[1];
    }

    _take(music) {
      this.found = music;
      this.correction = (music && music.correction) || { tempo_factor: 1 };
      this.version++;
      if (music) this._offer();
      this.player.beatsChanged();
      this.render();
    }

    /* The likely keys come first. */
    _offer() {
      const { key, is_key_sure: isSure, other_keys: others } = this.found;
      const option = (name) => element("option", { value: name }, name === key && !isSure ? `${name}?` : name);
      const likely = [key, ...others.filter((each) => each !== key)].filter(Boolean);
      const rest = this.keys.filter((each) => !likely.includes(each));
      $("key").replaceChildren(
        key ? "" : element("option", { value: "" }, "unknown"),
        element("optgroup", { label: "Likely" }, ...likely.map(option)),
        element("optgroup", { label: "Others" }, ...rest.map(option)),
      );
      $("key").value = key || "";
      $("key").title = isSure ? "" : "Several keys fit about as well";
      $("key").disabled = !this.source.correct;
      $("bar").value = this.found.beats_in_bar;
    }

    _scale(by) {
      this._correct({ tempo_factor: this.correction.tempo_factor * by });
    }

    async _correct(change) {
      const { song } = this.player;
      const wanted = (this.correction = { ...this.correction, ...change }); // one may follow before the answer
      try {
        const { music } = await this.source.correct(song, wanted);
        if (wanted === this.correction) this._take(music);
      } catch (error) {
        if (wanted !== this.correction) return;
        this.player.tell(error.message);
        this._take(this.found);
      }
    }

    _setClick(decibels) {
      $("click").value = decibels;
      const text = decibels <= OFF_DB ? "off" : `${decibels} dB`.replace("-", "−");
      $("click-value").textContent = text;
      $("click").setAttribute("aria-valuetext", text);
    }

    _clickChanged() {
      this._setClick(Number($("click").value));
      this.player.clickChanged();
    }
  }

  partita.Music = Music;
})();
