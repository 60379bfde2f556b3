"""Ratio masks of magnitudes, and masks applied to spectrograms."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

TINY = 1e-10


def ratio_masks(magnitudes: Tensor, exponent: float = 2.0) -> Tensor:
    """Turn magnitudes of sources into ratio masks, which add up to one.

    Parameters
    ----------
    magnitudes : Tensor ``[batch, sources, channels, bins, frames]``
        Not negative; a common factor of all sources cancels.
    exponent : float
        1: ratios of amplitudes; 2: of powers, as in Spleeter and the Wiener filter.

    Returns
    -------
    Tensor of the same shape
        Where all magnitudes are zero, masks are equal.
    """
    powers = magnitudes**exponent + TINY / magnitudes.shape[1]
    # Summed one by one, because a reduction would change the memory format.
    total = functools.reduce(torch.add, powers.unbind(dim=1))
    return powers / total.unsqueeze(1)


def apply_masks(masks: Tensor, spectrogram: Tensor) -> Tensor:
    """Multiply a spectrogram with masks, which may end below its highest bin.

    Parameters
    ----------
    masks : Tensor ``[batch, sources, channels, bins seen, frames]``
    spectrogram : Tensor, complex ``[batch, channels, bins, frames]``

    Returns
    -------
    Tensor, complex ``[batch, sources, channels, bins, frames]``
        Above the masks, bins get the mean of the upper half of the frame's mask: treble is kept,
        and masks that add up to one still do.
    """
    bins = masks.shape[-2]
    # Transposed: in memory frames come before bins.
    masks, mixture = masks.mT, spectrogram.mT.unsqueeze(1)  # [B, S, C, N, bins], [B, 1, C, N, F]
    low = mixture[..., :bins] * masks
    high = mixture[..., bins:] * masks[..., bins // 2 :].mean(dim=-1, keepdim=True)
    return torch.cat([low, high], dim=-1).mT
