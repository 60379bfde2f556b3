/* Makes one player of the audio elements of a notebook's output: all signals on one clock, muted
 * and soloed without a click. Where scripts do not run, the elements play by themselves. */
"use strict";

(function () {
  const RAMP_S = 0.01; // of gains and of starts and ends: no click

  function bytesOf(url) {
    const binary = atob(url.slice(url.indexOf(",") + 1));
    return Uint8Array.from(binary, (char) => char.charCodeAt(0)).buffer;
  }

  function clock(seconds) {
    const whole = Math.floor(seconds);
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  }

  class Player {
    constructor(root) {
      this.root = root;
      this.rows = [...root.querySelectorAll(".partita-row")].map((element) => ({
        element,
        audio: element.querySelector("audio"),
        cursor: element.querySelector(".partita-cursor"),
        wave: element.querySelector(".partita-wave"),
        mute: element.querySelector(".partita-mute"),
        solo: element.querySelector(".partita-solo"),
        buffer: null, // decoded when it is first needed
        node: null, // what plays
        gain: null,
      }));
      this.duration = Number(root.dataset.duration);
      this.bar = root.querySelector(".partita-bar");
      this.button = root.querySelector(".partita-play");
      this.time = root.querySelector(".partita-time");
      this.error = root.querySelector(".partita-error");
      this.context = this.output = null;
      this.take = null; // gain of what plays, from its start to its end
      this.place = 0; // in seconds, while nothing plays
      this.begun = 0; // on the context's clock
      this.playing = false;
      this.turn = 0; // of what was asked last
      this.bar.hidden = false;
      for (const row of this.rows) {
        row.audio.hidden = true;
        row.audio.pause();
        row.wave.addEventListener("click", (event) => this.seek(this._at(row.wave, event)));
        if (!row.mute) continue;
        row.mute.hidden = row.solo.hidden = false;
        row.mute.addEventListener("click", () => this._press(row.mute));
        row.solo.addEventListener("click", (event) => {
          // One alone: a click goes from one signal to another. With Shift, several.
          for (const other of event.shiftKey ? [] : this.rows) {
            if (other !== row) other.solo.setAttribute("aria-pressed", "false");
          }
          this._press(row.solo);
        });
      }
      this.button.addEventListener("click", () => (this.playing ? this.pause() : this.play()));
      window.addEventListener("partita-play", (event) => event.detail !== this && this.pause());
      this._show();
    }

    get now() {
      const ran = this.playing && this.begun ? Math.max(0, this.context.currentTime - this.begun) : 0;
      return Math.min(this.place + ran, this.duration);
    }

    async play() {
      const turn = ++this.turn;
      this.playing = true;
      this.begun = 0;
      this._show();
      window.dispatchEvent(new CustomEvent("partita-play", { detail: this }));
      try {
        await this._open();
      } catch (error) {
        if (turn === this.turn) this._fail();
        return;
      }
      if (turn === this.turn) this._start();
    }

    pause() {
      if (!this.playing) return;
      this.place = this.now;
      this._stop();
      this.turn++;
      this.playing = false;
      this._show();
    }

    seek(seconds) {
      const on = this.playing;
      this.pause();
      this.place = Math.max(0, Math.min(seconds, this.duration));
      if (on) this.play();
      this._show();
    }

    _device() {
      if (!this.context) {
        this.context = new AudioContext();
        this.output = this.context.createGain();
        this.output.connect(this.context.destination);
      }
      return this.context;
    }

    /* Open the audio device, which browsers allow after a click only, and decode. */
    async _open() {
      await Promise.all([
        this._device().resume(),
        ...this.rows.map(async (row) => {
          row.buffer = row.buffer || (await this.context.decodeAudioData(bytesOf(row.audio.src)));
        }),
      ]);
    }

    _start() {
      if (this.place >= this.duration) this.place = 0;
      this.begun = this.context.currentTime + 0.02; // the same sample for all
      this.take = this.context.createGain();
      this.take.connect(this.output);
      this.take.gain.setValueAtTime(0, this.begun);
      this.take.gain.linearRampToValueAtTime(1, this.begun + RAMP_S);
      for (const row of this.rows) {
        row.gain = this.context.createGain();
        row.gain.gain.value = this._heard(row) ? 1 : 0;
        row.gain.connect(this.take);
        row.node = this.context.createBufferSource();
        row.node.buffer = row.buffer;
        row.node.connect(row.gain);
        row.node.start(this.begun, this.place);
      }
      this._tick(this.turn);
    }

    _stop() {
      if (!this.begun) return;
      const end = this.context.currentTime + RAMP_S;
      this.take.gain.cancelScheduledValues(this.context.currentTime);
      this.take.gain.setTargetAtTime(0, this.context.currentTime, RAMP_S / 8);
      for (const row of this.rows) if (row.node) row.node.stop(end);
      this.begun = 0;
    }

    _press(button) {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      this._mix();
    }

    _heard(row) {
      const pressed = (button) => button && button.getAttribute("aria-pressed") === "true";
      const soloed = this.rows.some((other) => pressed(other.solo));
      return soloed ? pressed(row.solo) : !pressed(row.mute);
    }

    _mix() {
      for (const row of this.rows) {
        const heard = this._heard(row);
        row.element.classList.toggle("partita-off", !heard);
        if (this.begun) row.gain.gain.setTargetAtTime(heard ? 1 : 0, this.context.currentTime, RAMP_S / 2);
      }
    }

    _at(wave, event) {
      const box = wave.getBoundingClientRect();
      return ((event.clientX - box.left) / box.width) * this.duration;
    }

    _tick(turn) {
      if (turn !== this.turn) return;
      if (!this.root.isConnected) return void this.pause(); // the output was cleared
      if (this.now >= this.duration) {
        this.pause();
        this.place = 0;
      }
      this._show();
      requestAnimationFrame(() => this._tick(turn));
    }

    _show() {
      this.button.textContent = this.playing ? "Pause" : "Play";
      this.time.textContent = `${clock(this.now)} / ${clock(this.duration)}`;
      for (const row of this.rows) {
        row.cursor.style.display = "block";
        row.cursor.style.left = `${(100 * this.now) / this.duration}%`;
      }
    }

    _fail() {
      this.pause();
      this.bar.hidden = true;
      this.error.textContent = "This browser cannot decode Opus: take a newer one.";
      for (const row of this.rows) row.audio.hidden = false;
    }
  }

  for (const root of document.querySelectorAll(".partita-player:not([data-ready])")) {
    root.dataset.ready = "yes";
    root.partitaPlayer = new Player(root);
  }
})();
