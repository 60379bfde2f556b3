"""Complex spectrograms as real channels: what networks see that map spectra to spectra."""

from __future__ import annotations

import torch
from torch import Tensor

from partita.dsp.stft import Stft


def analyse(stft: Stft, mixture: Tensor) -> Tensor:
    """Transform ``[batch, channels, samples]`` to real ``[batch, 2 channels, bins, frames]``.

    Each channel's real part is followed by its imaginary part.
    """
    parts = torch.view_as_real(stft.analyse(mixture))  # [B, C, F, N, 2]
    return parts.permute(0, 1, 4, 2, 3).flatten(1, 2)


def as_complex(channels: Tensor, sources: int) -> Tensor:
    """Turn ``[batch, sources 2 channels, F, N]`` into complex ``[batch, sources, channels, F, N]``.

    The inverse of `analyse`'s order of channels, for each source.
    """
    parts = torch.unflatten(channels.float(), 1, (sources, -1, 2))  # [B, S, C, 2, F, N]
    return torch.complex(parts[:, :, :, 0], parts[:, :, :, 1])


def heard(mixture: Tensor) -> Tensor:
    """Return ``[batch, 1, 1, 1]``, 0 where a mixture is exactly zero and 1 elsewhere.

    Networks with biases give something for silence; times this, nothing.
    """
    return mixture.flatten(1).any(dim=1)[:, None, None, None].to(mixture.dtype)
