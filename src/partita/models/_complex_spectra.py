"""Base class of networks from the mixture's complex spectrogram to those of the sources."""

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
    """Configuration common to networks of complex spectrograms.

    Attributes
    ----------
    fft_samples, hop_samples : int
        Of the short-time Fourier transform.
    normalised : bool
        Whether spectra are divided by the square root of `fft_samples`.
    normalise_level : bool
        Whether mixtures are scaled so that their mono mix has mean 0 and standard deviation 1.
    residual : bool
        Whether the last source has no network output: it is the mixture minus the other sources.
    segment_s, overlap : float
        Length of a window in seconds, and how much of it overlaps with the next one, 0 to 1.
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
        self.require(len(self.sources) >= fewest, "a residual needs other sources")
        self.require(self.segment_s * self.sample_rate >= 1, "segment_s must be positive")
        self.require(0 <= self.overlap < 1, "overlap must be 0 or more and below 1")

    @property
    def learned(self) -> tuple[str, ...]:
        """The sources that the network estimates."""
        return self.sources[:-1] if self.residual else self.sources

    @property
    @abstractmethod
    def window(self) -> Window:
        """The window; hops are whole frames, so all windows have the same frame grid."""

    @abstractmethod
    def padded_samples(self, samples: int) -> int:
        """Return the length that the network needs signals of that length to be padded to."""


class ComplexModel(SeparationModel):
    """Base class of networks from complex spectrogram to complex spectrograms.

    Attributes
    ----------
    transform_window : str
        See `Stft`.
    """

    config: ComplexConfig
    core = "parts"
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
        """The sources that the network estimates."""
        return self.config.learned

    def parts(self, seen: Tensor) -> Tensor:
        """Estimate real and imaginary parts ``[batch, learned sources 2 channels, bins, frames]``.

        Subclasses define it, or `spectra`; then they cannot be exported.

        Parameters
        ----------
        seen : Tensor ``[batch, 2 channels, F, frames]``
            See `spectra`.
        """
        raise NotImplementedError(f"{type(self).__name__} defines its spectra, not their parts")

    def spectra(self, seen: Tensor) -> Tensor:
        """Estimate spectra ``[batch, learned sources, channels, bins, frames]``, complex.

        Parameters
        ----------
        seen : Tensor ``[batch, 2 channels, F, frames]``
            The mixture's spectrogram, real part and imaginary part of each channel in turn.

        Returns
        -------
        Tensor
            Of the lowest bins, or all; missing bins are zero.
        """
        return as_complex(self.parts(seen), len(self.learned))

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
        # Networks with biases do not map silence to silence.
        is_audible = mixture.flatten(1).any(dim=1)[:, None, None, None].to(mixture.dtype)
        level = (is_audible * deviation[:, None], is_audible * mean[:, None])  # [B, 1, 1, 1]
        estimates = estimates[..., :samples] * level[0] + level[1]
        if not self.config.residual:
            return estimates
        residual = mixture[:, None] - estimates.sum(dim=1, keepdim=True)
        return torch.cat([estimates, residual], dim=1)

    def _level(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation ``[batch, 1, 1]``; 0 and 1 without `normalise_level`."""
        mean = mixture.new_zeros(len(mixture), 1, 1)
        if not self.config.normalise_level:
            return mean, torch.ones_like(mean)
        mono = mixture.mean(dim=1, keepdim=True)  # [B, 1, T]
        deviation, mean = torch.std_mean(mono, dim=-1, keepdim=True, correction=0)
        least = torch.finfo(mixture.dtype).eps
        return mean, torch.where(deviation > least, deviation, 1.0)


def as_complex(channels: Tensor, sources: int) -> Tensor:
    """Turn ``[batch, sources 2 channels, F, N]`` into complex ``[batch, sources, channels, F, N]``.

    Within a source, channels are ordered as in the argument of `ComplexModel.spectra`.
    """
    parts = torch.unflatten(channels.float(), 1, (sources, -1, 2))  # [B, S, C, 2, F, N]
    return torch.complex(parts[:, :, :, 0], parts[:, :, :, 1])
