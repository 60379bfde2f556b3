/* Songs as the page keeps them: interleaved stereo of 32-bit floats in Blobs, which browsers may move to
 * the disk.
 */
"use strict";

window.partita = window.partita || {};

(function () {
  const MOST_S = 30 * 60;
  const PART_S = 10;
  const HALF_POWER = Math.sqrt(0.5);
  /* Gains of the channels of Web Audio's layouts in [left, right], after ITU-R BS.775. */
  const [LEFT, RIGHT, CENTRE] = [[1, 0], [0, 1], [HALF_POWER, HALF_POWER]];
  const SURROUND = [[HALF_POWER, 0], [0, HALF_POWER]];
  const GAINS = { 1: [[1, 1]], 2: [LEFT, RIGHT], 4: [LEFT, RIGHT, ...SURROUND], 6: [LEFT, RIGHT, CENTRE, [0, 0], ...SURROUND] };

  const tooLong = (what) =>
    new Error(
      `${what}: this page takes songs of up to ${MOST_S / 60} minutes, because all of it must fit in the ` +
        "browser's memory. The program partita takes any length.",
    );

  /* Promise of the length that the file states, NaN where it does not: longer songs are not even read. */
  function lengthOf(file) {
    return new Promise((resolve) => {
      const audio = new Audio();
      const address = URL.createObjectURL(file);
      const done = () => {
        URL.revokeObjectURL(address);
        resolve(audio.duration);
      };
      audio.onloadedmetadata = audio.onerror = done;
      audio.preload = "metadata";
      audio.src = address;
    });
  }

  /** Promise of {pcm, samples, isMono, seconds}; fails with one sentence. */
  partita.decode = async function (file, sampleRate) {
    if (!file.size) throw new Error("The file is empty.");
    const stated = await lengthOf(file);
    if (stated > MOST_S) throw tooLong(`${partita.clock(stated)} of sound are too long`);
    let bytes, buffer;
    try {
      bytes = await file.arrayBuffer();
    } catch (error) {
      throw Number.isFinite(stated) ? new Error("The file cannot be read.") : tooLong("The file is too large");
    }
    try {
      buffer = await new OfflineAudioContext(2, 1, sampleRate).decodeAudioData(bytes);
    } catch (error) {
      throw new Error("This browser finds no sound in it: it is no audio file, damaged, or of a kind that the browser cannot play.");
    }
    if (buffer.duration > MOST_S) throw tooLong(`${partita.clock(buffer.duration)} of sound are too long`);
    const channels = Array.from({ length: buffer.numberOfChannels }, (_, n) => buffer.getChannelData(n));
    const pcm = new Blob(parts(buffer.length, sampleRate, stereoOf(channels)));
    return { pcm, samples: buffer.length, isMono: channels.length === 1, seconds: buffer.duration };
  };

  /* Function (n) → [left, right] of decoded channels; more than two are mixed down so that nothing clips. */
  function stereoOf(channels) {
    const gains = GAINS[channels.length] || GAINS[2];
    const scale = 1 / Math.max(1, ...[0, 1].map((side) => gains.reduce((sum, gain) => sum + gain[side], 0)));
    if (channels.length <= 2) return (n) => [channels[0][n], channels[channels.length - 1][n]];
    const mixed = (n, side) => gains.reduce((sum, gain, channel) => sum + gain[side] * channels[channel][n], 0) * scale;
    return (n) => [mixed(n, 0), mixed(n, 1)];
  }

  function parts(samples, sampleRate, at) {
    const found = [];
    for (let from = 0; from < samples; from += PART_S * sampleRate) {
      const part = new Float32Array(2 * Math.min(PART_S * sampleRate, samples - from));
      for (let n = 0; 2 * n < part.length; n++) part.set(at(from + n), 2 * n);
      found.push(part);
    }
    return found;
  }

  /** Interleave a block [left, right]. */
  partita.interleaved = ([left, right]) => {
    const both = new Float32Array(2 * left.length);
    for (let n = 0; n < left.length; n++) {
      both[2 * n] = left[n];
      both[2 * n + 1] = right[n];
    }
    return both;
  };

  /* Floats as little-endian integers. */
  function integers(floats, bits, gain) {
    const [top, size] = [2 ** (bits - 1), bits / 8];
    const bytes = new Uint8Array(size * floats.length);
    for (let n = 0; n < floats.length; n++) {
      const value = Math.max(-top, Math.min(top - 1, Math.round(floats[n] * gain * top)));
      for (let byte = 0; byte < size; byte++) bytes[size * n + byte] = value >> (8 * byte);
    }
    return bytes;
  }

  /** Promise of a WAV file of some PCM: 32 bits are floats, as they are. */
  partita.wavOf = async function (pcm, sampleRate, bits, gain = 1) {
    const head = partita.wavHead({ samples: pcm.size / 8, sampleRate, channels: 2, bits });
    if (bits === 32) return new Blob([head, pcm], { type: "audio/wav" });
    const made = [head];
    for (let from = 0; from < pcm.size; from += 8 * PART_S * sampleRate) {
      const part = await pcm.slice(from, from + 8 * PART_S * sampleRate).arrayBuffer();
      made.push(integers(new Float32Array(part), bits, gain));
    }
    return new Blob(made, { type: "audio/wav" });
  };
})();
