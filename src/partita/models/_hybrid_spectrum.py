"""The transform of the hybrid Demucs, and spectrograms from its network's output."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from partita.dsp.stft import Stft
from partita.dsp.wiener import expectation_maximisation

_STEPS = 4  # hops in a frame
_EPS = 1e-10  # openunmix's, see `partita.models._magnitudes`
_SCALE = 10.0
_WIENER_FRAMES = 300
_PIECE_FRAMES = 32  # transformed back at a time: they fit the cache


@dataclass(frozen=True)
class HybridTransform:
    """A transform with one frame per hop, like the steps of the time branch.

    Frame ``n`` is centred between ``n`` and ``n + 1`` hops. The highest bin is omitted. Frames are
    four hops long, and normalised to keep the energy.

    Attributes
    ----------
    fft_samples : int
        Frame length, a multiple of 8.
    delayed : bool
        As in some networks of the MDX challenge 2021: signals are padded with zeros instead of
        reflection, and the inverse transform is one and a half hops late.
    """

    fft_samples: int
    delayed: bool = False

    @property
    def hop_samples(self) -> int:
        """Samples from frame to frame."""
        return self.fft_samples // _STEPS

    @property
    def _margin(self) -> int:
        return self.hop_samples // 2 * 3

    def analyse(self, signal: Tensor) -> Tensor:
        """Transform ``[batch, channels, samples]`` to a complex ``[…, bins, frames]``."""
        hop, margin, samples = self.hop_samples, self._margin, signal.shape[-1]
        frames = math.ceil(samples / hop)
        behind = margin + frames * hop - samples
        pad = functional.pad if self.delayed else _reflect
        padded = pad(signal, (margin, behind))
        stft = Stft(self.fft_samples, hop)
        spectrogram = stft.analyse(padded)[..., :-1, 2 : 2 + frames]
        return spectrogram / math.sqrt(self.fft_samples)

    def synthesise(self, spectrogram: Tensor, samples: int) -> Tensor:
        """Transform a complex ``[..., bins, frames]`` back to ``[..., samples]``."""
        hop, frames = self.hop_samples, spectrogram.shape[-1]
        silent = spectrogram.new_zeros(*spectrogram.shape[:-1], 2)
        behind = [] if self.delayed else [silent]
        pieces = [silent, *torch.split(spectrogram, _PIECE_FRAMES, dim=-1), *behind]
        length, start = (1, 0) if self.delayed else (3, self._margin)
        stft = Stft(self.fft_samples, hop, normalised=True)
        signal = stft.synthesise_pieces(pieces, (frames + length) * hop)
        return signal[..., start : start + samples]


def _reflect(x: Tensor, widths: tuple[int, int]) -> Tensor:
    """Pad by reflection; signals too short for that are padded with zeros first."""
    before, behind = widths
    missing = max(0, max(widths) - x.shape[-1] + 1)
    zeros_behind = min(behind, missing)
    zeros_before = missing - zeros_behind
    x = functional.pad(x, (zeros_before, zeros_behind))
    return functional.pad(x, (before - zeros_before, behind - zeros_behind), mode="reflect")


def as_channels(spectrogram: Tensor) -> Tensor:
    """Map a complex ``[B, C, F, N]`` to ``[B, 2 C, F, N]``: real and imaginary part in turn."""
    return torch.view_as_real(spectrogram).permute(0, 1, 4, 2, 3).flatten(1, 2)


def from_channels(images: Tensor) -> Tensor:
    """Map ``[B, S, 2 C, F, N]`` to a complex ``[B, S, C, F, N]``; see `as_channels`."""
    parts = torch.unflatten(images, 2, (-1, 2))  # [B, S, C, 2, F, N]
    return torch.complex(parts[:, :, :, 0], parts[:, :, :, 1])


def images_of_magnitudes(
    magnitudes: Tensor, mixture: Tensor, *, iterations: int, residual: bool
) -> Tensor:
    """Turn magnitudes into complex spectrograms with the help of the mixture.

    Parameters
    ----------
    magnitudes : Tensor ``[batch, sources, channels, bins, frames]``
    mixture : Tensor, complex ``[batch, channels, bins, frames]``
    iterations : int
        Of the multichannel Wiener filter, with constant spatial covariances for 300 frames. 0: no
        filter, magnitudes get the mixture's phases; below 0: the same, and nearly silent bins fade
        out.
    residual : bool
        Whether the filter has one more source, the mixture minus the others.

    Returns
    -------
    Tensor, complex ``[batch, sources, channels, bins, frames]``
    """
    level = mixture.abs().unsqueeze(1)
    if iterations < 0:
        return mixture.unsqueeze(1) / (1e-8 + level) * magnitudes
    phases = torch.where(level > 0, mixture.unsqueeze(1) / level.clamp(min=1e-30), 1.0)
    images = phases * magnitudes
    if not iterations:
        return images
    if residual:
        images = torch.cat([images, (mixture - images.sum(dim=1)).unsqueeze(1)], dim=1)
    filtered = []
    for part, mixed in zip(
        *(torch.split(numbers, _WIENER_FRAMES, dim=-1) for numbers in (images, mixture)),
        strict=True,
    ):
        unit = (mixed.abs().amax(dim=(1, 2, 3)) / _SCALE).clamp(min=1.0)  # [B]
        filtered.append(
            expectation_maximisation(part, mixed, iterations=iterations, eps=_EPS, unit=unit)
        )
    images = torch.cat(filtered, dim=-1)
    return images[:, :-1] if residual else images
