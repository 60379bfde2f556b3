"""Base class of networks with softmax masks.

They see compressed magnitudes of each channel and, in stereo, of half the difference of left and
right, from which centred sources are missing. A softmax over the sources turns their outputs into
masks that add up to one.
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

_MIN_DEVIATION = 1e-2
#: Where the difference of the channels carries no information, the network is shown a typical one:
#: as many deviations as the channels' mean, plus `_TYPICAL_OFFSET`. Below `_FULL_HZ` it follows the
#: channels less, down to `_LOWEST_SLOPE` at `_LOWEST_HZ`, because loud bass is usually centred.
#: docs/research/four_stems.md says what else was tried. A network that was trained with mono songs
#: is shown the mean of this and of no difference, with which real mono songs are 0.2 dB better.
_TYPICAL_OFFSET = 0.5
_LOWEST_SLOPE, _LOWEST_HZ, _FULL_HZ = 0.6, 60.0, 200.0


@dataclass(frozen=True)
class SoftmaxMaskConfig(SpectrogramConfig):
    """Configuration common to networks with softmax masks.

    Attributes
    ----------
    mask_exponent : float
        1: the softmax gives the masks.
    any_width : bool
        Whether the network was also trained on mono mixtures. It is shown a difference that is
        typical of stereo instead of theirs, or, if so, the mean of that and of theirs.
    """

    mask_exponent: float = 1.0
    any_width: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.mask_exponent == 1, "mask_exponent must be 1 for softmax masks")
        self.require(len(self.sources) >= 2, "softmax masks need two sources or more")

    @property
    def input_channels(self) -> int:
        """How many spectrograms the network sees: the channels' and, in stereo, the difference."""
        return self.channels + (self.channels == 2)


class SoftmaxMaskModel(SpectrogramModel):
    """Base class of networks with softmax masks.

    Attributes
    ----------
    compression : float
        Exponent of the magnitudes that the network sees; below 1 it raises quiet bins.
    """

    config: SoftmaxMaskConfig
    gives_masks = True
    core = "masks"
    compression: ClassVar[float]
    input_mean: Tensor
    input_scale: Tensor

    def __init__(self, config: SoftmaxMaskConfig) -> None:
        super().__init__(config)
        self.register_buffer("input_mean", torch.zeros(config.input_channels, config.bins))
        self.register_buffer("input_scale", torch.ones(config.input_channels, config.bins))
        self._side: Tensor | None = None  # weight of the difference, [groups]; None: 1

    def for_song(self, facts: SongFacts) -> SoftmaxMaskModel:
        """Return a model that weights the difference of the channels by `facts.side`."""
        if self.channels != 2 or facts.side is None or bool((facts.side == 1).all()):
            return self
        model = copy.copy(self)
        model._side = facts.side.to(self.input_mean.device)
        return model

    @abstractmethod
    def logits(self, inputs: Tensor) -> Iterator[Tensor]:
        """Yield logits ``[batch, n, sources, channels, bins]`` of some consecutive frames.

        Parameters
        ----------
        inputs : Tensor ``[batch, frames, input channels, bins]``
            With mean 0 and standard deviation 1 in typical mixtures.
        """

    def network_input(self, spectrogram: Tensor) -> Tensor:
        """Return the bins that the network sees; complex, since the difference needs phases."""
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
        side = self._side
        if side is not None:
            side = side.repeat(mixture.shape[0] // side.shape[0])
        yield from self.masks(self._powers(mixture), side)

    def masks(self, powers: Tensor, side: Tensor | None) -> Iterator[Tensor]:
        """Yield masks ``[batch, sources, channels, bins, n]`` of some consecutive frames.

        Parameters
        ----------
        powers : Tensor ``[batch, frames, input channels, bins]``
            Squared magnitudes of left and right and, in stereo, of half their difference.
        side : Tensor ``[batch]`` or None
            Weight of the difference; None: 1.
        """
        inputs = (self._compressed(powers) - self.input_mean) * self.input_scale
        if side is not None:
            side = side[:, None, None]  # [B, 1, 1]
            inputs = self._with_weighted_difference(inputs, side)
        for logits in self.logits(inputs):
            masks = logits.softmax(dim=2)  # [B, n, S, C, F]
            if side is not None:  # equal channels get equal masks
                mean = masks.mean(dim=3, keepdim=True)
                masks = mean + side[..., None, None] * (masks - mean)
            yield masks.permute(0, 2, 3, 4, 1)

    def _with_weighted_difference(self, inputs: Tensor, side: Tensor) -> Tensor:
        """Return inputs whose third channel is replaced as far as `side` is below 1.

        Parameters
        ----------
        inputs : Tensor ``[batch, frames, 3, bins]``
        side : Tensor ``[batch, 1, 1]``
            0: the replacement, 1: the difference itself.
        """
        replacement = self._typical_difference(inputs[:, :, :2].mean(dim=2))  # [B, N, F]
        if self.config.any_width:  # half way to no difference
            replacement = (replacement - self.input_mean[2] * self.input_scale[2]) / 2
        difference = replacement + side * (inputs[:, :, 2] - replacement)
        return torch.cat([inputs[:, :, :2], difference.unsqueeze(2)], dim=2)

    def _typical_difference(self, channels: Tensor) -> Tensor:
        """Return the difference that is typical for channels ``[batch, frames, bins]``."""
        bins = torch.arange(1, channels.shape[-1] + 1, device=channels.device)
        octaves = (bins * (self.sample_rate / self.config.fft_samples) / _LOWEST_HZ).log2()
        rise = (octaves / math.log2(_FULL_HZ / _LOWEST_HZ)).clamp(0, 1)  # [F]
        return (_LOWEST_SLOPE + (1 - _LOWEST_SLOPE) * rise) * channels + _TYPICAL_OFFSET

    def _powers(self, mixture: Tensor) -> Tensor:
        """Map a complex ``[B, C, F, N]`` to squared magnitudes ``[B, N, input channels, F]``."""
        channels = mixture.permute(0, 3, 1, 2)  # [B, C, F, N] -> [B, N, C, F]
        if self.channels == 2:
            difference = (channels[:, :, :1] - channels[:, :, 1:]) / 2
            channels = torch.cat([channels, difference], dim=2)
        return channels.real.square() + channels.imag.square()

    def _compressed(self, powers: Tensor) -> Tensor:
        """Return magnitudes to a power; exp and log take half the time of pow."""
        return (powers.log() * (self.compression / 2)).exp()

    @torch.no_grad()
    def learn_statistics(self, mixtures: Iterable[Tensor]) -> None:
        """Normalise inputs to mean 0 and standard deviation 1 over the frames of mixtures.

        Parameters
        ----------
        mixtures : iterable of Tensor ``[batch, channels, samples]``
        """
        powers = (self._powers(self.observe(each).network_input) for each in mixtures)
        inputs = (self._compressed(each) for each in powers)
        statistics = bin_statistics((x.permute(0, 2, 3, 1) for x in inputs), _MIN_DEVIATION)
        if statistics is not None:
            mean, deviation = statistics  # [input channels, bins]
            self.input_mean.copy_(mean)
            self.input_scale.copy_(1 / deviation)

    def _masks_of(self, magnitudes: Tensor) -> Tensor:
        """Return softmax masks as they are: they add up to one already."""
        return magnitudes
