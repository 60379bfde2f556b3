/* Clicks on beats: a signal that the engine plays, and the count-in before it plays. */
"use strict";

(function () {
  // As in partita.mixing.click.
  const HERTZ = { beat: 1000, one: 1500 };
  const LENGTH_S = 0.06;
  const DECAY_S = 0.012;
  const ATTACK_S = 0.0005;
  const ON_BEAT_S = 0.02; // so far after a beat still counts as on it

  function sound(hertz, rate) {
    const samples = Float32Array.from({ length: Math.round(LENGTH_S * rate) }, (_, n) => {
      const time = n / rate;
      return Math.exp(-time / DECAY_S) * Math.min(1, time / ATTACK_S) * Math.sin(2 * Math.PI * hertz * time);
    });
    const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    return samples.map((sample) => sample / peak);
  }

  const modulo = (number, by) => ((number % by) + by) % by;
  const isOne = ({ one, beats_in_bar: bar }, beat) => one !== null && modulo(beat - one, bar) === 0;

  /** Samples of the two clicks: {beat, one}. */
  partita.clickSounds = (rate) => ({ beat: sound(HERTZ.beat, rate), one: sound(HERTZ.one, rate) });

  /** A piece of the signal that clicks on each beat, as pieces.js loads it.
   *
   * @param music  {beats_s, beats_in_bar, one}
   * @param coding  {sampleRate, piece, fade}
   * @param samples  length of the song
   */
  partita.clickPiece = function (music, { sampleRate, piece, fade }, samples, number) {
    const sounds = partita.clickSounds(sampleRate);
    const start = number * piece;
    const track = new Int16Array(Math.min(piece + fade, samples - start));
    music.beats_s.forEach((seconds, beat) => {
      const place = Math.round(seconds * sampleRate) - start;
      if (place <= -sounds.beat.length || place >= track.length) return;
      const click = isOne(music, beat) ? sounds.one : sounds.beat;
      for (let n = Math.max(0, -place); n < click.length && place + n < track.length; n++) track[place + n] = 32767 * click[n];
    });
    return { head: { lead: 0, delay: 0, frames: track.length }, bytes: wav(track, sampleRate) };
  };

  function wav(track, sampleRate) {
    const bytes = new Uint8Array(44 + 2 * track.length);
    bytes.set(new Uint8Array(partita.wavHead({ samples: track.length, sampleRate, channels: 1, bits: 16 })));
    const view = new DataView(bytes.buffer);
    track.forEach((sample, n) => view.setInt16(44 + 2 * n, sample, true));
    return bytes.buffer;
  }

  /** One bar of beats that leads to a place: {seconds, clicks: [{at, isOne}]}, in the song's time.
   *
   * Beats go on before the first and after the last. Where it is unknown where bars begin, the count does.
   */
  partita.countIn = function (music, place) {
    const { beats_s: beats, beats_in_bar: bar } = music;
    const last = beats.length - 1;
    const [first, final] = [beats[1] - beats[0], beats[last] - beats[last - 1]];
    const from = place - ON_BEAT_S;
    let next = beats.findIndex((beat) => beat >= from);
    if (next === 0) next = Math.ceil((from - beats[0]) / first);
    if (next === -1) next = last + Math.ceil((from - beats[last]) / final);
    const at = next <= 0 ? beats[0] + next * first : next > last ? beats[last] + (next - last) * final : beats[next];
    const step = next <= 0 ? first : next > last ? final : beats[next] - beats[next - 1];
    const clicks = Array.from({ length: bar }, (_, n) => ({
      at: n * step,
      isOne: music.one === null ? n === 0 : isOne(music, next + n),
    }));
    return { seconds: bar * step - (at - place), clicks };
  };
})();
