/* The stereo field of a song, and a linear map towards ordinary stereo: partita.dsp.stereo, whose
 * numbers these are; what they stand for is said there.
 */

const FRAME_S = 0.093;
const MAX_FRAMES = 768;
const [LOWEST_HZ, OCTAVES] = [80, 6];
const AUDIBLE = 1e-6;
const COMPRESSION = 0.3;
const MAX_DB = 120;
const IMBALANCE_DB = [4, 8];
const ONE_SIDED_DB = [20, 35];
const INVERTED_DB = 6;
const NARROW_DB = -21.5;
const [EXTRA_RAISE, TYPICAL_DB] = [0.7, -16];
const TRUSTED_DB = [-30, -23];
const NOISE_DB = [-70, -62];
const [RAISED_DB, MAX_RAISED_DB] = [-50, 60];
const MUSIC = [0.06, 0.16];
const [BASS_HZ, MIN_BASS_CORRELATION] = [250, 0.45];
const MIN_BASS = 1e-3;

const IDENTITY = [1, 0, 0, 1]; // of left and right, row by row

/** How a song's channels are mapped before separation, and estimates afterwards. */
export class StereoField {
  /** @param matrix  maps left and right; @param side  weight of left minus right for networks */
  constructor(matrix, side, isPanned) {
    Object.assign(this, { matrix, isPanned, side: isPanned ? 0 : side });
    const [a, b, c, d] = matrix;
    const det = a * d - b * c;
    this.inverse = [d / det, -b / det, -c / det, a / det];
  }

  /** The field of songs with equal channels. */
  static mono() {
    return new StereoField(widening(10 ** (MAX_RAISED_DB / 20)), 0, false);
  }

  /** Return the blocks to separate: two of a hard-panned song, each channel as a mono song. */
  apply(block) {
    const [left, right] = product(this.matrix, block);
    return this.isPanned ? [[left, left], [right, right]] : [[left, right]];
  }

  /** Map estimates of one source, of each block that apply returned, to a block of the song. */
  undo(blocks) {
    const mean = ([left, right]) => left.map((value, n) => (value + right[n]) / 2);
    return product(this.inverse, this.isPanned ? blocks.map(mean) : blocks[0]);
  }
}

function product(matrix, [left, right]) {
  if (matrix.every((value, n) => value === IDENTITY[n])) return [left, right];
  const [a, b, c, d] = matrix;
  return [left.map((value, n) => a * value + b * right[n]), right.map((value, n) => c * left[n] + d * value)];
}

/** Which frames are measured: evenly spaced over the song. */
export function framesOf(samples, sampleRate) {
  const size = 2 ** Math.max(4, Math.round(Math.log2(FRAME_S * sampleRate)));
  const count = Math.floor(samples / size);
  let stride = 1;
  while (Math.ceil(count / stride) > MAX_FRAMES) stride *= 2;
  const starts = Array.from({ length: Math.ceil(count / stride) }, (_, n) => n * stride * size);
  return { size, starts: count || !samples ? starts : [0] };
}

/** The Hann window of a frame; a song shorter than a frame has one of its own length. */
export function hann(count, size) {
  const period = count < size ? count + 1 : size;
  const first = 1; // as in partita: zero only at the last sample
  return Float32Array.from({ length: count }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (n + first)) / period));
}

/** The stereo field of a song, from the spectra of its frames.
 *
 * @param frames  of each frame [left, right]: Float32Array of real and imaginary part of each bin
 */
export function fieldOf(frames, size, sampleRate) {
  if (!frames.length) return new StereoField(IDENTITY, 1, false);
  const binOf = (hertz) => Math.ceil((hertz * size) / sampleRate);
  const top = Math.min(size / 2 + 1, binOf(LOWEST_HZ * 2 ** OCTAVES));
  const song = { frames, top, bass: Math.min(top, binOf(BASS_HZ)) };
  song.bands = bandsOf(song, binOf);
  let matrix = balance(song);
  let [mid, side] = [combination(matrix, 1), combination(matrix, -1)];
  let widthDb = ratioDb(song, side, mid);
  if (widthDb > INVERTED_DB) {
    matrix = [matrix[0], matrix[1], -matrix[2], -matrix[3]];
    [mid, side] = [side, mid];
    widthDb = -widthDb;
  }
  if (isHardPanned(song, mid, side)) return new StereoField(matrix, 1, true);
  const music = ramp(correlation(song, side, mid), MUSIC) * ramp(widthDb, NOISE_DB);
  const weight = Math.max(music, ramp(widthDb, TRUSTED_DB));
  const missingDb = Math.max(0, NARROW_DB - widthDb);
  const raisedDb = Math.min(EXTRA_RAISE * missingDb, TYPICAL_DB - NARROW_DB);
  const gainDb = Math.max(Math.min(1, 4 * weight) * (missingDb + raisedDb), gainWithoutWeight(-widthDb));
  return new StereoField(gainDb ? times(widening(10 ** (gainDb / 20)), matrix) : matrix, weight, false);
}

