"""Twice the sample rate, and back: sinc interpolation that gradients flow through.

The same as julius's (Smith, "Digital Audio Resampling Home Page"), which demucs uses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_ROLL_OFF = 0.945  # where half the lower rate is 1
_ZERO_CROSSINGS = 24  # of the sinc, on each side


def double_rate(x: Tensor) -> Tensor:
    """Interpolate ``[batch, channels, n]`` to ``[batch, channels, 2 n]``."""
    taps = _low_pass()  # at -51 … 51 half samples
    # A sample keeps its place, another comes half a sample behind it.
    both = torch.stack([taps[1::2], taps[:-1:2]])  # [2, 51], at -50 … 50 and at -51 … 49
    return _filtered(x, both, 1)


def halve_rate(x: Tensor) -> Tensor:
    """Decimate ``[batch, channels, n]`` to ``[batch, channels, n // 2]``."""
    return _filtered(x, _low_pass()[None], 2)[..., : x.shape[-1] // 2]


def _low_pass() -> Tensor:
    """Return a sinc under a squared cosine, at multiples of half a sample: ``[103]``.

    Beyond the last zero crossing it is zero; the middle tap is that of time 0.
    """
    reach = math.ceil(2 * _ZERO_CROSSINGS / _ROLL_OFF)
    times = torch.arange(-reach, reach + 1, dtype=torch.float64) / 2 * _ROLL_OFF
    window = torch.cos(math.pi / 2 * (times / _ZERO_CROSSINGS).clamp(-1, 1)).square()
    return torch.sinc(times) * window


def _filtered(x: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Correlate ``[batch, channels, n]`` with ``[k, odd taps]``: ``[batch, channels, k * m]``.

    What the kernels give at one place stands side by side. Kernels add up to one each, and the
    signal's ends continue, so that constants stay constant.
    """
    batch, channels, samples = x.shape
    count = (samples - 1) // stride + 1
    matrix = _banded(kernels / kernels.sum(dim=-1, keepdim=True), stride)
    dtype = torch.promote_types(x.dtype, torch.float32)  # half precision would be heard
    matrix, x = matrix.to(x.device, dtype), x.to(dtype)
    width = matrix.shape[0] // 2
    reach = kernels.shape[-1] // 2
    x = functional.pad(x, (reach, reach), mode="replicate")
    x = functional.pad(x, (0, width + -x.shape[-1] % width))
    rows = x.reshape(-1, width)  # [B C (blocks + 1), width]
    # A block's results need its own row and the next; those of the last row of a signal are none.
    with torch.autocast(x.device.type, enabled=False):
        filtered = torch.addmm(rows[:-1] @ matrix[:width], rows[1:], matrix[width:])
    filtered = functional.pad(filtered, (0, 0, 0, 1)).reshape(batch, channels, -1)
    return filtered[..., : count * len(kernels)]


def _banded(kernels: Tensor, stride: int) -> Tensor:
    """Return the matrix that correlates a stretch of signal with ``[k, taps]``.

    As one product of matrices, filters of one channel are several times as fast as convolutions,
    though most of what is multiplied is zero.

    Returns
    -------
    Tensor ``[2 * width, width / stride * k]``
        For a stretch twice as long as what it advances.
    """
    taps = kernels.shape[-1]
    advance = math.ceil(taps / stride)  # results of each kernel
    places = stride * torch.arange(advance)[:, None]  # [advance, 1]
    taken = torch.arange(2 * stride * advance) - places  # [advance, 2 width]
    inside = (taken >= 0) & (taken < taps)
    matrix = kernels[:, taken.clamp(0, taps - 1)] * inside  # [k, advance, 2 width]
    return matrix.permute(2, 1, 0).flatten(1)
