"""Cross-correlations of sets of signals."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Transforms of three times the lags: shorter blocks are mostly overlap; longer ones, and more at
# once, exceed the cache.
_MIN_FFT = 768
_BLOCKS_AT_ONCE = 4


def correlate(first: Tensor, second: Tensor, lags: int) -> Tensor:
    """Correlate every signal of one set with every signal of another.

    Parameters
    ----------
    first : Tensor ``[n, samples]``
    second : Tensor ``[m, samples]``, or longer
    lags : int

    Returns
    -------
    Tensor ``[n, m, lags]``
        At lag l the sum over t of ``first[t] * second[t + l]``; signals are padded with zeros.

    Notes
    -----
    Each block of the first signals is correlated with the same block of the second ones and the
    `lags` samples behind it. Cross spectra are summed, so that one short inverse transform is
    enough.
    """
    samples = first.shape[-1]
    size = max(_MIN_FFT, 3 << (lags - 1).bit_length())
    block = size - lags + 1
    count = -(-samples // block)
    cross = first.new_zeros(size // 2 + 1, len(first), len(second), dtype=torch.complex128)
    for begin in range(0, count, _BLOCKS_AT_ONCE):
        blocks = min(_BLOCKS_AT_ONCE, count - begin)
        starts = _excerpt(first, begin * block, blocks * block)
        longer = _excerpt(second, begin * block, blocks * block + lags - 1)
        left = torch.fft.rfft(starts.reshape(-1, blocks, block), size)  # [n, blocks, F]
        right = torch.fft.rfft(longer.unfold(-1, size, block))  # [m, blocks, F]
        # Contiguous: otherwise the matrix product takes ten times as long.
        left = left.conj_physical_().permute(2, 0, 1).contiguous()  # [F, n, blocks]
        cross.baddbmm_(left, right.permute(2, 1, 0).contiguous())  # [F, n, m]
    correlations: Tensor = torch.fft.irfft(cross.permute(1, 2, 0), size)[..., :lags]
    return correlations


def _excerpt(signals: Tensor, start: int, length: int) -> Tensor:
    """Return ``[n, length]`` from a position on, padded with zeros."""
    excerpt = signals[..., start : start + length]
    missing = length - excerpt.shape[-1]
    return functional.pad(excerpt, (0, missing)) if missing else excerpt
