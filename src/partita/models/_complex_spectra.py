"""Base class of networks that map the mixture's complex spectrogram to the sources' ones."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from partita.dsp.overlap_add import Window
from partita.dsp.stft import Stft
from partita.models._protocol import ModelConfig, SeparationModel


@dataclass(frozen=True)
class ComplexConfig(ModelConfig):
    """Configuration common to networks of complex spectra.

    Attributes
    ----------
    fft_samples, hop_samples : int
        Of the short-time Fourier transform.
    normalised : bool
        Whether spectra are divided by the square root of `fft_samples`.
    normalise_level : bool
        Whether the network sees mixtures whose mean over the channels has mean 0 and deviation 1.
    residual : bool
        Whether the last source has no estimate of the network: it is what the others leave.
    segment_s, overlap : float
        Length of a window in seconds, and the part of it that neighbours share.
    """

    fft_samples: int = 4096
    hop_samples: int = 1024
    normalised: bool = False
    normalise_level: bool = False
    residual: bool = False
    segment_s: float = 8.0
    overlap: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        Stft(self.fft_samples, self.hop_samples)  # checks its sizes
        fewest = 2 if self.residual else 1
        self.require(len(self.sources) >= fewest, "a residual is what other sources leave")
        self.require(self.segment_s * self.sample_rate >= 1, "segment_s must be positive")
        self.require(0 <= self.overlap < 1, "overlap must be 0 or more and below 1")

    @property
    def learned(self) -> tuple[str, ...]:
        """The sources that the network estimates."""
        return self.sources[:-1] if self.residual else self.sources

    @property
    @abstractmethod
    def window(self) -> Window:
        """The window, which begins with a frame wherever it stands."""

    @abstractmethod
    def padded_samples(self, samples: int) -> int:
        """Return the length that the network wants a signal of that length padded to."""


class ComplexModel(SeparationModel):
    """Base of models whose networks map complex spectra to complex spectra.

    Attributes
    ----------
    transform_window : str
        See `Stft`.
    """

    config: ComplexConfig
    transform_window: ClassVar[Literal["hann", "rectangular"]] = "hann"

    def __init__(self, config: ComplexConfig) -> None:
        super().__init__(config)
        self.window: Window | None = config.window
        self.stft = Stft(
            config.fft_samples,
            config.hop_samples,
            window=self.transform_window,
            reflect=True,
            normalised=config.normalised,
        )

    @property
    def learned(self) -> tuple[str, ...]:
        """The sources that it learns from examples."""
        return self.config.learned

    @abstractmethod
    def spectra(self, seen: Tensor) -> Tensor:
        """Estimate spectra ``[batch, learned sources, channels, bins, frames]``, complex.

        Parameters
        ----------
        seen : Tensor ``[batch, 2 channels, F, frames]``
            The mixture's; each channel's real part is followed by its imaginary part.

        Returns
        -------
        Tensor
            Of the lowest bins, up to all; the others are zero.
        """

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        samples = mixture.shape[-1]
        padded = self.config.padded_samples(samples)
        mean, deviation = self._level(mixture)
        signal = functional.pad((mixture - mean) / deviation, (0, padded - samples))
        parts = torch.view_as_real(self.stft.analyse(signal))  # [B, C, F, N, 2]
        spectra = self.spectra(parts.permute(0, 1, 4, 2, 3).flatten(1, 2))  # [B, S, C, bins, N]
        above = self.stft.bins - spectra.shape[-2]
        estimates = self.stft.synthesise(functional.pad(spectra, (0, 0, 0, above)), padded)
        # Networks with biases give something for silence.
        heard = mixture.flatten(1).any(dim=1)[:, None, None, None].to(mixture.dtype)
        level = (heard * deviation[:, None], heard * mean[:, None])  # [B, 1, 1, 1]
        estimates = estimates[..., :samples] * level[0] + level[1]
        if not self.config.residual:
            return estimates
        left = mixture[:, None] - estimates.sum(dim=1, keepdim=True)
        return torch.cat([estimates, left], dim=1)

    def _level(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation ``[batch, 1, 1]``; 0 and 1 where levels stay as they are."""
        mean = mixture.new_zeros(len(mixture), 1, 1)
        if not self.config.normalise_level:
            return mean, torch.ones_like(mean)
        mono = mixture.mean(dim=1, keepdim=True)  # [B, 1, T]
        deviation, mean = torch.std_mean(mono, dim=-1, keepdim=True, correction=0)
        least = torch.finfo(mixture.dtype).eps
        return mean, torch.where(deviation > least, deviation, 1.0)


def as_complex(channels: Tensor, sources: int) -> Tensor:
    """Turn ``[batch, sources 2 channels, F, N]`` into complex ``[batch, sources, channels, F, N]``.

    Real and imaginary parts stand as in what `ComplexModel.spectra` sees, for each source.
    """
    parts = torch.unflatten(channels.float(), 1, (sources, -1, 2))  # [B, S, C, 2, F, N]
    return torch.complex(parts[:, :, :, 0], parts[:, :, :, 1])
