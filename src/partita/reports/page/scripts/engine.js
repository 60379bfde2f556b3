/* Plays the signals of one song on one clock: in sync to the sample, switched without a click.
 *
 *   const engine = new partita.Engine("audio/", {sampleRate, piece, fade});   // Coding.for_engine()
 *   engine.load({reference: {folder, samples, scale, pieces}, a: …});         // PageSignal.for_engine()
 *   engine.setMix({reference: 1});     // what is heard: name → level; anything may be added or dropped
 *   engine.setPan("a", -1);            // -1 (left) to 1 (right)
 *   engine.speed = 0.8;                // 1: as recorded; the pitch goes with it
 *   engine.warm(["a", "b"]);           // what may be switched to next: decoded ahead
 *   engine.play();  engine.pause();  engine.seek(12.5);                       // in seconds
 *   engine.setLoop({start: 10, end: 14});  engine.setLoop(null);
 *   engine.leadIn = (place, begin) => ({seconds, stop});   // what is heard before a play, or a repetition, from
 *                                      // a place in the song on; begins at `begin` of the clock; null: nothing
 *   engine.time, engine.duration, engine.playing, engine.mix, engine.loop, engine.volume
 *   new partita.Engine(base, coding, load)   // pieces from elsewhere than scripts: see pieces.js
 *   engine.output                      // GainNode, null before the first play: for meters
 *   engine.addEventListener("change", …)   // any of the above has changed, but not for time running
 *   engine.addEventListener("error", (event) => show(event.message))
 *
 * How: takes.js.
 */
"use strict";

