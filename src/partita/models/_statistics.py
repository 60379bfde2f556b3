"""What networks learn of typical mixtures before they are trained: how loud each bin is."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_ROUNDING = 1e-6  # of the mean: so far, deviations are none


@torch.no_grad()
def bin_statistics(seen: Iterable[Tensor], least: float) -> tuple[Tensor, Tensor] | None:
    """Return mean and deviation of each bin over all frames of all examples.

    Parameters
    ----------
    seen : iterable of Tensor ``[batch, images, bins, frames]``
    least : float
        Deviations are at least this share of the largest: bins that are all but empty shall not be
        blown up.

    Returns
    -------
    tuple of Tensor ``[images, bins]``, or None
        In double precision, on the CPU; None: there was nothing, or silence, which says nothing.
    """
    count = 0
    total, squares = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for batch in seen:
        values = batch.double()
        count += values.shape[0] * values.shape[-1]
        total = total + values.sum(dim=(0, -1)).cpu()
        squares = squares + values.square().sum(dim=(0, -1)).cpu()
    if not count:
        return None
    mean = total / count
    deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
    largest = float(deviation.max())
    if largest <= _ROUNDING * float(mean.abs().max()):
        return None
    return mean, deviation.clamp(min=least * largest)
