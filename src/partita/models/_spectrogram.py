"""What all spectrogram models share: one transform before the network, one mask stage after."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.dsp.masks import apply_masks, ratio_masks
from partita.dsp.overlap_add import Window
from partita.dsp.stft import Stft
from partita.models._protocol import ModelConfig, SeparationModel


@dataclass(frozen=True)
class SpectrogramConfig(ModelConfig):
    """Configuration common to spectrogram models.

    Attributes
    ----------
    fft_samples, hop_samples : int
        Of the short-time Fourier transform.
    bins : int
        The network sees the lowest `bins` frequency bins.
    frames : int
        Frames in a window.
    overlap_frames : int
        Frames that neighbouring windows share.
    mask_exponent : float
        Masks are ratios of the magnitudes' powers; 2 is the Wiener filter's.
    """

    fft_samples: int = 4096
    hop_samples: int = 1024
    bins: int = 1024
    frames: int = 512
    overlap_frames: int = 64
    mask_exponent: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = (self.fft_samples, self.hop_samples)
        self.require(all(isinstance(size, int) and size > 0 for size in sizes), "sizes below 1")
        self.require(self.fft_samples % 2 == 0, "fft_samples must be even")
        self.require(
            self.fft_samples >= 2 * self.hop_samples and self.fft_samples % self.hop_samples == 0,
            "fft_samples must be 2, 3, … times hop_samples",
        )
        self.require(0 < self.bins <= self.fft_samples // 2 + 1, "bins exceed those of the FFT")
        self.require(0 <= self.overlap_frames < self.frames, "overlap_frames must be below frames")
        self.require(self.mask_exponent > 0, "mask_exponent must be positive")


class SpectrogramModel(SeparationModel):
    """Base of models whose network maps magnitudes to magnitudes, one for each source."""

    config: SpectrogramConfig

    def __init__(self, config: SpectrogramConfig) -> None:
        super().__init__(config)
        self.stft = Stft(config.fft_samples, config.hop_samples)
        hop = config.hop_samples
        # One hop less than `frames` hops: the transform is centred, so it has a frame at each end.
        self.window = Window((config.frames - 1) * hop, config.overlap_frames * hop)

    @abstractmethod
    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate the sources' magnitudes, up to a factor that is common to all of them.

        Parameters
        ----------
        mixture : Tensor ``[batch, channels, bins, frames]``
            Magnitudes of the mixture, any number of frames.

        Returns
        -------
        Tensor ``[batch, sources, channels, bins, frames]``
            Not negative: magnitudes, or masks that become magnitudes times the mixture's.
        """

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        spectrogram = self.stft.analyse(mixture)  # [B, C, F, N]
        magnitudes = self.magnitudes(spectrogram[..., : self.config.bins, :].abs())
        masks = ratio_masks(magnitudes.float(), self.config.mask_exponent)  # [B, S, C, bins, N]
        # Masks add up to one and the transform is linear: the last estimate is what is left.
        most = apply_masks(masks[:, :-1], spectrogram)  # [B, S - 1, C, F, N]
        estimates = self.stft.synthesise(most, mixture.shape[-1])  # [B, S - 1, C, T]
        last = mixture - estimates.sum(dim=1)  # [B, C, T]
        return torch.cat([estimates, last.unsqueeze(1)], dim=1)
