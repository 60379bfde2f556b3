/* Pieces of signals: loaded as scripts, decoded, cut to the sample, kept while there is room.
 *
 * A page on disk may not read files and may not decode what an <audio> element plays, but it may run
 * scripts. Each piece of a signal is a script "FOLDER/NUMBER.js" that calls partitaPiece with Opus or
 * FLAC in base64. A page that is to be one file calls partitaPiece itself, before it plays.
 */
"use strict";

window.partita = window.partita || {};

(function () {
  const KEPT_BYTES = 300e6; // of decoded pieces: 80 of ten seconds in stereo
  const given = new Map(); // "folder/number" → {head, text} that nobody has asked for yet
  const asked = new Map(); // "folder/number" → function that takes it

  window.partitaPiece = function (folder, number, head, text) {
    const key = folder + "/" + number;
    const take = asked.get(key);
    if (take) take({ head, text });
    else given.set(key, { head, text });
  };

  /* The way of pages on disk: a script hands over what it brings. */
  async function loadScript(base, key) {
    const { head, text } = given.get(key) || (await runScript(base, key));
    return { head, bytes: bytesOf(text) };
  }

  function runScript(base, key) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const done = (settle, value) => {
        asked.delete(key);
        script.remove();
        settle(value);
      };
      asked.set(key, (piece) => done(resolve, piece));
      script.onerror = () => done(reject, new Error(`${base}${key}.js is missing: keep the page's folder together`));
      script.src = base + key + ".js";
      document.head.append(script);
    });
  }

  function bytesOf(text) {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes.buffer;
  }

  /** Decoded pieces of signals.
   *
   * @param base  URL of the folder that holds the signals' folders, with a slash at its end
   * @param coding  {sampleRate, piece, fade}: of all signals, as partita.reports.page writes them
   * @param load  function (base, "FOLDER/NUMBER") that promises {head, bytes}; by default from scripts
   */
  class Pieces {
    constructor(base, coding, load = loadScript) {
      this.base = base;
      this.coding = coding;
      this.load = load;
      this.decoder = new OfflineAudioContext(2, 1, coding.sampleRate);
      this.decoded = new Map(); // key → AudioBuffer; the least recently used first
      this.pending = new Map(); // key → Promise of an AudioBuffer
      this.bytes = 0;
    }

    /** Return a piece that is decoded, or undefined. */
    peek(signal, number) {
      const key = signal.folder + "/" + number;
      const buffer = this.decoded.get(key);
      if (buffer) {
        this.decoded.delete(key);
        this.decoded.set(key, buffer);
      }
      return buffer;
    }

    /** Return a promise of a piece; it fails with one line to show. */
    get(signal, number) {
      const found = this.peek(signal, number);
      if (found) return Promise.resolve(found);
      const key = signal.folder + "/" + number;
      if (!this.pending.has(key)) {
        const piece = this._decode(signal, number, key); // one that failed is not tried again
        piece.then(
          () => this.pending.delete(key),
          () => {},
        );
        this.pending.set(key, piece);
      }
      return this.pending.get(key);
    }

    async _decode(signal, number, key) {
      const { head, bytes } = await this.load(this.base, key);
      let whole;
      try {
        whole = await this.decoder.decodeAudioData(bytes);
      } catch (error) {
        throw new Error(
          "this browser cannot decode the page's audio: take a newer one, or write the page with audio in FLAC",
        );
      }
      const buffer = this._cut(whole, head, signal, number);
      this.decoded.set(key, buffer);
      this.bytes += bytesIn(buffer);
      for (const [oldest, dropped] of this.decoded) {
        if (this.bytes <= KEPT_BYTES) break;
        this.decoded.delete(oldest);
        this.bytes -= bytesIn(dropped);
      }
      return buffer;
    }

    /* The piece's own samples, from its place to `fade` behind that of the next; both ends are faded
     * so that neighbours add up to the signal. */
    _cut(whole, head, signal, number) {
      const { sampleRate, piece, fade } = this.coding;
      const late = whole.length - head.frames; // of decoders that leave the codec's delay in
      if (late !== 0 && late !== head.delay) {
        throw new Error(
          `this browser decodes ${whole.length} samples of ${head.frames}: write the page with audio in FLAC`,
        );
      }
      const start = head.lead + late;
      const length = Math.min(piece + fade, signal.samples - number * piece);
      const channels = whole.numberOfChannels;
      const buffer = new AudioBuffer({ numberOfChannels: channels, length, sampleRate });
      for (let channel = 0; channel < channels; channel++) {
        const samples = whole.getChannelData(channel).subarray(start, start + length);
        if (signal.scale !== 1) for (let i = 0; i < length; i++) samples[i] *= signal.scale;
        if (number > 0) for (let i = 0; i < Math.min(fade, length); i++) samples[i] *= i / fade;
        for (let i = piece; i < length; i++) samples[i] *= 1 - (i - piece) / fade;
        buffer.copyToChannel(samples, channel);
      }
      return buffer;
    }
  }

  function bytesIn(buffer) {
    return 4 * buffer.length * buffer.numberOfChannels;
  }

  partita.Pieces = Pieces;
})();