/* A signal is a pair of factors: that of left and of right. */
const LEFT = [1, 0];
const RIGHT = [0, 1];
const combination = ([a, b, c, d], sign) => [a + sign * c, b + sign * d];

function power([left, right], [l, r], bin) {
  const re = l * left[2 * bin] + r * right[2 * bin];
  const im = l * left[2 * bin + 1] + r * right[2 * bin + 1];
  return re * re + im * im;
}

function powerIn({ frames }, signal, from, to) {
  let sum = 0;
  for (const frame of frames) for (let bin = from; bin < to; bin++) sum += power(frame, signal, bin);
  return sum;
}

/* The octaves that are not silent, or all bins as one band. */
function bandsOf(song, binOf) {
  const whole = powerIn(song, LEFT, 0, song.top) + powerIn(song, RIGHT, 0, song.top);
  const edges = Array.from({ length: OCTAVES + 1 }, (_, n) => Math.min(song.top, binOf(LOWEST_HZ * 2 ** n)));
  const octaves = edges.slice(1).map((to, n) => [edges[n], to]);
  const isAudible = ([from, to]) => powerIn(song, LEFT, from, to) + powerIn(song, RIGHT, from, to) > AUDIBLE * whole;
  const audible = octaves.filter(isAudible);
  return audible.length ? audible : [[0, song.top]];
}

/* Whether the bass is off centre, where ordinary stereo has it whatever else is wide. */
function isHardPanned(song, mid, side) {
  const [wholeMid, wholeSide] = [powerIn(song, mid, 0, song.top), powerIn(song, side, 0, song.top)];
  let [lowMid, lowSide] = [powerIn(song, mid, 0, song.bass), powerIn(song, side, 0, song.bass)];
  if (lowMid + lowSide < MIN_BASS * (wholeMid + wholeSide)) [lowMid, lowSide] = [wholeMid, wholeSide];
  return lowMid - lowSide < MIN_BASS_CORRELATION * (lowMid + lowSide);
}

function widening(gain) {
  return [(1 + gain) / 2, (1 - gain) / 2, (1 - gain) / 2, (1 + gain) / 2];
}

function times([a, b, c, d], [e, f, g, h]) {
  return [a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h];
}

function gainWithoutWeight(missingDb) {
  return Math.min(Math.max(0, missingDb + RAISED_DB), MAX_RAISED_DB);
}

/* The matrix that corrects the imbalance of the channels. */
function balance(song) {
  const differenceDb = ratioDb(song, LEFT, RIGHT);
  const imbalanceDb = Math.abs(differenceDb);
  const correction = ramp(imbalanceDb, IMBALANCE_DB);
  if (!correction) return IDENTITY;
  const music = ramp(correlation(song, LEFT, RIGHT), MUSIC) * ramp(-imbalanceDb, NOISE_DB);
  const gain = 10 ** (Math.max(music * correction * imbalanceDb, gainWithoutWeight(imbalanceDb)) / 20);
  const copied = (1 - music) * ramp(imbalanceDb, ONE_SIDED_DB);
  return differenceDb > 0 ? [1, 0, copied, gain] : [gain, copied, 0, 1];
}

/* Power ratio in dB, mean over the bands. */
function ratioDb(song, above, below) {
  const ratios = song.bands.map(([from, to]) => {
    const powers = [powerIn(song, above, from, to), powerIn(song, below, from, to)];
    const least = 10 ** (-MAX_DB / 10) * Math.max(...powers) + 2.2250738585072014e-308;
    return 10 * Math.log10(Math.max(powers[0], least) / Math.max(powers[1], least));
  });
  return ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
}

/* Correlation of compressed magnitudes over time, mean over the bands. */
function correlation({ frames, bands }, one, other) {
  const found = bands.map(([from, to]) => {
    let [both, ofOne, ofOther] = [0, 0, 0];
    for (let bin = from; bin < to; bin++) {
      const a = frames.map((frame) => power(frame, one, bin) ** (COMPRESSION / 2));
      const b = frames.map((frame) => power(frame, other, bin) ** (COMPRESSION / 2));
      const [meanA, meanB] = [a, b].map((values) => values.reduce((sum, value) => sum + value, 0) / values.length);
      for (let n = 0; n < a.length; n++) {
        both += (a[n] - meanA) * (b[n] - meanB);
        ofOne += (a[n] - meanA) ** 2;
        ofOther += (b[n] - meanB) ** 2;
      }
    }
    const norm = Math.sqrt(ofOne * ofOther);
    return norm > 0 ? both / norm : 0;
  });
  return found.reduce((sum, value) => sum + value, 0) / found.length;
}

function ramp(value, [low, high]) {
  return Math.min(1, Math.max(0, (value - low) / (high - low)));
}
