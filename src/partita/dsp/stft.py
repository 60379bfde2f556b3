"""The short-time Fourier transform that all spectrogram models share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stft:
    """A transform and its inverse, periodic Hann window, frames centred on multiples of the hop.

    Attributes
    ----------
    fft_samples : int
        Frame length; ``fft_samples // 2 + 1`` bins.
    hop_samples : int
        Samples from frame to frame, at most half of `fft_samples`.
    """

    fft_samples: int
    hop_samples: int

    @property
    def bins(self) -> int:
        """Number of frequency bins."""
        return self.fft_samples // 2 + 1

    def frames(self, samples: int) -> int:
        """Return how many frames a signal of that length has."""
        return samples // self.hop_samples + 1

    def analyse(self, signal: Tensor) -> Tensor:
        """Transform ``[..., samples]`` to a complex ``[..., bins, frames]``.

        The signal counts as zero outside its ends.
        """
        flat = signal.reshape(-1, signal.shape[-1])
        spectrogram = torch.stft(
            flat,
            self.fft_samples,
            self.hop_samples,
            window=torch.hann_window(self.fft_samples, device=signal.device),
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        return spectrogram.reshape(*signal.shape[:-1], *spectrogram.shape[-2:])

    def synthesise(self, spectrogram: Tensor, samples: int) -> Tensor:
        """Transform a complex ``[..., bins, frames]`` back to ``[..., samples]``.

        Least-squares inverse (Griffin & Lim 1984, equation 6): exact for an unchanged transform.
        """
        flat = spectrogram.reshape(-1, *spectrogram.shape[-2:])
        signal = torch.istft(
            flat,
            self.fft_samples,
            self.hop_samples,
            window=torch.hann_window(self.fft_samples, device=spectrogram.device),
            center=True,
            length=samples,
        )
        return signal.reshape(*spectrogram.shape[:-2], samples)
