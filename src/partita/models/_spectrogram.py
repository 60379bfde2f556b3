"""What all spectrogram models share: one transform before the network, one mask stage after."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from partita.dsp.masks import apply_masks, ratio_masks
from partita.dsp.overlap_add import Window
from partita.dsp.stft import Stft
from partita.models._protocol import ModelConfig, SeparationModel

_MOST_GAIN_DB = 60.0


@dataclass(frozen=True)
class SpectrogramConfig(ModelConfig):
    """Configuration common to spectrogram models.

    Attributes
    ----------
    fft_samples, hop_samples : int
        Of the short-time Fourier transform.
    bins : int
        The network sees the lowest `bins` frequency bins; 0 stands for all of them.
    frames : int
        Frames in a window.
    overlap_frames : int
        Frames that neighbouring windows share.
    mask_exponent : float
        Masks are ratios of the magnitudes' powers; 2 is the Wiener filter's.
    level_range_db : pair of float or None
        The network sees mixtures whose level (root mean square, dB of full scale) lies outside
        this range brought to its nearer end, by at most 60 dB; None: as they come. For networks
        that learned from records of one loudness and fail with much quieter or louder ones.
    """

    fft_samples: int = 4096
    hop_samples: int = 1024
    bins: int = 1024
    frames: int = 512
    overlap_frames: int = 32
    mask_exponent: float = 2.0
    level_range_db: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = (self.fft_samples, self.hop_samples)
        self.require(all(isinstance(size, int) and size > 0 for size in sizes), "sizes below 1")
        self.require(self.fft_samples % 2 == 0, "fft_samples must be even")
        self.require(
            self.fft_samples >= 2 * self.hop_samples and self.fft_samples % self.hop_samples == 0,
            "fft_samples must be 2, 3, … times hop_samples",
        )
        all_bins = self.fft_samples // 2 + 1
        if self.bins == 0:
            object.__setattr__(self, "bins", all_bins)
        self.require(0 < self.bins <= all_bins, "bins exceed those of the FFT")
        self.require(0 <= self.overlap_frames < self.frames, "overlap_frames must be below frames")
        self.require(self.mask_exponent > 0, "mask_exponent must be positive")
        if self.level_range_db is not None:
            self.require(
                len(self.level_range_db) == 2 and self.level_range_db[0] <= self.level_range_db[1],
                "level_range_db must be a lower and a higher level",
            )


@dataclass(frozen=True, eq=False)
class Observation:
    """What a network sees of a mixture, and the mixture's spectrogram.

    Attributes
    ----------
    spectrogram : Tensor, complex ``[batch, channels, F, frames]``
        Of the mixture as it is.
    gain : Tensor ``[batch or 1, 1, 1, 1]``
        What brings the mixture to the network's level.
    """

    spectrogram: Tensor
    gain: Tensor
    _select: Callable[[Tensor], Tensor]

    @property
    def seen(self) -> Tensor:
        """What `SpectrogramModel.magnitudes` takes, ``[batch, channels, bins, frames]``.

        Made anew each time: long batches need not hold it beside their spectrograms.
        """
        return self._select(self.spectrogram) * self.gain


class SpectrogramModel(SeparationModel):
    """Base of models whose network maps spectrograms to magnitudes, one for each source.

    Attributes
    ----------
    gives_masks : bool
        Whether `magnitudes` returns masks, which become magnitudes times the mixture's.
    """

    config: SpectrogramConfig
    gives_masks: ClassVar[bool] = False

    def __init__(self, config: SpectrogramConfig) -> None:
        super().__init__(config)
        self.stft = Stft(config.fft_samples, config.hop_samples)
        hop = config.hop_samples
        # One hop less than `frames` hops: the transform is centred, so it has a frame at each end.
        self.window: Window | None = Window((config.frames - 1) * hop, config.overlap_frames * hop)

    def observe(self, mixture: Tensor) -> Observation:
        """Return what the network sees of ``[batch, channels, samples]``.

        Separation, losses, statistics and figures all take it from here, so that a network is
        trained on what it will see.
        """
        return Observation(self.stft.analyse(mixture), self._gain(mixture), self.seen)

    def seen(self, spectrogram: Tensor) -> Tensor:
        """Return the part of a spectrogram that the network sees: by default its magnitudes.

        Parameters
        ----------
        spectrogram : Tensor, complex ``[batch, channels, F, frames]``

        Returns
        -------
        Tensor ``[batch, channels, bins, frames]``
        """
        return spectrogram[..., : self.config.bins, :].abs()

    @abstractmethod
    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate the sources' magnitudes, up to a factor that is common to all of them.

        Parameters
        ----------
        mixture : Tensor ``[batch, channels, bins, frames]``
            What `observe` shows of a mixture, any number of frames.

        Returns
        -------
        Tensor ``[batch, sources, channels, bins, frames]``
            Not negative: magnitudes, or masks where `gives_masks` says so.
        """

    def pieces(self, mixture: Tensor) -> Iterator[Tensor]:
        """Yield what `magnitudes` returns, some consecutive frames at a time.

        For models that see long tracks and need not hold all of it at once.
        """
        yield self.magnitudes(mixture)

    def _gain(self, mixture: Tensor) -> Tensor:
        """Return the factor ``[batch, 1, 1, 1]`` that brings mixtures to the network's level."""
        if self.config.level_range_db is None:
            return mixture.new_ones(1, 1, 1, 1)
        level_db = 10 * mixture.square().mean(dim=(1, 2)).clamp(min=1e-20).log10()  # [B]
        gain_db = level_db.clamp(*self.config.level_range_db) - level_db
        gain_db = gain_db.clamp(-_MOST_GAIN_DB, _MOST_GAIN_DB)
        return (10 ** (gain_db / 20))[:, None, None, None]

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        observed = self.observe(mixture)
        pieces = self.pieces(observed.seen)
        return self._render(pieces, observed.gain, observed.spectrogram, mixture)

    def _render(
        self, pieces: Iterator[Tensor], gain: Tensor, spectrogram: Tensor, mixture: Tensor
    ) -> Tensor:
        """Make estimates ``[batch, sources, channels, samples]`` of what `pieces` yields.

        Parameters
        ----------
        pieces : iterator of Tensor ``[batch, sources, channels, bins, n]``
            Of the mixture times the gain.
        gain : Tensor ``[batch or 1, 1, 1, 1]``
        spectrogram : Tensor, complex ``[batch, channels, F, frames]``
            Of the mixture.
        mixture : Tensor ``[batch, channels, samples]``
        """
        del gain  # masks are ratios
        most = self._masked(pieces, spectrogram)  # [B, S - 1, C, F, n] each
        estimates = self.stft.synthesise_pieces(most, mixture.shape[-1])  # [B, S - 1, C, T]
        last = mixture - estimates.sum(dim=1)  # [B, C, T]
        return torch.cat([estimates, last.unsqueeze(1)], dim=1)

    def _masked(self, pieces: Iterator[Tensor], spectrogram: Tensor) -> Iterator[Tensor]:
        """Yield the images of all sources but the last, some frames at a time.

        Masks add up to one and the transform is linear: the last estimate is what is left.
        """
        start = 0
        for magnitudes in pieces:  # [B, S, C, bins, n]
            stop = start + magnitudes.shape[-1]
            masks = self._masks_of(magnitudes.float())
            yield apply_masks(masks[:, :-1], spectrogram[..., start:stop])
            start = stop

    def _masks_of(self, magnitudes: Tensor) -> Tensor:
        """Return masks that add up to one, of what `pieces` yields."""
        return ratio_masks(magnitudes, self.config.mask_exponent)
