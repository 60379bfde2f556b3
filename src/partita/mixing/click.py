"""A click on every beat, sample by sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from partita.mixing.tempo_key import TempoKey

Samples = npt.NDArray[np.float32]

# The page's clicks sound the same: serve/page/click.js.
_HZ, _ONE_HZ = 1000.0, 1500.0
_LENGTH_S, _DECAY_S, _ATTACK_S = 0.06, 0.012, 0.0005


class ClickTrack:
    """A sine that dies away on every beat, higher where a bar begins; its peak is full scale.

    Parameters
    ----------
    song : TempoKey
    sample_rate : int
        In hertz.
    """

    def __init__(self, song: TempoKey, sample_rate: int) -> None:
        self._places = np.rint(np.asarray(song.beats_s) * sample_rate).astype(np.int64)
        self._ones = [song.begins_bar(beat) for beat in range(len(self._places))]
        self._beat, self._one = _sound(_HZ, sample_rate), _sound(_ONE_HZ, sample_rate)

    def block(self, start: int, length: int) -> Samples:
        """Return the samples ``[length]`` from one on."""
        found = np.zeros(length, np.float32)
        near = np.searchsorted(self._places, [start - len(self._beat), start + length])
        for beat in range(*near):
            sound = self._one if self._ones[beat] else self._beat
            offset = int(self._places[beat]) - start
            begin, end = max(0, offset), min(length, offset + len(sound))
            found[begin:end] += sound[begin - offset : end - offset]
        return found


def _sound(frequency_hz: float, sample_rate: int) -> Samples:
    time_s = np.arange(round(_LENGTH_S * sample_rate)) / sample_rate
    envelope = np.exp(-time_s / _DECAY_S) * np.minimum(1.0, time_s / _ATTACK_S)
    sound = envelope * np.sin(2 * np.pi * frequency_hz * time_s)
    scaled: Samples = (sound / np.abs(sound).max()).astype(np.float32)
    return scaled
