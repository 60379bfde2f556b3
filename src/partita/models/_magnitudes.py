"""Base class of networks that predict each source's magnitude spectrogram."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.dsp.wiener import expectation_maximisation, wiener
from partita.models._spectrogram import SpectrogramConfig, SpectrogramModel
from partita.validation import bounded

#: Of the Wiener filter. As in openunmix, it assumes noise 70 dB below the peak. With less noise, in
#: a channel where all estimates are nearly silent, sources become hundreds of times too loud and
#: cancel each other.
_SCALE = 10.0
_EPS = 1e-10


@dataclass(frozen=True)
class MagnitudeConfig(SpectrogramConfig):
    """Configuration common to networks that predict magnitudes.

    Attributes
    ----------
    bins : int
        All bins of the transform.
    wiener_iterations : int or None
        Of the multichannel Wiener filter; 0: no filter, magnitudes get the mixture's phases; None:
        ratio masks.
    wiener_frames : int
        The Wiener filter assumes constant spatial covariances for so many frames.
    residual : bool
        Whether the last source has no network: it is the mixture minus the other sources.
    """

    bins: int = 0
    wiener_iterations: int | None = bounded(1, most=100)
    wiener_frames: int = 300
    residual: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.bins == self.fft_samples // 2 + 1, "bins must be all of the FFT's")
        iterations = self.wiener_iterations
        self.require(
            iterations is None or (isinstance(iterations, int) and iterations >= 0),
            "wiener_iterations must be 0 or more, or None",
        )
        self.require(self.wiener_frames >= 1, "wiener_frames must be positive")
        if self.residual:
            self.require(len(self.sources) >= 2, "a residual needs other sources")
            self.require(iterations is not None, "a residual needs wiener_iterations")

    @property
    def learned(self) -> tuple[str, ...]:
        """The sources that have a network."""
        return self.sources[:-1] if self.residual else self.sources


class MagnitudeModel(SpectrogramModel):
    """Base class of networks that predict each source's magnitude spectrogram.

    `magnitudes` returns those of the sources in `learned`.
    """

    config: MagnitudeConfig

    @property
    def learned(self) -> tuple[str, ...]:
        """The sources that have a network."""
        return self.config.learned

    def _render(
        self, pieces: Iterator[Tensor], gain: Tensor, spectrogram: Tensor, mixture: Tensor
    ) -> Tensor:
        if self.config.wiener_iterations is None:
            return super()._render(pieces, gain, spectrogram, mixture)
        magnitudes = torch.cat(list(pieces), dim=-1).float() / gain.unsqueeze(1)  # [B, S, C, F, N]
        images = self._filtered(magnitudes, spectrogram)
        return self.stft.synthesise_pieces(images, mixture.shape[-1])

    def _filtered(self, magnitudes: Tensor, spectrogram: Tensor) -> Iterator[Tensor]:
        """Yield images ``[batch, sources, channels, F, n]``, `wiener_frames` at a time."""
        # A single source needs no filter: there is nothing to separate it from.
        iterations = 0 if len(self.sources) == 1 else self.config.wiener_iterations or 0
        size = self.config.wiener_frames
        pieces = (torch.split(x, size, dim=-1) for x in (magnitudes, spectrogram))
        for piece, mixture in zip(*pieces, strict=True):
            if self.config.residual:
                yield _with_residual(piece, mixture, iterations)
            else:
                yield wiener(piece, mixture, iterations=iterations, eps=_EPS)


def _with_residual(magnitudes: Tensor, mixture: Tensor, iterations: int) -> Tensor:
    """Return images ``[B, S + 1, C, F, n]``: the last starts as the mixture minus the others.

    As in openunmix from version 1.1 on; norbert subtracts magnitudes instead.
    """
    images = wiener(magnitudes, mixture, iterations=0)
    residual = mixture - images.sum(dim=1)
    images = torch.cat([images, residual.unsqueeze(1)], dim=1)
    unit = (mixture.abs().amax(dim=(1, 2, 3)) / _SCALE).clamp(min=1.0)  # as `wiener` has it
    return expectation_maximisation(images, mixture, iterations=iterations, eps=_EPS, unit=unit)
