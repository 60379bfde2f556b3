/* Spectrograms, computed from decoded pieces for the seconds that are shown. */
"use strict";

(function () {
  const SIZE = 2048; // samples of a frame
  const KNEE_HZ = 200; // about linear below, logarithmic above; as in the figures of partita
  const [FLOOR_DB, TOP_DB] = [-96, -16]; // of a sine of full scale
  const SCALE = [
    // dark to light, from matplotlib's magma
    [0, 0, 4],
    [24, 15, 61],
    [68, 15, 118],
    [114, 31, 129],
    [158, 47, 127],
    [205, 64, 113],
    [241, 96, 93],
    [253, 150, 104],
    [254, 202, 141],
    [252, 253, 191],
  ];
  const HANN = Float32Array.from({ length: SIZE }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / SIZE));
  const COS = Float64Array.from({ length: SIZE / 2 }, (_, n) => Math.cos((2 * Math.PI * n) / SIZE));
  const SIN = Float64Array.from({ length: SIZE / 2 }, (_, n) => -Math.sin((2 * Math.PI * n) / SIZE));

  const onScale = (hertz) => Math.log2(1 + hertz / KNEE_HZ);

  /* In place, radix 2. */
  function transform(re, im) {
    for (let i = 1, j = 0; i < SIZE; i++) {
      let bit = SIZE >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) {
        [re[i], re[j]] = [re[j], re[i]];
        [im[i], im[j]] = [im[j], im[i]];
      }
    }
    for (let length = 2; length <= SIZE; length <<= 1) {
      const half = length >> 1;
      const step = SIZE / length;
      for (let start = 0; start < SIZE; start += length) {
        for (let n = 0, k = 0; n < half; n++, k += step) {
          const a = start + n;
          const b = a + half;
          const r = re[b] * COS[k] - im[b] * SIN[k];
          const i = re[b] * SIN[k] + im[b] * COS[k];
          re[b] = re[a] - r;
          im[b] = im[a] - i;
          re[a] += r;
          im[a] += i;
        }
      }
    }
  }

  function colours() {
    return Uint8ClampedArray.from({ length: 256 * 3 }, (_, index) => {
      const place = (Math.floor(index / 3) / 255) * (SCALE.length - 1);
      const low = Math.min(SCALE.length - 2, Math.floor(place));
      const [a, b] = [SCALE[low][index % 3], SCALE[low + 1][index % 3]];
      return a + (place - low) * (b - a);
    });
  }
  const COLOURS = colours();

  /** For each row of a picture, from the top: its first and last bin. */
  function binsOfRows(rows, sampleRate) {
    const top = onScale(sampleRate / 2);
    return Array.from({ length: rows }, (_, row) => {
      const edge = (place) => (KNEE_HZ * (2 ** ((top * place) / rows) - 1) * SIZE) / sampleRate;
      const low = Math.min(SIZE / 2, Math.max(0, Math.round(edge(rows - row - 1))));
      return [low, Math.min(SIZE / 2, Math.max(low, Math.round(edge(rows - row)) - 1))];
    });
  }

  /* One column of the picture: the loudest bin of each row. */
  function drawColumn(picture, x, re, im, rows) {
    const norm = (4 / SIZE) ** 2 / 2; // of the window's sum; and of the mean of two channels
    rows.forEach(([low, high], y) => {
      let power = 0;
      for (let bin = low; bin <= high; bin++) {
        const mirrored = (SIZE - bin) % SIZE; // left is the real signal, right the imaginary one
        const [a, b] = [re[bin] + re[mirrored], im[bin] - im[mirrored]];
        const [c, d] = [im[bin] + im[mirrored], re[mirrored] - re[bin]];
        power = Math.max(power, (norm * (a * a + b * b + c * c + d * d)) / 4);
      }
      const level = (10 * Math.log10(power + 1e-20) - FLOOR_DB) / (TOP_DB - FLOOR_DB);
      const colour = 3 * Math.round(255 * Math.min(1, Math.max(0, level)));
      const pixel = 4 * (y * picture.width + x);
      for (let part = 0; part < 3; part++) picture.data[pixel + part] = COLOURS[colour + part];
      picture.data[pixel + 3] = 255;
    });
  }

  /** Where a frequency lies, from 0 at the bottom to 1 at the top. */
  partita.placeOfFrequency = (hertz, sampleRate) => onScale(hertz) / onScale(sampleRate / 2);

  /** Draw a signal's spectrogram piece by piece; stops early once `wanted` is false.
   *
   * @param context  2D context of a canvas, all of which is drawn on
   * @param pieces  partita.Pieces
   * @param view  {start, end} in seconds
   */
  partita.drawSpectrogram = async function (context, pieces, signal, view, wanted) {
    const { width, height } = context.canvas;
    const { piece, sampleRate } = pieces.coding;
    const rows = binsOfRows(height, sampleRate);
    const re = new Float32Array(SIZE);
    const im = new Float32Array(SIZE);
    const centre = (x) => Math.round((view.start + ((x + 0.5) / width) * (view.end - view.start)) * sampleRate);
    context.fillStyle = `rgb(${SCALE[0]})`;
    context.fillRect(0, 0, width, height);
    if (!signal.pieces) return;
    for (let x = 0; x < width;) {
      const number = Math.floor(centre(x) / piece);
      if (number >= signal.pieces) break;
      const buffer = await pieces.get(signal, number);
      if (!wanted()) return;
      const [left, right] = [0, buffer.numberOfChannels - 1].map((channel) => buffer.getChannelData(channel));
      const first = x;
      const picture = new ImageData(Math.min(width - x, columnsOf(x, number)), height);
      for (; x < width && Math.floor(centre(x) / piece) === number; x++) {
        const from = Math.max(0, Math.min(centre(x) - number * piece - SIZE / 2, buffer.length - SIZE));
        for (let n = 0; n < SIZE; n++) {
          re[n] = HANN[n] * (left[from + n] || 0);
          im[n] = HANN[n] * (right[from + n] || 0);
        }
        transform(re, im);
        drawColumn(picture, x - first, re, im, rows);
      }
      context.putImageData(picture, first, 0);
      await new Promise((resolve) => setTimeout(resolve)); // the page stays awake
    }

    function columnsOf(x, number) {
      let last = x;
      while (last < width && Math.floor(centre(last) / piece) === number) last++;
      return last - x;
    }
  };
})();
