/* WAV files. */
"use strict";

(function () {
  /** The head of a WAV file: 44 bytes, which samples follow; 32 bits are floats, fewer are whole numbers. */
  partita.wavHead = function ({ samples, sampleRate, channels, bits }) {
    const frame = (channels * bits) / 8; // bytes
    const view = new DataView(new ArrayBuffer(44));
    const text = (at, letters) => [...letters].forEach((letter, n) => view.setUint8(at + n, letter.charCodeAt(0)));
    text(0, "RIFF");
    view.setUint32(4, 36 + frame * samples, true);
    text(8, "WAVEfmt ");
    view.setUint32(16, 16, true);
    view.setUint16(20, bits === 32 ? 3 : 1, true);
    view.setUint16(22, channels, true);
    view.setUint32(24, sampleRate, true);
    view.setUint32(28, sampleRate * frame, true);
    view.setUint16(32, frame, true);
    view.setUint16(34, bits, true);
    text(36, "data");
    view.setUint32(40, frame * samples, true);
    return view.buffer;
  };
})();
