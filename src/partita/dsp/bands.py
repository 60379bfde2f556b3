"""Frequency bands: single bins at low frequencies, wide bands in the treble."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor


@functools.cache
@torch.inference_mode(False)  # cached tensors must also work with gradients
def band_matrix(bins: int, bands: int) -> Tensor:
    """Return the weight of each bin in each band, ``[bands, bins]``; columns add up to one.

    Up to a corner frequency every band is a bin; above it bandwidths grow with frequency. Bands are
    triangles between the centres of their neighbours, so that ``matrix @ magnitudes`` has the same
    sum as the magnitudes, and ``matrix.T @ masks`` interpolates masks, which still add up to one.

    Parameters
    ----------
    bins : int
    bands : int
        2 to `bins`; with `bins` bands the matrix is the identity.

    Raises
    ------
    ValueError
        Fewer than two bands, or more than bins.
    """
    if not 2 <= bands <= bins:
        raise ValueError(f"bands must be 2 to {bins}, not {bands}")
    corner = _corner(bins - 1, bands - 1)
    index = torch.arange(bins, dtype=torch.float64)
    above = corner * (1 + (index / corner).clamp_min(1).log())
    position = torch.where(index <= corner, index, above)
    # Corrects the rounding error of the corner: the last bin is the centre of the last band.
    position = (position * ((bands - 1) / position[-1])).clamp_max(bands - 1)
    centres = torch.arange(bands, dtype=torch.float64)[:, None]
    return (1 - (position - centres).abs()).clamp_min(0).float()


def _corner(last_bin: int, last_band: int) -> float:
    """Return the corner bin: ``corner (1 + ln(last_bin / corner)) = last_band``."""
    low, high = 1e-9, float(last_bin)
    for _ in range(100):
        middle = (low + high) / 2
        reached = middle * (1 + math.log(last_bin / middle))
        low, high = (middle, high) if reached < last_band else (low, middle)
    return high
