"""The multichannel Wiener filter as its equations read.

`partita.dsp.wiener` computes the same several times as fast; tests compare both. References and
departures are stated there.
"""

from __future__ import annotations

import torch
from torch import Tensor

_EPS = torch.finfo(torch.float64).eps


def wiener(
    magnitudes: Tensor, mixture: Tensor, *, iterations: int = 1, scale: float = 10.0
) -> Tensor:
    """Separate a mixture by the magnitudes of its sources; see `partita.dsp.wiener.wiener`.

    Parameters
    ----------
    magnitudes : Tensor ``[sources, channels, bins, frames]``
    mixture : Tensor, complex ``[channels, bins, frames]``
    iterations : int
    scale : float
        Louder mixtures are divided by their peak and multiplied with this.

    Returns
    -------
    Tensor, complex ``[sources, channels, bins, frames]``
    """
    unit = (mixture.abs().max() / scale).clamp(min=1.0)
    mixture = mixture.to(torch.complex128) / unit
    images = magnitudes.double() / unit * mixture.sgn()
    for _ in range(iterations):
        images = em_step(images, mixture, _EPS)
    return images * unit


def em_step(images: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """Estimate powers and spatial covariances of images, and filter the mixture with them."""
    powers = images.abs().square().mean(dim=1)  # v, [S, F, N] (equation 12 of [2])
    covariances = torch.einsum("scfn,sdfn->sfcd", images, images.conj())  # over all frames
    weights = (eps + powers.sum(dim=-1))[..., None, None]  # [S, F, 1, 1]
    return filter_mixture(mixture, powers, covariances / weights, eps**0.5)  # equation 13


def filter_mixture(mixture: Tensor, powers: Tensor, spatial: Tensor, noise: float) -> Tensor:
    """Return ``v_j R_j (Σ v_i R_i + σ² I)⁻¹ x`` (equation 14 of [1]), ``[S, C, F, N]``.

    Parameters
    ----------
    mixture : Tensor, complex ``[channels, bins, frames]``
    powers : Tensor ``[sources, bins, frames]``
    spatial : Tensor, complex ``[sources, bins, channels, channels]``
    noise : float
    """
    sources = torch.einsum("sfn,sfcd->sfncd", powers.to(spatial.dtype), spatial)  # v R
    total = sources.sum(dim=0) + noise * torch.eye(len(mixture))  # [F, N, C, C]
    whitened = torch.linalg.solve(total, mixture.movedim(0, -1))  # [F, N, C]
    return torch.einsum("sfncd,fnd->scfn", sources, whitened)
