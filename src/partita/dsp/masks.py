"""Masks: from the magnitudes of sources to shares of the mixture."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

_TINY = 1e-10


def ratio_masks(magnitudes: Tensor, exponent: float = 2.0) -> Tensor:
    """Turn magnitudes of sources into masks that add up to one.

    Parameters
    ----------
    magnitudes : Tensor ``[batch, sources, channels, bins, frames]``
        Not negative; a factor common to all sources does not matter.
    exponent : float
        1: ratio of amplitudes; 2: of powers, as Spleeter and the Wiener filter have it.

    Returns
    -------
    Tensor of the same shape
        Where all magnitudes are zero, every source gets an equal share.
    """
    powers = magnitudes**exponent + _TINY / magnitudes.shape[1]
    # Added one by one, which keeps the order in memory; a reduction would not.
    total = functools.reduce(torch.add, powers.unbind(dim=1))
    return powers / total.unsqueeze(1)


def apply_masks(masks: Tensor, spectrogram: Tensor) -> Tensor:
    """Multiply a spectrogram with masks that may end below its highest bin.

    Parameters
    ----------
    masks : Tensor ``[batch, sources, channels, bins seen, frames]``
    spectrogram : Tensor, complex ``[batch, channels, bins, frames]``

    Returns
    -------
    Tensor, complex ``[batch, sources, channels, bins, frames]``
        Bins beyond the masks take the mean of the upper half of their frame's masks: no treble is
        lost, and masks that add up to one still do.
    """
    seen = masks.shape[-2]
    # Frames come before bins from here on, as they stand in memory.
    shares, mixture = masks.mT, spectrogram.mT.unsqueeze(1)  # [B, S, C, N, seen], [B, 1, C, N, F]
    low = mixture[..., :seen] * shares
    high = mixture[..., seen:] * shares[..., seen // 2 :].mean(dim=-1, keepdim=True)
    return torch.cat([low, high], dim=-1).mT
