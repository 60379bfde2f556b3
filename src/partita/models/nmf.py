"""Blind NMF: components of the mixture, grouped by their spectral envelopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from partita.dsp.bands import band_matrix
from partita.dsp.factorisation import Factors
from partita.dsp.nmf import nmf
from partita.dsp.nmfd import nmfd
from partita.models._factorisation import Factorisation, FactorisationConfig, FactorisationModel
from partita.models._registry import register_model
from partita.validation import bounded

_BANDS = 40  # of the spectral envelopes
_CEPSTRA = slice(1, 14)  # coefficient 0 is the level
_ROUNDS = 50


@dataclass(frozen=True)
class BlindNmfConfig(FactorisationConfig):
    """Configuration of `BlindNmf`.

    Attributes
    ----------
    sources : tuple of str
        Names of the parts; their order is arbitrary.
    components : int
        Number of components. As many as sources: each is a source; more are grouped.
    updates : {"monotone", "averaged"}
        See `partita.dsp.nmfd.nmfd`; averaged ones need more than one lag.
    start : {"random", "nndsvd"}
        See `partita.dsp.nmf.nmf`; NNDSVD is for one lag.
    sparsity, tolerance : float
        Likewise.
    """

    sources: tuple[str, ...] = ("part_1", "part_2", "part_3", "part_4")
    lags: int = bounded(1, most=1000)
    iterations: int = bounded(100, most=10000)
    components: int = bounded(32, most=1000)
    updates: Literal["monotone", "averaged"] = "monotone"
    start: Literal["random", "nndsvd"] = "random"
    sparsity: float = 0.0
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.bins >= 2, "bins must be at least 2")
        self.require(self.components >= len(self.sources), "fewer components than sources")
        self.require(self.sparsity >= 0 and self.tolerance >= 0, "negative sparsity or tolerance")
        if self.lags == 1:
            self.require(self.updates == "monotone", "averaged updates need more than one lag")
        else:
            plain = self.start == "random" and not self.sparsity and not self.tolerance
            self.require(plain, "start, sparsity and tolerance are for one lag")


@register_model("nmf")
class BlindNmf(FactorisationModel):
    """A mixture as a sum of components (Lee & Seung 2001; Smaragdis 2004); sees whole tracks.

    A component has one activation for all channels and a template for each channel, so that it may
    be panned. Components are grouped by the cepstra of their
    templates with k-means, after Spiertz & Gnann, "Source-filter based clustering for monaural
    blind source separation" (DAFx 2009), section 3; theirs is a non-negative factorisation of the
    same features.
    """

    config_type = BlindNmfConfig
    config: BlindNmfConfig

    def __init__(self, config: BlindNmfConfig) -> None:
        super().__init__(config)
        self.window = None

    def factorise(self, mixture: Tensor) -> Factorisation:
        """Factorise all channels together."""
        channels = mixture.shape[1]
        # One by one: a batch would iterate until its last item has converged.
        fits = [self._fit(item) for item in mixture.flatten(1, 2)]  # [C * F, N] each
        templates = torch.stack([each.templates for each in fits])
        activations = torch.stack([each.activations for each in fits])  # [B, K, N]
        lagged = templates if self.config.lags > 1 else templates[..., None]
        split = lagged.reshape(len(mixture), channels, -1, *lagged.shape[2:])  # [B, C, F, K, lags]
        factors = Factors(split, activations.unsqueeze(1), fits[0].objectives)
        spectra = split.sum(dim=(1, -1)).mT  # [B, K, F]
        return Factorisation(factors, torch.stack([self._owners(item) for item in spectra]))

    def _fit(self, magnitudes: Tensor) -> Factors:
        config = self.config
        if config.lags > 1:
            return nmfd(
                magnitudes,
                config.components,
                config.lags,
                updates=config.updates,
                beta=config.beta,
                iterations=config.iterations,
                seed=config.seed,
            )
        return nmf(
            magnitudes,
            config.components,
            beta=config.beta,
            iterations=config.iterations,
            sparsity=config.sparsity,
            start=config.start,
            seed=config.seed,
            tolerance=config.tolerance,
        )

    def _owners(self, spectra: Tensor) -> Tensor:
        """Return the source of each component from ``[components, bins]``."""
        groups = len(self.sources)
        if len(spectra) == groups:
            return torch.arange(groups, device=spectra.device)
        return group_by_envelope(spectra, groups)


def group_by_envelope(spectra: Tensor, groups: int) -> Tensor:
    """Group spectra by their envelopes.

    Parameters
    ----------
    spectra : Tensor ``[components, bins]``
        Not negative; their levels do not matter.
    groups : int

    Returns
    -------
    Tensor, int64 ``[components]``
        The group of each, numbered in order of their first members.
    """
    bands = spectra @ band_matrix(spectra.shape[1], min(_BANDS, spectra.shape[1])).to(spectra).T
    levels = bands / bands.sum(dim=1, keepdim=True).clamp_min(torch.finfo(bands.dtype).tiny)
    # DCT of the logarithms, as the FFT of an even sequence.
    logs = (levels + 1e-6).log()
    cepstra = torch.fft.rfft(torch.cat([logs, logs.flip(1)], dim=1)).real[:, _CEPSTRA]
    found = _k_means(cepstra, groups)
    order = list(dict.fromkeys(found.tolist()))
    return torch.tensor([order.index(group) for group in found.tolist()], device=spectra.device)


def _k_means(points: Tensor, groups: int) -> Tensor:
    """Return the group of each of ``[points, features]``; initial centres are far apart."""
    centres = points[:1]
    while len(centres) < groups:
        farthest = torch.cdist(points, centres).amin(dim=1).argmax()
        centres = torch.cat([centres, points[farthest][None]])
    found = torch.cdist(points, centres).argmin(dim=1)
    for _ in range(_ROUNDS):
        members = torch.nn.functional.one_hot(found, groups).to(points)  # [points, groups]
        counts = members.sum(dim=0)[:, None]
        centres = torch.where(counts > 0, members.T @ points / counts.clamp_min(1), centres)
        before, found = found, torch.cdist(points, centres).argmin(dim=1)
        if torch.equal(before, found):
            break
    return found
