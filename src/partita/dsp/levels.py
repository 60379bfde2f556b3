"""Levels: energies, decibels, residuals."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def power_ratio_db(numerator: float, denominator: float) -> float:
    """Return ``10 log10`` of a ratio of energies; ``-inf`` if the numerator is 0."""
    if numerator <= 0.0:
        return -math.inf
    if denominator <= 0.0:
        return math.inf
    return 10.0 * math.log10(numerator / denominator)


def spread_residual(mixture: Tensor, estimates: Tensor) -> Tensor:
    """Make estimates add up to the mixture.

    The residual is distributed equally, which is the smallest change in the least-squares sense.

    Parameters
    ----------
    mixture : Tensor ``[..., channels, samples]``
    estimates : Tensor ``[..., sources, channels, samples]``

    Returns
    -------
    Tensor ``[..., sources, channels, samples]``
    """
    residual = mixture - estimates.sum(dim=-3)  # [..., channels, samples]
    return estimates + residual.unsqueeze(-3) / estimates.shape[-3]


def _energy(signal: Tensor) -> float:
    return float(torch.linalg.vector_norm(signal, dtype=torch.float64)) ** 2


class NullMeter:
    """Measures the null depth of a stream: the level of the residual relative to the mixture."""

    def __init__(self) -> None:
        self._mixture_energy = self._residual_energy = 0.0

    def add(self, mixture: Tensor, estimates: Tensor) -> None:
        """Add a block ``[channels, samples]`` of a mixture and ``[sources, …]`` of estimates."""
        residual = mixture - estimates.sum(dim=0)
        self._mixture_energy += _energy(mixture)
        self._residual_energy += _energy(residual)

    @property
    def null_depth_db(self) -> float:
        """Residual over mixture in dB: the lower the better, ``-inf`` for an exact sum."""
        return power_ratio_db(self._residual_energy, self._mixture_energy)
