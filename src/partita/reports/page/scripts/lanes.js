/* A lane for each stem: waveform, spectrogram and SDR over time, on one axis of time. */
"use strict";

(function () {
  const GUTTER = 40; // pixels at the left, for what the axes say
  const [WAVE_HEIGHT, SDR_HEIGHT, PICTURE_HEIGHT] = [52, 62, 120];
  const LABELLED_HZ = { 100: "100", 1000: "1k", 10000: "10k" };
  const LEAST_SDR = -15; // drawn; a window can be far below

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  partita.make = make;

  /* A canvas of the element's size in the screen's own pixels; its context, cleared. */
  function fresh(canvas, height) {
    const width = canvas.parentElement.clientWidth - GUTTER;
    const dense = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(width * dense));
    canvas.height = Math.round(height * dense);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.style.marginLeft = `${GUTTER}px`;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    return context;
  }

  class Lane {
    /**
     * @param name  of the stem
     * @param orders  {solo(), mute(), choose()}: what the lane's buttons do; null: it has none
     */
    constructor(name, orders) {
      this.name = name;
      this.wave = make("canvas", { class: "wave", "aria-hidden": "true" });
      this.picture = make("canvas", { class: "picture", "aria-hidden": "true" });
      this.hertz = make("div", { class: "hertz", "aria-hidden": "true" });
      this.frame = make("div", { class: "picture-frame", hidden: "" }, this.hertz, this.picture);
      this.curves = make("div", { class: "curves", "aria-hidden": "true" });
      this.view = make("div", { class: "lane-view" }, this.wave, this.frame, this.curves);
      this.readout = make("output", { class: "readout", "aria-live": "off" });
      this.buttons = [];
      const head = make("div", { class: "lane-head" }, make("span", { class: "stem" }, name));
      if (orders) {
        this.mute = make(
          "button",
          { type: "button", "aria-pressed": "false", "aria-label": `Mute ${name}`, title: "Mute (m)" },
          "M",
        );
        this.solo = make(
          "button",
          { type: "button", "aria-pressed": "false", "aria-label": `Solo ${name}`, title: "Solo (s)" },
          "S",
        );
        this.mute.addEventListener("click", orders.mute);
        this.solo.addEventListener("click", orders.solo);
        head.addEventListener("click", orders.choose);
        head.append(make("span", { class: "pair" }, this.mute, this.solo));
      }
      head.append(this.readout);
      this.element = make("div", { class: "lane" }, head, this.view);
      this.element.dataset.stem = name;
      this.drawn = ""; // what the picture shows
      this.turn = 0; // of drawings of the waveform
    }

    /** Show these curves, a list of {name, values}, of windows `hop` seconds apart. */
    setSdr(curves, hop) {
      this.sdr = curves;
      this.hop = hop;
      if (this.chart) this.chart.destroy();
      this.chart = null;
      this.curves.hidden = !curves.some((curve) => curve.values.some((value) => value !== null));
      if (this.curves.hidden) return;
      const length = Math.max(...curves.map((curve) => curve.values.length));
      const times = Array.from({ length: length + 1 }, (_, n) => n * hop);
      const clipped = curves.map(({ values }) => [
        ...Array.from({ length }, (_, n) =>
          values[n] === null || values[n] === undefined ? null : Math.max(LEAST_SDR, values[n]),
        ),
        null, // the last step ends here
      ]);
      const series = curves.map((_, number) => ({
        stroke: () => partita.hue(number),
        paths: uPlot.paths.stepped({ align: 1, extend: true }),
        points: { show: false },
      }));
      const options = {
        width: this.curves.clientWidth || 300,
        height: SDR_HEIGHT,
        padding: [6, 0, 4, 0],
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { time: false, auto: false },
          y: { range: (_, low, high) => [Math.min(0, low) - 1, Math.max(5, high) + 1] },
        },
        axes: [{ show: false }, partita.axis({ size: GUTTER, splits: splitsOf, font: "11px system-ui, sans-serif" })],
        series: [{}, ...series],
      };
      this.chart = new uPlot(options, [times, ...clipped], this.curves);
    }

    /** SDR of a curve at a time, or null. */
    sdrAt(name, time) {
      const curve = (this.sdr || []).find((each) => each.name === name);
      const value = curve && curve.values[Math.floor(time / this.hop)];
      return value === undefined ? null : value;
    }

    /**
     * Draw what is to be seen.
     *
     * @param state  {signal, system, hue, view, seconds, loudest, spectrograms, pieces, failed};
     *   signal may be undefined
     */
    draw(state) {
      this._drawWave(state);
      this.frame.hidden = !state.spectrograms || !state.signal;
      if (!this.frame.hidden) this._drawPicture(state);
      if (this.chart) this._drawCurves(state);
    }

    async _drawWave(state) {
      const { signal, pieces, failed } = state;
      const context = fresh(this.wave, WAVE_HEIGHT);
      const turn = ++this.turn;
      if (!signal) return;
      partita.drawWaveform(context, signal, state);
      try {
        await partita.refineWaveform(context, pieces, signal, state, () => this.turn === turn);
      } catch (error) {
        failed(error);
      }
    }

    async _drawPicture({ signal, view, pieces, failed }) {
      const wanted = `${signal.folder} ${view.start} ${view.end} ${this.view.clientWidth}`;
      if (wanted === this.drawn) return;
      this.drawn = wanted;
      const context = fresh(this.picture, PICTURE_HEIGHT);
      this._labelHertz(pieces.coding.sampleRate);
      try {
        await partita.drawSpectrogram(context, pieces, signal, view, () => this.drawn === wanted);
      } catch (error) {
        failed(error);
      }
    }

    _labelHertz(sampleRate) {
      const shown = Object.entries(LABELLED_HZ).filter(([hertz]) => Number(hertz) < sampleRate / 2);
      const labels = shown.map(([hertz, text]) => {
        const label = make("span", {}, text);
        label.style.bottom = `${100 * partita.placeOfFrequency(Number(hertz), sampleRate)}%`;
        return label;
      });
      this.hertz.replaceChildren(...labels);
    }

    _drawCurves({ system, view }) {
      const width = this.curves.clientWidth;
      this.sdr.forEach(({ name }, number) => {
        const series = this.chart.series[number + 1];
        series.width = name === system ? 2 : 1;
        series.alpha = name === system ? 1 : 0.3;
      });
      if (width && width !== this.chart.width) this.chart.setSize({ width, height: SDR_HEIGHT });
      this.chart.redraw();
      this.chart.setScale("x", { min: view.start, max: view.end }); // last: redraw sets the old one
    }
  }

  function splitsOf(chart, axis, low, high) {
    const step = [5, 10, 20, 50].find((each) => (high - low) / each < 4) || 100;
    const splits = [];
    for (let value = Math.ceil(low / step) * step; value <= high; value += step) splits.push(value + 0); // no -0
    return splits;
  }

  Lane.gutter = GUTTER;
  partita.Lane = Lane;
})();
