"""The ensemble effect of string machines: three choruses, left, middle and right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pedalboard
from numpy.typing import NDArray

from partita_synthesis.electronic.envelopes import pan_gains
from partita_synthesis.electronic.random_patches import between

Samples = NDArray[np.float32]

_LINES = ((-1.0, 0.7), (0.0, 1.0), (1.0, 1.4))  # pan, and factor of the rate


@dataclass(frozen=True)
class Ensemble:
    """Settings of the choruses.

    Attributes
    ----------
    delay_ms : float
        The mean.
    depth : float
        Of its modulation, 0 to 1.
    rate_hz : float
    """

    delay_ms: float
    depth: float
    rate_hz: float


def draw_ensemble(rng: np.random.Generator) -> Ensemble:
    """Draw settings."""
    delay_ms, depth = rng.uniform((6, 0.07), (12, 0.17))
    return Ensemble(float(delay_ms), float(depth), between(rng, 0.3, 1.0))


def play_through(samples: Samples, sample_rate: int, ensemble: Ensemble) -> Samples:
    """Return ``[2, samples]`` of ``[1 or 2, samples]``."""
    mono = samples.mean(axis=0, keepdims=True)
    out = np.zeros((2, mono.shape[1]), np.float32)
    for pan, factor in _LINES:
        chorus = pedalboard.Chorus(
            rate_hz=factor * ensemble.rate_hz,
            depth=ensemble.depth,
            centre_delay_ms=ensemble.delay_ms,
            feedback=0.0,
            mix=1.0,
        )
        out += pan_gains(pan)[:, None] * chorus(mono, sample_rate)
    out *= np.float32(0.5**0.5)
    return out
