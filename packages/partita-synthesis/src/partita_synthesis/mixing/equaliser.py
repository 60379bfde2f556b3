"""Bands of an equaliser, as pedalboard filters them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pedalboard

Samples = npt.NDArray[np.float32]
Kind = Literal["highpass", "lowpass", "peak", "low_shelf", "high_shelf"]

_HIGHEST = 0.45  # of the sample rate: bands above it are left out


@dataclass(frozen=True)
class Band:
    """A filter: passes fall by 6 dB an octave.

    Attributes
    ----------
    kind : str
        ``highpass``, ``lowpass``, ``peak``, ``low_shelf`` or ``high_shelf``.
    frequency_hz : float
    gain_db : float
        Of peaks and shelves.
    q : float
        Of peaks and shelves.
    """

    kind: Kind
    frequency_hz: float
    gain_db: float = 0.0
    q: float = 0.7071


def filters(bands: Sequence[Band], sample_rate: int) -> list[Any]:
    """Return bands as plugins of pedalboard."""
    passes = {"highpass": pedalboard.HighpassFilter, "lowpass": pedalboard.LowpassFilter}
    others = {
        "peak": pedalboard.PeakFilter,
        "low_shelf": pedalboard.LowShelfFilter,
        "high_shelf": pedalboard.HighShelfFilter,
    }
    plugins: list[Any] = []
    for band in bands:
        if band.frequency_hz >= _HIGHEST * sample_rate:
            continue
        if band.kind in passes:
            plugins.append(passes[band.kind](band.frequency_hz))
        else:
            plugins.append(others[band.kind](band.frequency_hz, band.gain_db, band.q))
    return plugins


def equalise(samples: Samples, bands: Sequence[Band], sample_rate: int) -> Samples:
    """Filter ``[channels, samples]`` with all bands, one after the other."""
    return pedalboard.Pedalboard(filters(bands, sample_rate))(samples, sample_rate)
