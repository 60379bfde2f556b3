"""REPET: the repeating background and what does not repeat."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from partita.dsp.repet import repet
from partita.models._registry import register_model
from partita.models._spectrogram import SpectrogramConfig, SpectrogramModel


@dataclass(frozen=True)
class RepetConfig(SpectrogramConfig):
    """Configuration of `Repet`.

    Attributes
    ----------
    sources : tuple of str
        Names for the foreground and the repeating background, in this order.
    shortest_s, longest_s : float
        Range of the period in seconds.
    """

    sources: tuple[str, ...] = ("vocals", "accompaniment")
    bins: int = 2049
    mask_exponent: float = 1.0
    shortest_s: float = 0.8
    longest_s: float = 8.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(len(self.sources) == 2, "sources must name foreground and background")
        self.require(0 < self.shortest_s <= self.longest_s, "the range of periods is empty")


@register_model("repet")
class Repet(SpectrogramModel):
    """Foreground over a repeating background (Rafii & Pardo 2013); sees whole tracks."""

    config_type = RepetConfig
    config: RepetConfig
    no_core = "it has no network: it looks for the period of each song"

    def __init__(self, config: RepetConfig) -> None:
        super().__init__(config)
        self.window = None

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Return the masks ``[batch, 2, channels, bins, frames]``."""
        frames_per_s = self.config.sample_rate / self.config.hop_samples
        shortest = max(1, round(self.config.shortest_s * frames_per_s))
        longest = max(shortest, round(self.config.longest_s * frames_per_s))
        background = torch.stack([repet(song, shortest, longest) for song in mixture])
        return torch.stack([1 - background, background], dim=1)
