"""Wiener filters made from the estimates of any model."""

from __future__ import annotations

import torch
from torch import Tensor

from partita.dsp.levels import spread_residual
from partita.dsp.overlap_add import Window, overlap_add
from partita.dsp.stft import Stft
from partita.dsp.wiener import expectation_maximisation

_STFT = Stft(fft_samples=4096, hop_samples=1024)
_SCALE = 10.0  # peak magnitude in the units of `expectation_maximisation`
#: Spatial covariances are constant within a window, about 12 s at 44.1 kHz.
_WINDOW = Window(length=1 << 19, overlap=1 << 16)


def refine(estimates: Tensor, mixture: Tensor, iterations: int) -> Tensor:
    """Refine the estimates of any model with Wiener filters derived from them.

    The estimates' short-time Fourier transforms (4096 samples, hop 1024) are the starting point of
    `expectation_maximisation`, window by window, so that memory for spectra does not grow with the
    length. The residual is then distributed equally.

    Parameters
    ----------
    estimates : Tensor ``[batch, sources, channels, samples]``
    mixture : Tensor ``[batch, channels, samples]``
    iterations : int
        From 1 up.

    Returns
    -------
    Tensor ``[batch, sources, channels, samples]``
        They add up to the mixture.

    Notes
    -----
    As a rule interferences decrease and artefacts increase with every iteration. The level of a
    song does not matter: the assumed noise is relative to the peak of each window.

    Departure from the usual Wiener filter behind a network: it starts from the estimates' own
    phases, not from the mixture's, because they reflect where a source is.
    """

    def filtered(window: Tensor) -> Tensor:  # [B, 1 + S, C, T]
        return _refine_window(window[:, 1:], window[:, 0], iterations)

    together = torch.cat([mixture.unsqueeze(1), estimates], dim=1)  # [B, 1 + S, C, T]
    return overlap_add(together, filtered, _WINDOW)


def _refine_window(estimates: Tensor, mixture: Tensor, iterations: int) -> Tensor:
    spectrogram = _STFT.analyse(mixture)  # [B, C, F, N]
    peak = spectrogram.abs().amax(dim=(1, 2, 3))  # [B]
    unit = torch.where(peak > 0, peak / _SCALE, 1.0)
    images = expectation_maximisation(
        _STFT.analyse(estimates), spectrogram, iterations=iterations, unit=unit
    )
    return spread_residual(mixture, _STFT.synthesise(images, mixture.shape[-1]))
