"""Envelopes, curves from control points to samples, and panning.

Whatever changes in time is computed at control points, `HOP` samples apart, with straight lines
between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Samples from one control point to the next.
HOP = 64

Floats = NDArray[np.floating[Any]]
Samples = NDArray[np.float32]

_RAMP = (np.arange(HOP) / HOP).astype(np.float32)
_FALL_60_DB = math.log(1000)


@dataclass(frozen=True)
class Envelope:
    """Attack, decay, sustain and release.

    Attributes
    ----------
    attack_s : float
        From nothing to 1, straight.
    decay_s : float
        From 1 until what is above the sustained level has fallen by 60 dB.
    sustain : float
        0 to 1.
    release_s : float
        From the end of the note to exactly 0, exponentially.
    """

    attack_s: float
    decay_s: float
    sustain: float
    release_s: float

    def at(self, times_s: Floats, gate_s: float) -> Floats:
        """Return the values ``[times]`` for a note that is held for `gate_s`."""
        held = self._held(np.minimum(times_s, gate_s))
        fallen = np.clip((times_s - gate_s) / self.release_s, 0.0, 1.0)
        # A twohundredth is left of the exponential; take it off so that the end is silent.
        level: Floats = held * (np.exp(-math.log(200) * fallen) - 0.005 * fallen)
        return level

    def _held(self, times_s: Floats) -> Floats:
        after_s = np.maximum(times_s - self.attack_s, 0.0)
        decayed = np.exp(-_FALL_60_DB * after_s / self.decay_s)
        rising = np.minimum(times_s / self.attack_s, 1.0)
        level: Floats = rising * (self.sustain + (1.0 - self.sustain) * decayed)
        return level


def control_times(samples: int, sample_rate: int) -> Floats:
    """Return the times in seconds of the control points that `samples` samples need."""
    return np.arange(-(-samples // HOP) + 1) * (HOP / sample_rate)


def draw_lines(control: Floats) -> Samples:
    """Return the samples between control points ``[points]``: ``[(points - 1) * HOP]``."""
    points = control.astype(np.float32)
    lines: Samples = points[:-1, None] + (points[1:] - points[:-1])[:, None] * _RAMP
    return lines.reshape(-1)


def pan_gains(pan: float) -> Samples:
    """Return the gains ``[2]`` of equal power for a place; 1 in the middle."""
    angle = (pan + 1) * math.pi / 4
    return np.array([math.cos(angle), math.sin(angle)], np.float32) * np.float32(math.sqrt(2))
