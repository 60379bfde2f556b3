"""NMFD with dictionaries: templates of each source that were learned from stems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.dsp.bands import band_matrix
from partita.dsp.factorisation import Factors
from partita.dsp.hpss import hpss
from partita.dsp.masks import ratio_masks
from partita.dsp.nmfd import nmfd
from partita.dsp.repet import repet
from partita.models._factorisation import Factorisation, FactorisationConfig, FactorisationModel
from partita.models._registry import register_model
from partita.validation import bounded

_PERIOD_S = (0.8, 8.0)  # of the repeating background: Rafii & Pardo's range
_HARMONIC_FRAMES, _PERCUSSIVE_BANDS = 31, 17
_MIN_PRIOR = 1e-3  # a prior attenuates a source, but does not exclude it


@dataclass(frozen=True)
class NmfdConfig(FactorisationConfig):
    """Configuration of `Nmfd`.

    Attributes
    ----------
    components : int
        Templates of each source.
    bands : int
        Bands of the spectrograms that are factorised; see `partita.dsp.bands.band_matrix`.
    free : tuple of str
        Sources without a dictionary: their templates are learned from each mixture.
    adapt_iterations : int
        Further iterations that also adapt the dictionaries to the mixture; 0: fixed dictionaries.
    foreground, percussive : tuple of str
        Sources that the priors favour; other names are ignored.
    repeating_prior : float
        Exponent of REPET's masks as prior of the foreground; 0: no prior.
    percussive_prior : float
        Exponent of the masks of HPSS as prior of the percussive sources; 0: no prior.
    """

    frames: int = 1724  # 40 s: long enough to see what repeats
    overlap_frames: int = 44
    iterations: int = bounded(15, most=10000)
    components: int = bounded(24, most=1000)
    bands: int = 256
    free: tuple[str, ...] = ()
    adapt_iterations: int = bounded(0, most=10000)
    foreground: tuple[str, ...] = ("vocals",)
    repeating_prior: float = 0.0
    percussive: tuple[str, ...] = ("drums",)
    percussive_prior: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.components >= 1, "components must be at least 1")
        self.require(2 <= self.bands <= self.bins, "bands must be 2 up to bins")
        self.require(set(self.free) < set(self.sources), "free must be some of the sources")
        self.require(self.adapt_iterations >= 0, "adapt_iterations must not be negative")
        priors = (self.repeating_prior, self.percussive_prior)
        self.require(all(prior >= 0 for prior in priors), "priors must not be negative")

    @property
    def learned(self) -> tuple[str, ...]:
        """The sources that have a dictionary."""
        return tuple(source for source in self.sources if source not in self.free)


@register_model("nmfd")
class Nmfd(FactorisationModel):
    """Supervised convolutive NMF (Smaragdis 2004; Smaragdis, Raj & Shashanka 2007).

    All channels have the same dictionaries and their own activations. Templates of sources without
    a dictionary are learned from the mixture while the others stay fixed (semi-supervised; section
    4 of the second paper).

    Attributes
    ----------
    templates : Tensor ``[bands, learned sources * components, lags]``
        The dictionaries, source by source; each template adds up to one. Random until they are
        learned (`partita.training.nmf_training.dictionaries.learn_dictionaries`).
    gains : Tensor ``[bands, learned sources * components]``
        Gain of each template's bands, applied after the factorisation, with which masks are closest
        to the ideal ones (`partita.training.nmf_training.gains.learn_gains`). Ones
        until then.
    """

    config_type = NmfdConfig
    config: NmfdConfig
    templates: Tensor
    gains: Tensor

    def __init__(self, config: NmfdConfig) -> None:
        super().__init__(config)
        count = len(config.learned) * config.components
        templates = torch.rand(config.bands, count, config.lags)
        self.register_buffer("templates", templates / templates.sum(dim=(0, 2), keepdim=True))
        self.register_buffer("gains", torch.ones(config.bands, count))

    def in_bands(self, mixture: Tensor) -> Tensor:
        """Map magnitudes ``[..., bins, frames]`` to ``[..., bands, frames]``."""
        return band_matrix(self.config.bins, self.config.bands).to(mixture) @ mixture

    def factorise(self, mixture: Tensor) -> Factorisation:
        """Factorise magnitudes ``[batch, channels, bins, frames]`` with the dictionaries."""
        return self._factorise_bands(self.in_bands(mixture))

    def pieces(self, mixture: Tensor) -> Iterator[Tensor]:
        """Yield masks ``[batch, sources, channels, bins, some frames]``."""
        bands = self.in_bands(mixture)  # [B, C, bands, N]
        factorised = self._factorise_bands(bands)
        band_masks = torch.stack(
            [self._masks(item, factorised.item(index)) for index, item in enumerate(bands)]
        )  # [B, S, C, bands, N]
        to_bins = band_matrix(self.config.bins, self.config.bands).to(band_masks).T
        exponent = self.config.mask_exponent
        for part in torch.split(band_masks, self.frames_at_once(mixture), dim=-1):
            masks = to_bins @ part
            # The mask stage of the base class raises them to the exponent again.
            yield masks if exponent == 1 else masks.pow(1 / exponent)

    def _factorise_bands(self, observed: Tensor) -> Factorisation:
        batch, channels, bands, frames = observed.shape
        components = len(self.sources) * self.config.components
        generator = torch.Generator().manual_seed(self.config.seed)
        templates, fixed = self._start(observed, generator)
        # Activations start at the level of their frame, so that windows are independent.
        level = observed.sum(dim=2, keepdim=True) / components  # [B, C, 1, N]
        found = nmfd(
            observed.flatten(0, 1),
            components,
            self.config.lags,
            beta=self.config.beta,
            iterations=self.config.iterations,
            templates=templates,
            activations=level.expand(-1, -1, components, -1).flatten(0, 1),
            fix_templates=fixed,
        )
        if self.config.adapt_iterations:
            found = nmfd(
                observed.flatten(0, 1),
                components,
                self.config.lags,
                beta=self.config.beta,
                iterations=self.config.adapt_iterations,
                templates=found.templates,
                activations=found.activations,
            )
        split = Factors(
            found.templates.reshape(batch, channels, bands, components, self.config.lags)
            * self._all_gains()[..., None],
            found.activations.reshape(batch, channels, components, frames),
            found.objectives,
        )
        owners = torch.arange(len(self.sources), device=observed.device)
        owners = owners.repeat_interleave(self.config.components)
        return Factorisation(split, owners.expand(batch, -1))

    def _start(self, observed: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return templates ``[bands, components, lags]`` of all sources, and which stay fixed."""
        size = self.config.components
        learned = iter(torch.split(self.templates, size, dim=1))
        pieces, fixed = [], []
        for source in self.sources:
            if source in self.config.free:
                shape = (self.config.bands, size, self.config.lags)
                drawn = torch.rand(shape, generator=generator).to(observed)
                pieces.append(drawn / drawn.sum(dim=(0, 2), keepdim=True))
            else:
                pieces.append(next(learned))
            fixed.append(torch.full((size,), source not in self.config.free))
        return torch.cat(pieces, dim=1), torch.cat(fixed)

    def _all_gains(self) -> Tensor:
        """Return the gains ``[bands, components]`` of all sources, ones where none are learned."""
        size = self.config.components
        learned = iter(torch.split(self.gains, size, dim=1))
        free = torch.ones_like(self.gains[:, :size])
        each = [free if name in self.config.free else next(learned) for name in self.sources]
        return torch.cat(each, dim=1)

    def _masks(self, observed: Tensor, factorised: Factorisation) -> Tensor:
        """Return masks ``[S, C, bands, N]`` of one mixture ``[C, bands, N]``."""
        sources = [factorised.source(index) for index in range(len(self.sources))]
        magnitudes = torch.stack(sources) * self.priors(observed)  # [S, C, bands, N]
        return ratio_masks(magnitudes.unsqueeze(0), self.config.mask_exponent)[0]

    def priors(self, observed: Tensor) -> Tensor:
        """Return the prior of each source, ``[S, C, bands, N]`` or ones.

        Parameters
        ----------
        observed : Tensor ``[channels, bands, frames]``
        """
        config = self.config
        total = observed.new_ones(1)
        for names, exponent, masks in (
            (config.foreground, config.repeating_prior, self._repeating_masks),
            (config.percussive, config.percussive_prior, self._percussive_masks),
        ):
            if exponent and set(names) & set(self.sources):
                own, others = masks(observed)  # [C, bands, N]
                each = torch.stack([own if name in names else others for name in self.sources])
                total = total * each.clamp_min(_MIN_PRIOR).pow(exponent)
        return total

    def _repeating_masks(self, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Return REPET's masks of foreground and background, ``[C, bands, N]``."""
        frames_per_s = self.config.sample_rate / self.config.hop_samples
        shortest, longest = (max(1, round(edge * frames_per_s)) for edge in _PERIOD_S)
        background = repet(observed, shortest, longest)
        return 1 - background, background

    def _percussive_masks(self, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Return the percussive and the harmonic mask, ``[C, bands, N]``."""
        harmonic, percussive, _ = hpss(
            observed,
            harmonic_frames=_HARMONIC_FRAMES,
            percussive_bins=_PERCUSSIVE_BANDS,
            exponent=1,
        )
        return percussive, harmonic
