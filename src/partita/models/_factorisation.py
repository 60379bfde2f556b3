"""Base class of models that factorise magnitudes into templates and activations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.dsp.factorisation import Factors
from partita.models._spectrogram import SpectrogramConfig, SpectrogramModel
from partita.validation import bounded

_PIECE_NUMBERS = 1 << 22  # magnitudes of all sources at a time: 16 MB


@dataclass(frozen=True)
class FactorisationConfig(SpectrogramConfig):
    """Configuration common to models that factorise.

    Attributes
    ----------
    lags : int
        Length of a template in frames; 1 is plain NMF.
    beta : float
        Of the β-divergence: 2 Euclidean, 1 Kullback–Leibler, 0 Itakura–Saito.
    iterations : int
        At most so many.
    seed : int
        Of the random initialisation.
    """

    bins: int = 2049
    mask_exponent: float = 1.0
    lags: int = bounded(8, most=1000)
    beta: float = 1.0
    iterations: int = bounded(30, most=10000)
    seed: int = bounded(0, most=(1 << 63) - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.lags >= 1, "lags must be at least 1")
        self.require(self.iterations >= 1, "iterations must be at least 1")


@dataclass(frozen=True)
class Factorisation:
    """The factorisation of a mixture.

    Attributes
    ----------
    factors : Factors
        With templates ``[batch or 1, channels or 1, bands, components, lags]`` and activations
        ``[batch, channels or 1, components, frames]``; axes of size 1 are shared.
    owners : Tensor, int64 ``[batch, components]``
        The index of the source that each component belongs to.
    """

    factors: Factors
    owners: Tensor

    def item(self, index: int) -> Factorisation:
        """Return one item of the batch, as a batch of one."""
        templates = self.factors.templates
        return Factorisation(
            Factors(
                templates[index : index + 1] if len(templates) > 1 else templates,
                self.factors.activations[index : index + 1],
                self.factors.objectives,
            ),
            self.owners[index : index + 1],
        )

    def source(self, index: int, start: int = 0, stop: int | None = None) -> Tensor:
        """Return a source's magnitudes ``[channels or 1, bands, frames]`` in a batch of one."""
        return self.factors.total(torch.nonzero(self.owners[0] == index)[:, 0], start, stop)[0]


class FactorisationModel(SpectrogramModel):
    """Base class of models whose sources are sums of components: template times activation."""

    config: FactorisationConfig
    no_core = "it factorises each mixture anew, in iterations"

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate, in single precision also under autocast."""
        with torch.autocast(mixture.device.type, enabled=False):
            return super().forward(mixture)

    @abstractmethod
    def factorise(self, mixture: Tensor) -> Factorisation:
        """Factorise magnitudes ``[batch, channels, bins, frames]``."""

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Return magnitudes, or masks, ``[batch, sources, channels, bins, frames]``."""
        return torch.cat(list(self.pieces(mixture)), dim=-1)

    def pieces(self, mixture: Tensor) -> Iterator[Tensor]:
        """Yield the sources' magnitudes, some frames at a time."""
        factorised = self.factorise(mixture)
        items = [factorised.item(index) for index in range(len(mixture))]
        sources, size = range(len(self.sources)), self.frames_at_once(mixture)
        for start in range(0, mixture.shape[-1], size):
            found = [
                torch.stack([item.source(source, start, start + size) for source in sources])
                for item in items
            ]  # [S, C or 1, F, n] each
            yield torch.stack(found).expand(-1, -1, mixture.shape[1], -1, -1)

    def frames_at_once(self, mixture: Tensor) -> int:
        """Return how many frames a piece has."""
        return max(1, _PIECE_NUMBERS // (len(self.sources) * mixture[..., 0].numel()))
