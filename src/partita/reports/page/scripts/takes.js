/* What the engine puts on the clock of Web Audio: takes and voices.
 *
 * A *take* is a stretch that plays without a jump: sample `from` is heard at `begin` on the audio
 * clock. Seeking and looping end a take and begin another, with a crossfade of 5 ms. A take has a
 * *voice* for each signal that is heard; setMix fades voices in and out at one and the same sample.
 */
"use strict";

(function () {
  const RAMP_S = 0.005; // of every fade

  class Voice {
    constructor(signal, take, at, level) {
      const now = take.context.currentTime;
      this.signal = signal;
      this.next = take.sampleAt(at); // what is not scheduled yet
      this.nodes = new Set();
      this.gain = take.context.createGain();
      this.gain.connect(take.gain);
      this.panner = null;
      this.take = take;
      this.level = at > take.begin ? 0 : level;
      this.gain.gain.setValueAtTime(this.level, now);
      this.fade(level, at);
    }

    fade(level, at) {
      if (level === this.level) return;
      this.gain.gain.setValueAtTime(this.level, at);
      this.gain.gain.linearRampToValueAtTime(level, at + RAMP_S);
      this.level = level;
    }

    /* The node's law: the middle changes nothing, with two channels in, which mono becomes. */
    pan(value) {
      if (!this.panner) {
        const { context } = this.take;
        this.panner = new StereoPannerNode(context, { pan: value, channelCount: 2, channelCountMode: "explicit" });
        this.gain.disconnect();
        this.gain.connect(this.panner).connect(this.take.gain);
      }
      this.panner.pan.setTargetAtTime(value, this.take.context.currentTime, RAMP_S);
    }

    stop(at) {
      for (const node of this.nodes) node.stop(at);
      this.next = Infinity;
    }
  }

  class Take {
    /* `rate`: samples a second at which it goes on; `speed`: that rate beside the signals' own. */
    constructor(context, output, begin, from, rate, speed) {
      Object.assign(this, { context, begin, from, rate, speed, end: Infinity, voices: new Map() });
      this.gone = []; // voices that fade out
      this.lead = null; // what is heard before
      this.gain = context.createGain();
      this.gain.gain.value = 0;
      this.gain.gain.setValueAtTime(0, begin);
      this.gain.gain.linearRampToValueAtTime(1, begin + RAMP_S);
      this.gain.connect(output);
    }

    sampleAt(time) {
      return this.from + Math.round((time - this.begin) * this.rate);
    }

    timeOf(sample) {
      return this.begin + (sample - this.from) / this.rate;
    }

    setMix(mix, signals, pans, at) {
      const when = Math.max(at, this.begin);
      for (const [name, voice] of this.voices) {
        if (mix.has(name)) continue;
        voice.fade(0, at);
        voice.stop(Math.max(when, at) + RAMP_S);
        this.voices.delete(name);
        this.gone.push(voice);
      }
      for (const [name, level] of mix) {
        const voice = this.voices.get(name);
        if (voice) voice.fade(level, at);
        else {
          this.voices.set(name, new Voice(signals.get(name), this, when, level));
          if (pans.has(name)) this.voices.get(name).pan(pans.get(name));
        }
      }
    }

    close(at) {
      this.end = at;
      this.gain.gain.cancelScheduledValues(at);
      this.gain.gain.setValueAtTime(1, at);
      this.gain.gain.linearRampToValueAtTime(0, at + RAMP_S);
      for (const voice of [...this.voices.values(), ...this.gone]) {
        for (const node of voice.nodes) node.stop(at + RAMP_S);
      }
    }

    drop() {
      if (this.lead) this.lead.stop();
      for (const voice of [...this.voices.values(), ...this.gone]) {
        for (const node of voice.nodes) node.stop();
      }
      this.gain.disconnect();
    }
  }

  Object.assign(partita, { Take, RAMP_S });
})();
