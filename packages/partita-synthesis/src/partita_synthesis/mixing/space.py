"""Send effects that all players share: a reverb and a delay. Both are linear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pedalboard

from partita_synthesis.mixing.equaliser import Band, equalise

Samples = npt.NDArray[np.float32]

_IMPULSE_S = 3.0  # by then the longest reverb is below -40 dB
_LONGEST_PREDELAY_S = 0.04
_DELAY_PROBABILITY = 0.6
_BEATS = {1.0: 0.3, 0.75: 0.35, 0.5: 0.35}
_LONGEST_DELAY_S = 1.2


@dataclass(frozen=True)
class Reverb:
    """A room, by Freeverb.

    Attributes
    ----------
    size, damping : float
        0 to 1: how long it rings, and how much sooner its highs die away.
    predelay_s : float
    bands : tuple of Band
        What the reverb loses.
    sample_rate : int
    """

    size: float
    damping: float
    predelay_s: float
    bands: tuple[Band, ...]
    sample_rate: int

    def __call__(self, send: Samples) -> Samples:
        """Return what comes back ``[2, samples]`` for what was sent ``[samples]``.

        Of white noise, it has the energy of what was sent, both channels together.
        """
        out = self._played(send)
        out *= np.float32(1 / math.sqrt(self._energy))
        return out

    def _played(self, send: Samples) -> Samples:
        late = round(self.predelay_s * self.sample_rate)
        sent = equalise(np.pad(send, (late, 0))[None, : len(send)], self.bands, self.sample_rate)
        room = pedalboard.Reverb(self.size, self.damping, wet_level=1.0, dry_level=0.0)
        return room(np.concatenate([sent, sent]), self.sample_rate)

    @cached_property
    def _energy(self) -> float:
        """Return the energy of the impulse response."""
        impulse = np.zeros(round(_IMPULSE_S * self.sample_rate), np.float32)
        impulse[0] = 1
        return max(float(np.square(self._played(impulse)).sum()), 1e-20)


@dataclass(frozen=True)
class Delay:
    """Echoes in time with the song, from the middle.

    Attributes
    ----------
    time_s : float
    feedback : float
    bands : tuple of Band
        What the echoes lose.
    """

    time_s: float
    feedback: float
    bands: tuple[Band, ...]

    def __call__(self, send: Samples, sample_rate: int) -> Samples:
        """Return what comes back ``[2, samples]`` for what was sent ``[samples]``."""
        sent = equalise(send[None], self.bands, sample_rate)
        out = pedalboard.Delay(self.time_s, self.feedback, mix=1.0)(sent, sample_rate)
        return np.repeat(out * np.float32(math.sqrt(0.5)), 2, axis=0)


def draw_reverb(sample_rate: int, rng: np.random.Generator) -> Reverb:
    """Draw a room; lows and highs are kept out of it."""
    size, damping = rng.uniform((0.0, 0.2), (0.85, 0.9))
    predelay_s, low, high = rng.uniform((0, 120, 4000), (_LONGEST_PREDELAY_S, 350, 12000))
    bands = Band("highpass", float(low)), Band("lowpass", float(high))
    return Reverb(float(size), float(damping), float(predelay_s), bands, sample_rate)


def draw_delay(tempo_bpm: float, rng: np.random.Generator) -> Delay | None:
    """Draw echoes in time with the song, or none."""
    wanted, beats = rng.random(), rng.choice(list(_BEATS), p=list(_BEATS.values()))
    feedback, low, high = rng.uniform((0.15, 150, 2000), (0.5, 400, 7000))
    if wanted >= _DELAY_PROBABILITY:
        return None
    time_s = float(beats) * 60 / tempo_bpm
    while time_s > _LONGEST_DELAY_S:
        time_s /= 2
    bands = Band("highpass", float(low)), Band("lowpass", float(high))
    return Delay(time_s, float(feedback), bands)
