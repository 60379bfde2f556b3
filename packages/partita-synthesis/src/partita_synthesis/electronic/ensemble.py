"""The ensemble effect of string machines: three copies whose delays move."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partita_synthesis.electronic.envelopes import (
    HOP,
    control_times,
    draw_lines,
    pan_gains,
)
from partita_synthesis.electronic.random_patches import between

Samples = NDArray[np.float32]

_BLOCK = 256  # control points
_LINES = 3


@dataclass(frozen=True)
class Ensemble:
    """Its settings.

    Attributes
    ----------
    delay_ms : float
        Where the delays rest.
    slow_ms, fast_ms : float
        How far they move.
    slow_hz, fast_hz : float
        How often.
    """

    delay_ms: float
    slow_ms: float
    fast_ms: float
    slow_hz: float
    fast_hz: float


def draw_ensemble(rng: np.random.Generator) -> Ensemble:
    """Draw settings."""
    return Ensemble(
        delay_ms=float(rng.uniform(6, 12)),
        slow_ms=float(rng.uniform(0.8, 2.0)),
        fast_ms=float(rng.uniform(0.02, 0.1)),
        slow_hz=between(rng, 0.3, 1.0),
        fast_hz=between(rng, 4.0, 7.0),
    )


def play_through(samples: Samples, sample_rate: int, ensemble: Ensemble) -> Samples:
    """Return ``[2, samples]`` of ``[1 or 2, samples]``; the lines lie left, amid and right."""
    mono = samples.mean(axis=0, dtype=np.float32)
    length = mono.size
    out = np.zeros((2, length), np.float32)
    times_s = control_times(length, sample_rate)
    pad = math.ceil(0.001 * sample_rate * (ensemble.delay_ms + 4.0))
    padded = np.concatenate((np.zeros(pad, np.float32), mono))
    for line in range(_LINES):
        turn = line / _LINES
        slow = np.sin(2 * np.pi * (ensemble.slow_hz * times_s + turn))
        fast = np.sin(2 * np.pi * (ensemble.fast_hz * times_s + turn))
        delay_ms = ensemble.delay_ms + ensemble.slow_ms * slow + ensemble.fast_ms * fast
        places = pad + np.arange(len(times_s)) * HOP - delay_ms * 0.001 * sample_rate
        gains = pan_gains(line - 1.0)[:, None] / np.float32(math.sqrt(2))
        for first in range(0, len(times_s) - 1, _BLOCK):
            wave = _read(padded, places[first : first + _BLOCK + 1])
            room = out[:, first * HOP : first * HOP + wave.size]
            room += gains * wave[: room.shape[1]]
    return out


def _read(padded: Samples, places: NDArray[np.float64]) -> Samples:
    """Read between samples, at places that are known at control points."""
    origin = math.floor(places[0])  # float32 has not the digits for places in a long song
    offsets = draw_lines(places - origin)
    whole = np.floor(offsets).astype(np.intp)
    part = offsets - whole.astype(np.float32)
    whole += origin
    here = padded.take(whole, mode="clip")
    wave: Samples = padded.take(whole + 1, mode="clip") - here
    wave *= part
    wave += here
    return wave
