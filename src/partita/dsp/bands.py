"""Bands of frequency: as narrow as bins where tones lie close together, broad in the treble."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor


@functools.cache
@torch.inference_mode(False)  # kept for those who want gradients, whoever asks first
def band_matrix(bins: int, bands: int) -> Tensor:
    """Return the share of each bin in each band, ``[bands, bins]``; bins' shares add up to one.

    Up to a corner every band is a bin, above it their distances grow with frequency. Bands are
    triangles between their neighbours' centres, so that ``matrix @ magnitudes`` has the sum of the
    magnitudes, and ``matrix.T @ masks`` interpolates between the bands' masks: masks that add up to
    one still do.

    Parameters
    ----------
    bins : int
    bands : int
        2 to `bins`; as many as bins change nothing.

    Raises
    ------
    ValueError
        Fewer than two bands, or more than bins.
    """
    if not 2 <= bands <= bins:
        raise ValueError(f"{bins} bins make no {bands} bands")
    corner = _corner(bins - 1, bands - 1)
    place = torch.arange(bins, dtype=torch.float64)
    above = corner * (1 + (place / corner).clamp_min(1).log())
    position = torch.where(place <= corner, place, above)
    # The corner is known to rounding errors only: the last bin is the centre of the last band.
    position = (position * ((bands - 1) / position[-1])).clamp_max(bands - 1)
    centres = torch.arange(bands, dtype=torch.float64)[:, None]
    return (1 - (position - centres).abs()).clamp_min(0).float()


def _corner(last_bin: int, last_band: int) -> float:
    """Return where bands begin to grow: ``corner (1 + ln(last_bin / corner)) = last_band``."""
    low, high = 1e-9, float(last_bin)
    for _ in range(100):
        middle = (low + high) / 2
        reached = middle * (1 + math.log(last_bin / middle))
        low, high = (middle, high) if reached < last_band else (low, middle)
    return high
