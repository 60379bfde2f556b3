"""Harmonic–percussive separation with median filters; it has no weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from partita.dsp.hpss import hpss
from partita.models._registry import register_model
from partita.models._spectrogram import SpectrogramConfig, SpectrogramModel
from partita.validation import bounded


@dataclass(frozen=True)
class HpssConfig(SpectrogramConfig):
    """Configuration of `Hpss`.

    Attributes
    ----------
    sources : tuple of str
        Names for the harmonic part, the percussive part and the residual, in this order.
    harmonic_frames, percussive_bins : int
        Lengths of the median filters, odd.
    margin : float
        Ratio by which one part must exceed the other; at 1 the residual is empty.
    """

    sources: tuple[str, ...] = ("harmonic", "percussive", "residual")
    bins: int = 2049
    mask_exponent: float = 1.0
    harmonic_frames: int = bounded(31, most=1001)
    percussive_bins: int = bounded(31, most=1001)
    margin: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(len(self.sources) == 3, "sources must name three parts")
        lengths = (self.harmonic_frames, self.percussive_bins)
        self.require(all(n > 0 and n % 2 == 1 for n in lengths), "filters must have odd lengths")
        self.require(self.margin >= 1, "margin must be at least 1")


@register_model("hpss")
class Hpss(SpectrogramModel):
    """Harmonic part, percussive part and residual (Fitzgerald 2010; Driedger et al. 2014)."""

    config_type = HpssConfig
    config: HpssConfig
    no_core = "it has no network: it filters spectrograms with running medians"

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Return the masks ``[batch, 3, channels, bins, frames]``."""
        masks = hpss(
            mixture,
            harmonic_frames=self.config.harmonic_frames,
            percussive_bins=self.config.percussive_bins,
            margin=self.config.margin,
        )
        return torch.stack(masks, dim=1)
