"""What networks share that share a mixture out: what they see of it, and masks that add up to one.

They see compressed magnitudes, and of two channels their difference as well, in which what stands
in the middle is missing; a softmax over the sources makes masks of what they give.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from partita.models._protocol import SongFacts
from partita.models._spectrogram import SpectrogramConfig, SpectrogramModel
from partita.models._statistics import bin_statistics

_LEAST_DEVIATION = 1e-2
#: Where the side says nothing, a difference is seen that goes with the channels: so many deviations
#: above theirs. Below 200 Hz it goes with them less, down to the part that it does at 60 Hz and
#: lower: what is loud there stands in the middle. docs/research/four_stems.md says what else was
#: tried.
_USUAL_DIFFERENCE = 0.5
_LOWEST_PART, _LOWEST_HZ, _WHOLE_HZ = 0.6, 60.0, 200.0


@dataclass(frozen=True)
class ShareConfig(SpectrogramConfig):
    """Configuration common to models that share a mixture out.

    Attributes
    ----------
    mask_exponent : float
        1: shares are masks as they are.
    any_width : bool
        The network learned from mono mixtures, too: of them it sees that the channels do not
        differ, where others see what is usual in stereo.
    """

    mask_exponent: float = 1.0
    any_width: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.mask_exponent == 1, "mask_exponent must be 1: shares are masks")
        self.require(len(self.sources) >= 2, "a mixture is shared out among two sources or more")

    @property
    def images(self) -> int:
        """How many images of a mixture the network sees."""
        return self.channels + (self.channels == 2)


class ShareModel(SpectrogramModel):
    """Base of models whose networks give logits of shares.

    Attributes
    ----------
    compression : float
        Exponent of magnitudes: quiet parts of a spectrum count, too.
    """

    config: ShareConfig
    gives_masks = True
    compression: ClassVar[float]
    input_mean: Tensor
    input_scale: Tensor

    def __init__(self, config: ShareConfig) -> None:
        super().__init__(config)
        self.register_buffer("input_mean", torch.zeros(config.images, config.bins))
        self.register_buffer("input_scale", torch.ones(config.images, config.bins))
        self._side: Tensor | None = None  # what it is worth, [groups]; None: everything

    def for_song(self, facts: SongFacts) -> ShareModel:
        """Return a model that heeds the difference of the channels as far as it is worth it."""
        if self.channels != 2 or facts.side is None or bool((facts.side == 1).all()):
            return self
        model = copy.copy(self)
        model._side = facts.side.to(self.input_mean.device)
        return model

    @abstractmethod
    def logits(self, images: Tensor) -> Iterator[Tensor]:
        """Yield logits ``[batch, n, sources, channels, bins]`` of some consecutive frames.

        Parameters
        ----------
        images : Tensor ``[batch, frames, images, bins]``
            What is seen of a mixture, with mean 0 and deviation 1 in typical ones.
        """

    def seen(self, spectrogram: Tensor) -> Tensor:
        """Return the bins that the network sees, with their phases: differences need them."""
        return spectrogram[..., : self.config.bins, :]

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate a mask ``[batch, sources, channels, bins, frames]`` for each source.

        Parameters
        ----------
        mixture : Tensor, complex ``[batch, channels, bins, frames]``
        """
        return torch.cat(list(self.pieces(mixture)), dim=-1)

    def pieces(self, mixture: Tensor) -> Iterator[Tensor]:
        """Yield masks ``[batch, sources, channels, bins, n]`` of some consecutive frames."""
        images = (self._images(mixture) - self.input_mean) * self.input_scale
        side = None
        if self._side is not None:
            side = self._side.repeat(len(images) // len(self._side))[:, None, None]  # [B, 1, 1]
            images = self._with_doubted_difference(images, side)
        for logits in self.logits(images):
            shares = logits.softmax(dim=2)  # [B, n, S, C, F]
            if side is not None:  # channels that are alike are shared out alike
                mean = shares.mean(dim=3, keepdim=True)
                shares = mean + side[..., None, None] * (shares - mean)
            yield shares.permute(0, 2, 3, 4, 1)

    def _with_doubted_difference(self, images: Tensor, side: Tensor) -> Tensor:
        """Return images whose third is what it is in mono, or usual, where the side says nothing.

        Parameters
        ----------
        images : Tensor ``[batch, frames, 3, bins]``
        side : Tensor ``[batch, 1, 1]``
        """
        if self.config.any_width:  # what is left by rounding and by stages before is no side
            instead = -self.input_mean[2] * self.input_scale[2]  # [F]
        else:
            instead = self._usual_difference(images[:, :, :2].mean(dim=2))  # [B, N, F]
        difference = instead + side * (images[:, :, 2] - instead)
        return torch.cat([images[:, :, :2], difference.unsqueeze(2)], dim=2)

    def _usual_difference(self, channels: Tensor) -> Tensor:
        """Return what a difference usually is beside channels ``[batch, frames, bins]``."""
        bins = torch.arange(1, channels.shape[-1] + 1, device=channels.device)
        octaves = (bins * (self.sample_rate / self.config.fft_samples) / _LOWEST_HZ).log2()
        rise = (octaves / math.log2(_WHOLE_HZ / _LOWEST_HZ)).clamp(0, 1)  # [F]
        return (_LOWEST_PART + (1 - _LOWEST_PART) * rise) * channels + _USUAL_DIFFERENCE

    def _images(self, mixture: Tensor) -> Tensor:
        """Map complex ``[batch, channels, bins, frames]`` to ``[batch, frames, images, bins]``."""
        images = mixture.permute(0, 3, 1, 2)  # [B, C, F, N] -> [B, N, C, F]
        if self.channels == 2:
            difference = (images[:, :, :1] - images[:, :, 1:]) / 2
            images = torch.cat([images, difference], dim=2)
        powers = images.real.square() + images.imag.square()
        # Powers of magnitudes; by logarithms they take half the time.
        return (powers.log() * (self.compression / 2)).exp()

    @torch.no_grad()
    def learn_statistics(self, mixtures: Iterable[Tensor]) -> None:
        """Let the network see bins with mean 0 and deviation 1 over the mixtures' frames.

        Parameters
        ----------
        mixtures : iterable of Tensor ``[batch, channels, samples]``
        """
        images = (self._images(self.observe(each).seen) for each in mixtures)
        statistics = bin_statistics((x.permute(0, 2, 3, 1) for x in images), _LEAST_DEVIATION)
        if statistics is not None:
            mean, deviation = statistics  # [images, bins]
            self.input_mean.copy_(mean)
            self.input_scale.copy_(1 / deviation)

    def _masks_of(self, magnitudes: Tensor) -> Tensor:
        """Return shares as they are: they add up to one already."""
        return magnitudes
