"""Base class of spectrogram models: transform, network, masks, inverse transform."""

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

MAX_GAIN_DB = 60.0
#: Frames that are masked and transformed back at a time on CPUs: their spectra fit the cache.
_CACHED_FRAMES = 16


@dataclass(frozen=True)
class SpectrogramConfig(ModelConfig):
    """Configuration common to spectrogram models.

    Attributes
    ----------
    fft_samples, hop_samples : int
        Of the short-time Fourier transform.
    bins : int
        The network sees the lowest `bins` frequency bins; 0: all of them.
    frames : int
        Frames of a window.
    overlap_frames : int
        Frames that neighbouring windows share.
    mask_exponent : float
        Exponent of the magnitudes in ratio masks; 2 gives those of a Wiener filter.
    level_range_db : pair of float or None
        Mixtures whose level (RMS in dB re full scale) is outside this range are scaled to its
        nearer end for the network, by at most 60 dB; None: no scaling. For networks that were
        trained on records of similar loudness and fail on much quieter or louder ones.
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
        self.require(
            all(isinstance(size, int) and size > 0 for size in sizes),
            "fft_samples and hop_samples must be positive",
        )
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
    """A mixture's spectrogram, and the input that the network gets of it.

    Attributes
    ----------
    spectrogram : Tensor, complex ``[batch, channels, F, frames]``
        Of the mixture as it is.
    gain : Tensor ``[batch or 1, 1, 1, 1]``
        Scales the mixture to a level within `level_range_db`.
    """

    spectrogram: Tensor
    gain: Tensor
    _select: Callable[[Tensor], Tensor]

    @property
    def network_input(self) -> Tensor:
        """The input of `SpectrogramModel.magnitudes`, ``[batch, channels, bins, frames]``.

        Computed at each access, so that long batches need not store it.
        """
        return self._select(self.spectrogram) * self.gain


class SpectrogramModel(SeparationModel):
    """Base class of models whose network maps a spectrogram to magnitudes or masks of each source.

    Attributes
    ----------
    gives_masks : bool
        Whether `magnitudes` returns masks; magnitudes are those times the mixture's.
    """

    config: SpectrogramConfig
    gives_masks: ClassVar[bool] = False
    core = "magnitudes"

    def __init__(self, config: SpectrogramConfig) -> None:
        super().__init__(config)
        self.stft = Stft(config.fft_samples, config.hop_samples)
        hop = config.hop_samples
        # The transform is centred, with a frame at each end: n frames span n - 1 hops.
        self.window: Window | None = Window((config.frames - 1) * hop, config.overlap_frames * hop)

    def observe(self, mixture: Tensor) -> Observation:
        """Return spectrogram and network input of a mixture ``[batch, channels, samples]``.

        Separation, losses, statistics and figures all call it, so that training and inference
        cannot differ.
        """
        return Observation(self.stft.analyse(mixture), self._gain(mixture), self.network_input)

    def network_input(self, spectrogram: Tensor) -> Tensor:
        """Return the network input of a spectrogram: by default its magnitudes.

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
        """Estimate the sources' magnitudes, up to a common factor.

        Parameters
        ----------
        mixture : Tensor ``[batch, channels, bins, frames]``
            The network input, `Observation.network_input`; any number of frames.

        Returns
        -------
        Tensor ``[batch, sources, channels, bins, frames]``
            Not negative: magnitudes, or masks if `gives_masks`.
        """

    def pieces(self, mixture: Tensor) -> Iterator[Tensor]:
        """Yield the result of `magnitudes`, some consecutive frames at a time.

        Models that see whole tracks override it to save memory.
        """
        yield self.magnitudes(mixture)

    def _gain(self, mixture: Tensor) -> Tensor:
        """Return the gain ``[batch, 1, 1, 1]`` that brings mixtures into `level_range_db`."""
        if self.config.level_range_db is None:
            return mixture.new_ones(1, 1, 1, 1)
        level_db = 10 * mixture.square().mean(dim=(1, 2)).clamp(min=1e-20).log10()  # [B]
        gain_db = level_db.clamp(*self.config.level_range_db) - level_db
        gain_db = gain_db.clamp(-MAX_GAIN_DB, MAX_GAIN_DB)
        return (10 ** (gain_db / 20))[:, None, None, None]

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        observed = self.observe(mixture)
        pieces = self.pieces(observed.network_input)
        return self._render(pieces, observed.gain, observed.spectrogram, mixture)

    def _render(
        self, pieces: Iterator[Tensor], gain: Tensor, spectrogram: Tensor, mixture: Tensor
    ) -> Tensor:
        """Make estimates ``[batch, sources, channels, samples]`` from the network's output.

        Parameters
        ----------
        pieces : iterator of Tensor ``[batch, sources, channels, bins, n]``
            Output of `pieces`, for the mixture times the gain.
        gain : Tensor ``[batch or 1, 1, 1, 1]``
        spectrogram : Tensor, complex ``[batch, channels, F, frames]``
            Of the mixture.
        mixture : Tensor ``[batch, channels, samples]``
        """
        del gain  # ratio masks do not depend on it
        images = self._masked(pieces, spectrogram)  # [B, S - 1, C, F, n] each
        estimates = self.stft.synthesise_pieces(images, mixture.shape[-1])  # [B, S - 1, C, T]
        last = mixture - estimates.sum(dim=1)  # [B, C, T]
        return torch.cat([estimates, last.unsqueeze(1)], dim=1)

    def _masked(self, pieces: Iterator[Tensor], spectrogram: Tensor) -> Iterator[Tensor]:
        """Yield the spectrograms of all sources but the last, some frames at a time.

        Masks add up to one and the transform is linear, so the last estimate is the mixture minus
        the others.
        """
        start = 0
        is_cached = spectrogram.device.type == "cpu" and not torch.is_grad_enabled()
        for magnitudes in pieces:  # [B, S, C, bins, n]
            few = _CACHED_FRAMES if is_cached else magnitudes.shape[-1]
            for part in torch.split(magnitudes, few, dim=-1):
                stop = start + part.shape[-1]
                masks = self._masks_of(part.float())
                yield apply_masks(masks[:, :-1], spectrogram[..., start:stop])
                start = stop

    def _masks_of(self, magnitudes: Tensor) -> Tensor:
        """Return masks that add up to one, from the output of `pieces`."""
        return ratio_masks(magnitudes, self.config.mask_exponent)