(function () {
  const { Take, RAMP_S } = partita;
  const AHEAD_S = 0.02; // from an order to its being heard; less may come too late for the clock
  const HORIZON_S = 2.5; // scheduled ahead: pages in the background wake up once a second
  const TICK_MS = 100;
  const SHORTEST_LOOP_S = 0.1;
  const PATIENCE_MS = 3000; // until it is said that the browser's sound does not start

  class Engine extends EventTarget {
    constructor(base, coding, load) {
      super();
      this.coding = coding;
      this.pieces = new partita.Pieces(base, coding, load);
      this.context = this.output = null;
      this.signals = new Map();
      this.mix = new Map();
      this.pans = new Map();
      this.warmed = [];
      this.loop = this.leadIn = null;
      this.playing = false;
      this.duration = 0;
      this._volume = this._speed = 1;
      this._takes = [];
      this._place = 0; // sample where it stands, or will go on
      this._waiting = true; // whether _place counts, not the takes
      this._turn = this._mixTurn = this._lastRamp = 0;
      this._timer = null;
      this._told = new Set(); // errors
      this._asked = new Set(); // pieces that are being loaded
      this._lost = new Set(); // pieces that cannot be
    }

    /** Take the signals of a song, of equal length; stops what plays. */
    load(signals) {
      this.pause();
      this.signals = new Map(Object.entries(signals));
      this.duration = Math.max(0, ...[...this.signals.values()].map((s) => s.samples)) / this.coding.sampleRate;
      this.mix = new Map();
      this.pans = new Map();
      this.warmed = [];
      this.loop = null;
      this._place = 0;
      this._told.clear();
      this._changed();
    }

    get time() {
      return Math.min(this._here(), this._length()) / this.coding.sampleRate;
    }

    get volume() {
      return this._volume;
    }

    set volume(level) {
      this._volume = level;
      if (this.output) this.output.gain.setTargetAtTime(level, this.context.currentTime, RAMP_S);
      this._changed();
    }

    get speed() {
      return this._speed;
    }

    set speed(factor) {
      if (factor === this._speed) return;
      this._speed = factor;
      if (this.playing && !this._waiting) this._jump(null);
      else this._changed();
    }

    /** Place a signal between left (-1) and right (1). */
    setPan(name, pan) {
      this.pans.set(name, pan);
      for (const take of this._takes) if (take.voices.has(name)) take.voices.get(name).pan(pan);
      this._changed();
    }

    async play() {
      if (this.playing) return;
      this.playing = true;
      if (this._place >= this._length()) this._place = 0;
      this._changed();
      const turn = ++this._turn;
      const ready = this._ready(this._place, this.mix);
      const late = setTimeout(() => turn === this._turn && this._complain(), PATIENCE_MS);
      await Promise.all([this._open().resume(), ready]);
      clearTimeout(late);
      if (turn === this._turn) this._jump(this._place, true);
    }

    _complain() {
      const isSilent = this.context.state !== "running";
      if (isSilent) this._failed(new Error("the browser does not start its sound: is there an output device?"));
    }

    pause() {
      this._turn++;
      this._mixTurn++;
      if (!this.playing) return;
      if (this._takes.length) {
        const at = this._soon();
        if (!this._waiting) this._place = Math.min(this._sampleAt(at), this._length());
        this._closeAll(at);
      }
      this._waiting = true;
      this.playing = false;
      this._changed();
    }

    async seek(seconds) {
      const rate = this.coding.sampleRate;
      this._place = Math.max(0, Math.min(this._length(), Math.round(seconds * rate)));
      this._waiting = true;
      this._changed();
      const turn = ++this._turn;
      await this._ready(this._place, this.mix);
      if (turn === this._turn && this.playing) this._jump(this._place);
    }

    /** Repeat {start, end}, in seconds; null: play to the end. */
    setLoop(loop) {
      const long = loop && loop.end - loop.start >= SHORTEST_LOOP_S;
      this.loop = long ? { start: Math.max(0, loop.start), end: Math.min(this.duration, loop.end) } : null;
      const here = this.time;
      if (this.loop && (here < this.loop.start || here >= this.loop.end)) this.seek(this.loop.start);
      else if (this.playing && !this._waiting) this._jump(null);
      else this._changed();
    }

    /** Hear these signals, {name: level}, from now on and together; what is unknown is left out. */
    async setMix(levels) {
      const heard = Object.entries(levels).filter(([name, level]) => level !== 0 && this.signals.has(name));
      this.mix = new Map(heard);
      this._changed();
      const turn = ++this._mixTurn;
      const mix = this.mix;
      await this._ready(this._here(), mix);
      if (turn !== this._mixTurn || this._waiting) return; // else the next take begins with it
      const at = this._soon();
      for (const take of this._takes) if (take.end > at) take.setMix(mix, this.signals, this.pans, at);
      this._lastRamp = at + RAMP_S;
      this._tick();
    }

    /** Decode ahead what may be switched to; in order of likelihood. */
    warm(names) {
      this.warmed = names.filter((name) => this.signals.has(name));
    }

    _changed() {
      this.dispatchEvent(new Event("change"));
    }

    _failed(error) {
      if (this._told.has(error.message)) return;
      this._told.add(error.message);
      const event = new Event("error");
      event.message = error.message;
      this.dispatchEvent(event);
    }

    _open() {
      if (!this.context) {
        this.context = new AudioContext({ sampleRate: this.coding.sampleRate, latencyHint: "interactive" });
        this.output = this.context.createGain();
        this.output.gain.value = this._volume;
        this.output.connect(this.context.destination);
      }
      return this.context;
    }

    _length() {
      return Math.round(this.duration * this.coding.sampleRate);
    }

    /* The first sample of the clock that an order given now can reach, and that no ramp is on. */
    _soon() {
      const rate = this.coding.sampleRate;
      const soon = Math.max(this.context.currentTime + AHEAD_S, this._lastRamp);
      const rising = this._takes.find((take) => take.begin <= soon && soon < take.begin + RAMP_S);
      return Math.ceil((rising ? rising.begin + RAMP_S : soon) * rate) / rate;
    }

    _here() {
      return this._waiting ? this._place : this._sampleAt(this.context.currentTime);
    }

    _sampleAt(time) {
      const begun = this._takes.filter((take) => take.begin <= time);
      const take = begun[begun.length - 1] || this._takes[0];
      const led = take.end <= time && this._takes.find((each) => each.begin > time); // the next is led in
      return led ? led.from : Math.max(take.from, take.sampleAt(time));
    }

    /* Numbers of the pieces that sound at a sample: two where they overlap. */
    _piecesAt(sample, signal) {
      const { piece, fade } = this.coding;
      if (sample >= signal.samples) return [];
      const number = Math.floor(sample / piece);
      const both = number > 0 && sample < number * piece + fade;
      return (both ? [number - 1, number] : [number]).filter((each) => each < signal.pieces);
    }

    async _ready(sample, mix) {
      const wanted = [];
      for (const name of mix.keys()) {
        const signal = this.signals.get(name);
        for (const number of this._piecesAt(sample, signal)) wanted.push(this.pieces.get(signal, number));
      }
      try {
        await Promise.all(wanted);
      } catch (error) {
        this._failed(error);
      }
    }

    /* Begin a take at a sample, or (null) at the one that would be heard then anyway. */
    _jump(sample, isLed = false) {
      const at = this._soon();
      const from = sample === null ? this._sampleAt(at) : sample;
      this._closeAll(at);
      this._begin(at, from, isLed);
      this._lastRamp = at + RAMP_S;
      this._waiting = false;
      if (this._timer === null) this._timer = setInterval(() => this._tick(), TICK_MS);
      this._tick();
      this._changed();
    }

    _begin(at, from, isLed) {
      const rate = this.coding.sampleRate;
      const lead = isLed && this.leadIn ? this.leadIn(from / rate, at) : null;
      const begin = lead ? Math.round((at + lead.seconds) * rate) / rate : at;
      const take = new Take(this.context, this.output, begin, from, rate * this._speed, this._speed);
      take.lead = lead;
      take.setMix(this.mix, this.signals, this.pans, begin);
      this._takes.push(take);
      return take;
    }

    _closeAll(at) {
      for (const take of this._takes) {
        if (take.begin >= at) take.drop();
        else if (take.end > at) take.close(at);
      }
      this._takes = this._takes.filter((take) => take.begin < at);
    }

    _tick() {
      const now = this.context.currentTime;
      for (const take of this._takes) if (take.end + 2 * RAMP_S < now) take.drop();
      this._takes = this._takes.filter((take) => take.end + 2 * RAMP_S >= now);
      if (this.playing && !this._waiting) {
        this._loopOn(now);
        for (const take of this._takes) for (const voice of take.voices.values()) this._fill(take, voice, now);
        if (this._here() >= this._length()) this._finish();
        else this._prefetch();
      }
      if (!this._takes.length && !this.playing) {
        clearInterval(this._timer);
        this._timer = null;
      }
    }

    _loopOn(now) {
      if (!this.loop) return;
      const rate = this.coding.sampleRate;
      const [start, end] = [Math.round(this.loop.start * rate), Math.round(this.loop.end * rate)];
      let last = this._takes[this._takes.length - 1];
      while (last.from < end && last.timeOf(end) < now + HORIZON_S) {
        const at = last.timeOf(end);
        last.close(at);
        last = this._begin(at, start, true);
      }
    }

    /* Schedule what a voice plays within the horizon, as far as its pieces are decoded. */
    _fill(take, voice, now) {
      const signal = voice.signal;
      const ramp = Math.ceil(RAMP_S * this.coding.sampleRate);
      const last = Math.min(signal.samples, take.end === Infinity ? Infinity : take.sampleAt(take.end) + ramp);
      while (voice.next < last && take.timeOf(voice.next) < now + HORIZON_S) {
        const numbers = this._piecesAt(voice.next, signal);
        if (!numbers.length) return;
        const buffers = numbers.map((number) => this.pieces.peek(signal, number));
        if (buffers.some((buffer) => !buffer)) {
          numbers.filter((_, index) => !buffers[index]).forEach((number) => this._fetch(signal, number));
          return;
        }
        if (take.timeOf(voice.next) < now) this._catchUp(take, voice, now);
        else this._sound(take, voice, numbers, buffers, last);
      }
    }

    /* A piece came too late: go on where the others are. */
    _catchUp(take, voice, now) {
      const level = voice.level;
      const at = take.timeOf(take.sampleAt(now + AHEAD_S));
      voice.next = take.sampleAt(at);
      voice.gain.gain.setValueAtTime(0, at);
      voice.gain.gain.linearRampToValueAtTime(level, at + RAMP_S);
    }

    _sound(take, voice, numbers, buffers, last) {
      const { piece, fade, sampleRate } = this.coding;
      const end = Math.min((numbers[numbers.length - 1] + 1) * piece, last);
      numbers.forEach((number, index) => {
        const from = voice.next;
        const to = Math.min(end, number * piece + buffers[index].length);
        if (to <= from) return;
        const node = this.context.createBufferSource();
        node.buffer = buffers[index];
        node.playbackRate.value = take.speed;
        node.connect(voice.gain);
        node.onended = () => {
          node.disconnect();
          voice.nodes.delete(node);
        };
        node.start(take.timeOf(from), (from - number * piece) / sampleRate, (to - from) / sampleRate);
        if (take.end !== Infinity) node.stop(take.end + RAMP_S);
        voice.nodes.add(node);
      });
      voice.next = end;
    }

    /* Load a piece, unless that is under way or has failed; what waits for it is scheduled then. */
    async _fetch(signal, number) {
      const key = signal.folder + "/" + number;
      if (this._asked.has(key) || this._lost.has(key)) return;
      this._asked.add(key);
      try {
        await this.pieces.get(signal, number);
      } catch (error) {
        this._lost.add(key);
        this._failed(error);
      }
      this._asked.delete(key);
      if (this.playing && !this._waiting) this._tick();
    }

    /* What comes next of what is heard; then, one by one, what may be switched to. */
    _prefetch() {
      const rate = this.coding.sampleRate;
      const here = this._here();
      const soon = here + 4 * rate;
      const jump = this.loop && here < this.loop.end * rate && soon >= this.loop.end * rate;
      const places = [here, jump ? Math.round(this.loop.start * rate) : soon];
      const missing = (names) => {
        const wanted = places.flatMap((place) =>
          names
            .map((name) => this.signals.get(name))
            .flatMap((signal) => this._piecesAt(place, signal).map((number) => [signal, number])),
        );
        return wanted.filter(
          ([signal, number]) => !this.pieces.peek(signal, number) && !this._lost.has(signal.folder + "/" + number),
        );
      };
      for (const [signal, number] of missing([...this.mix.keys()])) this._fetch(signal, number);
      const [next] = this._asked.size ? [] : missing(this.warmed);
      if (next) this._fetch(...next);
    }

    _finish() {
      this._closeAll(this._soon());
      this._place = 0;
      this._waiting = true;
      this.playing = false;
      this._changed();
    }
  }

  partita.Engine = Engine;
})();
