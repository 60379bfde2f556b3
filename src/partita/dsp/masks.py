"""Masks: from the magnitudes of sources to shares of the mixture."""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = 1e-10


def ratio_masks(magnitudes: Tensor, exponent: float = 2.0) -> Tensor:
    """Turn magnitudes of sources into masks that add up to one.

    Parameters
    ----------
    magnitudes : Tensor ``[batch, sources, channels, bins, frames]``
        Not negative.
    exponent : float
        1: ratio of amplitudes; 2: of powers, as Spleeter and the Wiener filter have it.

    Returns
    -------
    Tensor of the same shape
        Where all magnitudes are zero, every source gets an equal share.
    """
    powers = magnitudes**exponent + _TINY / magnitudes.shape[1]
    return powers / powers.sum(dim=1, keepdim=True)


def extend_masks(masks: Tensor, bins: int) -> Tensor:
    """Continue masks to higher bins than the network saw, so that no treble is lost.

    Parameters
    ----------
    masks : Tensor ``[..., bins seen, frames]``
    bins : int
        How many are wanted.

    Returns
    -------
    Tensor ``[..., bins, frames]``
        The new bins hold the mean mask of their frame, which keeps masks that add up to one so.
    """
    missing = bins - masks.shape[-2]
    if not missing:
        return masks
    mean = masks.mean(dim=-2, keepdim=True)  # [..., 1, frames]
    return torch.cat([masks, mean.expand(*masks.shape[:-2], missing, masks.shape[-1])], dim=-2)
