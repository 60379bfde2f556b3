/* Waveforms: from the peaks that the page brings, and from samples where it is zoomed in. */
"use strict";

(function () {
  function decodePeaks(signal) {
    const text = atob(signal.peaks);
    return Float32Array.from(text, (char) => (char.charCodeAt(0) / 255) * signal.peak);
  }

  /** Greatest samples of a signal over time: Float32Array. */
  partita.peaksOf = function (signal) {
    if (!signal.envelope) signal.envelope = decodePeaks(signal);
    return signal.envelope;
  };

  function greatest(values, from, to) {
    let peak = 0;
    for (let n = Math.max(0, from); n < Math.min(to, values.length); n++) peak = Math.max(peak, Math.abs(values[n]));
    return peak;
  }

  /* Draw columns from `first` on; peakOf(from, to) says how loud a column is, in seconds. */
  function drawColumns(context, { view, hue, loudest }, first, last, peakOf) {
    const { width, height } = context.canvas;
    const timeOf = (x) => view.start + (x / width) * (view.end - view.start);
    context.clearRect(first, 0, last - first, height);
    context.fillStyle = hue;
    for (let x = first; x < last; x++) {
      const half = Math.max(0.5, (peakOf(timeOf(x), timeOf(x + 1)) / loudest) * (height / 2));
      context.fillRect(x, height / 2 - half, 1, 2 * half);
    }
  }

  /** Draw a signal at once, from its peaks.
   *
   * @param context  2D context of a canvas, all of which is drawn on
   * @param state  {view: {start, end} in seconds, seconds: of the song, hue, loudest}
   */
  partita.drawWaveform = function (context, signal, state) {
    const peaks = partita.peaksOf(signal);
    const scale = peaks.length / state.seconds;
    drawColumns(context, state, 0, context.canvas.width, (from, to) => {
      const start = Math.floor(from * scale);
      return greatest(peaks, start, Math.max(start + 1, Math.floor(to * scale)));
    });
  };

  /** Draw a signal anew from its samples, if peaks are too coarse; stops once `wanted` is false. */
  partita.refineWaveform = async function (context, pieces, signal, state, wanted) {
    const { view, seconds } = state;
    const { piece, sampleRate } = pieces.coding;
    const { width } = context.canvas;
    const isFine = (view.end - view.start) / width >= seconds / partita.peaksOf(signal).length;
    if (isFine || !signal.pieces) return;
    const columnOf = (sample) => ((sample / sampleRate - view.start) / (view.end - view.start)) * width;
    const last = Math.min(signal.pieces - 1, Math.floor((view.end * sampleRate) / piece));
    for (let number = Math.floor((view.start * sampleRate) / piece); number <= last; number++) {
      const buffer = await pieces.get(signal, number);
      if (!wanted()) return;
      const channels = Array.from({ length: buffer.numberOfChannels }, (_, n) => buffer.getChannelData(n));
      const first = Math.max(0, Math.ceil(columnOf(number * piece)));
      const end = Math.min(width, Math.ceil(columnOf((number + 1) * piece)));
      drawColumns(context, state, first, Math.max(first, end), (from, to) => {
        const start = Math.round(from * sampleRate) - number * piece;
        const stop = Math.max(start + 1, Math.round(to * sampleRate) - number * piece);
        return Math.max(...channels.map((samples) => greatest(samples, start, stop)));
      });
    }
  };
})();
