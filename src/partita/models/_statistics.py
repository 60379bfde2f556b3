"""Mean and standard deviation of each frequency bin, which normalise network inputs."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_ROUNDING = 1e-6  # deviations below this part of the mean are rounding errors


@torch.no_grad()
def bin_statistics(seen: Iterable[Tensor], least: float) -> tuple[Tensor, Tensor] | None:
    """Return mean and deviation of each bin over all frames of all examples.

    Parameters
    ----------
    seen : iterable of Tensor ``[batch, images, bins, frames]``
    least : float
        Lower bound of deviations, relative to the largest, so that nearly empty bins are not
        amplified.

    Returns
    -------
    tuple of Tensor ``[images, bins]``, or None
        Mean and deviation in double precision, on the CPU; None: no examples, or only silence.
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
