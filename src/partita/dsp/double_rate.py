"""Doubling and halving the sample rate: differentiable sinc interpolation.

The results are those of julius 0.2.7 (Smith, "Digital Audio Resampling Home Page"), which demucs
uses, and take a fifth to half of its time (``benchmarks/double_rate.py``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_ROLL_OFF = 0.945  # cutoff frequency, relative to half the lower rate
_ZERO_CROSSINGS = 24  # of the sinc, on each side


def double_rate(x: Tensor) -> Tensor:
    """Interpolate ``[batch, channels, n]`` to ``[batch, channels, 2 n]``."""
    taps = _low_pass()  # at -51 … 51 half samples
    # One output at each sample, one half a sample later.
    both = torch.stack([taps[1::2], taps[:-1:2]])  # [2, 51], at -50 … 50 and at -51 … 49
    return _filtered(x, both, 1)


def halve_rate(x: Tensor) -> Tensor:
    """Decimate ``[batch, channels, n]`` to ``[batch, channels, n // 2]``."""
    return _filtered(x, _low_pass()[None], 2)[..., : x.shape[-1] // 2]


def _low_pass() -> Tensor:
    """Return a sinc windowed by a squared cosine, at multiples of half a sample, ``[103]``.

    The window ends at the last zero crossing; the middle tap is at time 0.
    """
    reach = math.ceil(2 * _ZERO_CROSSINGS / _ROLL_OFF)
    times = torch.arange(-reach, reach + 1, dtype=torch.float64) / 2 * _ROLL_OFF
    window = torch.cos(math.pi / 2 * (times / _ZERO_CROSSINGS).clamp(-1, 1)).square()
    return torch.sinc(times) * window


def _filtered(x: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Correlate ``[batch, channels, n]`` with ``[k, odd taps]``: ``[batch, channels, k * m]``.

    Outputs of the kernels are interleaved. Kernels are normalised to a sum of one, and signals are
    padded with their first and last sample, so that constants stay constant.
    """
    batch, channels, samples = x.shape
    count = (samples - 1) // stride + 1
    matrix = _banded(kernels / kernels.sum(dim=-1, keepdim=True), stride)
    dtype = torch.promote_types(x.dtype, torch.float32)  # half precision would be audible
    matrix, x = matrix.to(x.device, dtype), x.to(dtype)
    width = matrix.shape[0] // 2
    reach = kernels.shape[-1] // 2
    x = functional.pad(x, (reach, reach), mode="replicate")
    x = functional.pad(x, (0, width + -x.shape[-1] % width))
    rows = x.reshape(-1, width)  # [B C (blocks + 1), width]
    # The outputs of a row depend on it and on the next one; the last row of a signal has none.
    with torch.autocast(x.device.type, enabled=False):
        filtered = torch.addmm(rows[:-1] @ matrix[:width], rows[1:], matrix[width:])
    filtered = functional.pad(filtered, (0, 0, 0, 1)).reshape(batch, channels, -1)
    return filtered[..., : count * len(kernels)]


def _banded(kernels: Tensor, stride: int) -> Tensor:
    """Return the matrix that correlates a block of a signal with ``[k, taps]``.

    One matrix product is several times as fast as a convolution of one channel, although most of
    the matrix is zero.

    Returns
    -------
    Tensor ``[2 * width, width / stride * k]``
        For blocks twice as long as the hop from one to the next.
    """
    taps = kernels.shape[-1]
    advance = math.ceil(taps / stride)  # results of each kernel
    places = stride * torch.arange(advance)[:, None]  # [advance, 1]
    taken = torch.arange(2 * stride * advance) - places  # [advance, 2 width]
    inside = (taken >= 0) & (taken < taps)
    matrix = kernels[:, taken.clamp(0, taps - 1)] * inside  # [k, advance, 2 width]
    return matrix.permute(2, 1, 0).flatten(1)
