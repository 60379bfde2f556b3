"""Filters as gains of harmonics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]

_REFERENCE_HZ = 261.6


@dataclass(frozen=True)
class Filter:
    """A filter whose cutoff moves.

    Attributes
    ----------
    lowest_hz, highest_hz : float
        How far the cutoff moves, for the middle C.
    resonance : float
        The gain of two of the poles at the cutoff: 0.5 is dull, 0.7 flat, 8 whistles.
    poles : int
        2 or 4: 12 or 24 dB an octave.
    tracking : float
        How much the cutoff follows the note: 0 (not) to 1 (an octave for an octave).
    kind : str
        ``"lowpass"`` or ``"bandpass"``.
    """

    lowest_hz: float
    highest_hz: float
    resonance: float = 0.7
    poles: int = 2
    tracking: float = 0.5
    kind: str = "lowpass"

    def cutoffs_hz(self, note_hz: float, positions: Floats) -> Floats:
        """Return the cutoffs for positions from 0 (lowest) to 1 (highest)."""
        span = self.highest_hz / self.lowest_hz
        tracked = (note_hz / _REFERENCE_HZ) ** self.tracking
        cutoffs_hz: Floats = self.lowest_hz * tracked * span**positions
        return cutoffs_hz

    def response(self, frequencies_hz: Floats, cutoffs_hz: Floats) -> Complex:
        """Return the response ``[cutoffs, frequencies]`` of the analogue filter."""
        ratio = frequencies_hz[None, :] / cutoffs_hz[:, None]
        second: Complex = (1.0 + 0j) / (1.0 - ratio**2 + 1j * ratio / self.resonance)
        if self.kind == "bandpass":
            second = second * (1j * ratio / self.resonance)
        if self.poles == 4:  # two more real ones
            numerator = 1.0 if self.kind == "lowpass" else 1j * ratio
            second = second * (numerator / (1.0 + 1j * ratio)) ** 2
        return second


def formants(frequencies_hz: Floats, peaks: Sequence[tuple[float, float, float]]) -> Floats:
    """Return the gains of formants.

    Parameters
    ----------
    frequencies_hz : ndarray
    peaks : sequence of (float, float, float)
        Centre and width in hertz, and gain, of each formant.
    """
    gains = np.full_like(frequencies_hz, 0.02)
    for centre_hz, width_hz, gain in peaks:
        gains += gain / (1.0 + ((frequencies_hz - centre_hz) / width_hz) ** 2)
    return gains
