/* A stream of stereo blocks through models: windows, overlap-add, chains.
 *
 * As partita.dsp.overlap_add and partita.separation.chain have it. A block is [left, right], two
 * Float32Array of one length; estimates are one block for each source. Memory holds a few windows.
 */

/** Samples of a stream, by their place in it. */
class Held {
  constructor() {
    this.start = 0;
    this.channels = [new Float32Array(0), new Float32Array(0)];
  }

  get end() {
    return this.start + this.channels[0].length;
  }

  append(block) {
    this.channels = this.channels.map((samples, n) => {
      const joined = new Float32Array(samples.length + block[n].length);
      joined.set(samples);
      joined.set(block[n], samples.length);
      return joined;
    });
  }

  read(from, to) {
    return this.channels.map((samples) => samples.slice(from - this.start, to - this.start));
  }

  drop(before) {
    this.channels = this.channels.map((samples) => samples.slice(before - this.start));
    this.start = before;
  }
}

/* Squared sines at half samples: they add up to one with the fade-out. */
function rampOf(length) {
  return Float32Array.from({ length }, (_, n) => Math.sin((Math.PI / 2) * ((n + 0.5) / length)) ** 2);
}

function padded(samples, length) {
  if (samples.length === length) return samples;
  const longer = new Float32Array(length);
  longer.set(samples);
  return longer;
}

/** How many windows a model wants of so many samples. */
export function windowsOf(samples, { length, overlap }) {
  return samples > length ? 1 + Math.ceil((samples - length) / (length - overlap)) : 1;
}

/** One model: windows of its length, crossfaded where they overlap. */
export class Windowed {
  /** @param sources  names in the order of the estimates
   * @param window  {length, overlap, step, least} in samples: no more than half of a window overlaps, all
   *   windows begin at multiples of the step, and the model wants the least at least
   * @param run  promises the estimates of a window
   */
  constructor(sources, window, run) {
    const { length, overlap, step, least } = window;
    Object.assign(this, { sources, run, length, step, least, hop: length - overlap });
    this.ramp = rampOf(overlap);
    this.held = new Held();
    this.next = 0; // where the next window begins
    this.open = sources.map(() => new Held()); // estimates that later windows add to
  }

  /** Promise of the estimates that a further block completes; the last block may be empty. */
  async push(block, last) {
    this.held.append(block);
    while (this.held.end > this.next + this.length) {
      await this._window(this.next, this.next + this.length, false);
      this.held.drop(this.next); // the last window may begin anywhere behind this one's start
      this.next += this.hop;
    }
    const { end } = this.held;
    if (last && end) await this._window(Math.max(0, Math.ceil((end - this.length) / this.step) * this.step), end, true);
    const complete = last ? end : this.next;
    return this.open.map((held) => {
      const finished = held.read(held.start, complete);
      held.drop(complete);
      return finished;
    });
  }

  async _window(start, end, isLast) {
    // The last window is moved back instead of padded, but for what is missing to a step.
    const length = start ? this.length : Math.max(this.least, end);
    const estimates = await this.run(this.held.read(start, end).map((samples) => padded(samples, length)));
    const { next, ramp } = this;
    estimates.forEach((estimate, source) => {
      const held = this.open[source];
      const used = estimate.map((samples) => samples.subarray(next - start, end - start));
      for (const samples of used) {
        if (next > 0) for (let n = 0; n < ramp.length; n++) samples[n] *= ramp[n];
        if (!isLast) for (let n = 1; n <= ramp.length; n++) samples[samples.length - n] *= ramp[n - 1];
      }
      const shared = held.end - next;
      used.forEach((samples, channel) => {
        const before = held.channels[channel];
        for (let n = 0; n < shared; n++) before[next - held.start + n] += samples[n];
      });
      held.append(used.map((samples) => samples.subarray(shared)));
    });
  }
}

/** Two in a row: the second separates one source of the first. Estimates of one name are added. */
export class Chain {
  constructor(first, second, taken) {
    Object.assign(this, { first, second, taken: first.sources.indexOf(taken) });
    this.others = first.sources.filter((name) => name !== taken);
    this.sources = [...new Set([...this.others, ...second.sources])];
    this.held = this.others.map(() => new Held()); // they wait for the second's
  }

  async push(block, last) {
    const estimates = await this.first.push(block, last);
    const [stem] = estimates.splice(this.taken, 1);
    const parts = await this.second.push(stem, last);
    const count = parts[0][0].length;
    const others = this.held.map((held, n) => {
      held.append(estimates[n]);
      const aligned = held.read(held.start, held.start + count);
      held.drop(held.start + count);
      return aligned;
    });
    return this.sources.map((name) => {
      const found = [others[this.others.indexOf(name)], parts[this.second.sources.indexOf(name)]].filter(Boolean);
      return found.length === 1 ? found[0] : found[0].map((samples, channel) => samples.map((value, n) => value + found[1][channel][n]));
    });
  }
}
