"""Projections of estimates onto filtered references: the geometry of BSS Eval.

Everything is computed from correlations at a few lags. A filtered signal is never made: the energy
of ``sum_i filter_i * signal_i`` is the sum over all i, k and lags of the signals' correlations
times the filters' own.

Shapes: W windows, R references, N noises, E estimates, C channels, L taps, I = (R + N) C inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from partita.dsp.correlation import correlate
from partita.dsp.toeplitz import solve_block_toeplitz

#: Added to the diagonal of normal equations whose diagonal is one: signals that are copies of each
#: other, such as the channels of a mono stem, leave the filters undetermined but not their output.
_RIDGES = (0.0, 1e-12, 1e-10, 1e-8)


@dataclass(frozen=True)
class Correlations:
    """Correlations of windows at the lags of the filters.

    Attributes
    ----------
    among : Tensor ``[W, I, I, L]``
        Of inputs (references, then noises) with each other.
    towards : Tensor ``[W, I, E, C, L]``
        Of inputs with estimates.
    estimates : Tensor ``[W, E]``
        Energies of the estimates.
    """

    among: Tensor
    towards: Tensor
    estimates: Tensor

    @classmethod
    def of(cls, signals: Tensor, inputs: int, taps: int) -> Correlations:
        """Correlate the first `inputs` of ``[W, S, C, T]`` with all; the others are estimates."""
        return cls.between(signals[:, :inputs], signals, taps)

    @classmethod
    def between(cls, inputs: Tensor, signals: Tensor, taps: int) -> Correlations:
        """Correlate inputs ``[W, I / C, C, T]`` with inputs and estimates, ``[W, S, C, T]``."""
        _, count, channels, _ = inputs.shape
        pairs = zip(inputs.flatten(1, 2), signals.flatten(1, 2), strict=True)
        all_lags = torch.stack([correlate(*pair, taps) for pair in pairs])  # [W, I, S C, L]
        among, towards = all_lags.tensor_split([count * channels], dim=2)
        towards = towards.reshape(*towards.shape[:2], -1, channels, taps)
        return cls(among, towards, energy(signals[:, count:]))

    @classmethod
    def together(cls, parts: list[Correlations]) -> Correlations:
        """Put correlations of different windows or inputs behind each other."""
        return cls(
            torch.cat([part.among for part in parts]),
            torch.cat([part.towards for part in parts]),
            torch.cat([part.estimates for part in parts]),
        )

    def __add__(self, other: Correlations) -> Correlations:
        return Correlations(
            self.among + other.among,
            self.towards + other.towards,
            self.estimates + other.estimates,
        )

    def block(self, inputs: slice) -> Correlations:
        """Return those of some of the inputs only."""
        return Correlations(self.among[:, inputs, inputs], self.towards[:, inputs], self.estimates)


def energy(signals: Tensor) -> Tensor:
    """Return the energies ``[...]`` of ``[..., channels, samples]``."""
    squared: Tensor = torch.linalg.vector_norm(signals, dim=(-2, -1)).square()
    return squared


def projection_filters(correlations: Correlations) -> Tensor:
    """Return the filters ``[W, E, C, I, L]`` from all inputs that come closest to each estimate."""
    among, towards = correlations.among, correlations.towards
    # Every input is brought to unit energy, so that quiet ones count as much as loud ones.
    strength = among[..., 0].diagonal(dim1=1, dim2=2)  # [W, I]
    scale = torch.where(strength > 0, strength, 1.0).rsqrt()
    blocks = among * scale[:, :, None, None] * scale[:, None, :, None]
    right = towards.flatten(2, 3).transpose(2, 3) * scale[..., None, None]  # [W, I, L, E C]
    solution = _solve(blocks, right, (strength == 0).double())
    filters = (solution * scale[..., None, None]).permute(0, 3, 1, 2)  # [W, E C, I, L]
    return filters.reshape(len(towards), *towards.shape[2:4], *filters.shape[2:])


def _solve(blocks: Tensor, right: Tensor, silent: Tensor) -> Tensor:
    for ridge in _RIDGES:
        ridged = blocks.clone()
        ridged[..., 0] += torch.diag_embed(silent + ridge)
        try:
            return solve_block_toeplitz(ridged, right)
        except ArithmeticError:
            continue
    return torch.full_like(right, torch.nan)


def energy_form(filters: Tensor) -> Tensor:
    """Return the correlations ``[..., I, I, L]`` of filters ``[..., C, I, L]``, for `energies`."""
    taps = filters.shape[-1]
    columns = torch.fft.rfft(filters, 2 * taps).movedim(-1, -3).contiguous()  # [..., F, C, I]
    # Summed over the output channels: [..., F, I, C] @ [..., F, C, I]
    products = (columns.mT.contiguous() @ columns.conj().resolve_conj()).movedim(-3, -1)
    form: Tensor = torch.fft.irfft(products, 2 * taps)[..., :taps]
    form[..., 1:] *= 2  # negative lags are the positive ones of the same pair turned round
    return form


def energies(form: Tensor, among: Tensor) -> Tensor:
    """Return the energies ``[W, K]`` of filtered inputs, all channels together.

    Parameters
    ----------
    form : Tensor ``[1 or W, K, I, I, L]``
        Of K sets of filters; see `energy_form`.
    among : Tensor ``[W, I, I, L]``
    """
    result: Tensor = (form.flatten(2) @ among.flatten(1)[..., None]).squeeze(-1)
    return result


def filters_overlap(filters: Tensor, towards: Tensor) -> Tensor:
    """Return inner products ``[W, E]`` of filtered inputs and estimates.

    Parameters
    ----------
    filters : Tensor ``[1 or W, E, C, I, L]``
    towards : Tensor ``[W, I, E, C, L]``
    """
    ordered = filters.permute(0, 1, 3, 2, 4).flatten(2)  # [W, E, I C L]
    return (ordered * towards.transpose(1, 2).flatten(2)).sum(dim=2)
