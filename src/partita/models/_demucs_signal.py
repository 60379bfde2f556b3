"""Pre- and post-processing of Demucs: level normalisation, padding and resampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from partita.dsp.double_rate import double_rate, halve_rate

_MIN_DEVIATION = 1e-5  # added, so that nearly silent mixtures are not amplified
_MIN_MONO_RATIO = 0.1  # to all channels' deviation: channels of opposite polarity cancel in mono


class SignalConfig(Protocol):
    """The fields of a Demucs configuration that are used here."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources to separate."""

    @property
    def channels(self) -> int:
        """Channels of the mixture."""

    @property
    def normalise(self) -> bool:
        """Whether levels are normalised."""

    @property
    def resample(self) -> bool:
        """Whether the network works at twice the sample rate."""

    @property
    def depth(self) -> int:
        """Levels of the encoder, and of the decoder."""

    @property
    def kernel(self) -> int:
        """Kernel size of the strided convolutions."""

    @property
    def stride(self) -> int:
        """Their stride."""

    def valid_samples(self, samples: int) -> int:
        """Return the padded length of a signal."""


def padded_samples(config: SignalConfig, samples: int, *, lost_steps: int = 0) -> int:
    """Return the smallest length at which all strided convolutions use all of their input.

    Parameters
    ----------
    config : SignalConfig
    samples : int
        Of the signal.
    lost_steps : int
        By how many steps unpadded convolutions shorten each level of the decoder.
    """
    steps = 2 * samples if config.resample else samples
    for _ in range(config.depth):
        steps = max(1, math.ceil((steps - config.kernel) / config.stride) + 1) + lost_steps
    for _ in range(config.depth):
        steps = (steps - 1) * config.stride + config.kernel
    return math.ceil(steps / 2) if config.resample else steps


def separate_with(
    network: Callable[[Tensor], Tensor], config: SignalConfig, mixture: Tensor
) -> Tensor:
    """Separate a mixture: normalise, pad, resample, run the network, and undo all of it.

    Parameters
    ----------
    network : callable
        Maps ``[batch, channels, n]`` to ``[batch, sources * channels, n or fewer]``.
    config : SignalConfig
    mixture : Tensor ``[batch, channels, samples]``

    Returns
    -------
    Tensor ``[batch, sources, channels, samples]``
    """
    samples = mixture.shape[-1]
    mean, deviation = _level(mixture, config.normalise)
    x = (mixture - mean) / (_MIN_DEVIATION + deviation)
    missing = config.valid_samples(samples) - samples
    x = functional.pad(x, (missing // 2, missing - missing // 2))
    x = halve_rate(network(double_rate(x))) if config.resample else network(x)
    x = centred(x, samples) * deviation + mean  # [B, S C, T]
    return x.reshape(-1, len(config.sources), config.channels, samples)  # [B, S, C, T]


def _level(mixture: Tensor, normalise: bool) -> tuple[Tensor, Tensor]:
    """Return mean and deviation ``[batch, 1, 1]`` of the network's input and output.

    The deviation of silence is 0, also without `normalise`, so that its estimates are silence.
    """
    if not normalise:
        is_audible = mixture.flatten(1).any(dim=1)[:, None, None]
        return torch.zeros_like(is_audible, dtype=mixture.dtype), is_audible.to(mixture.dtype)
    mono = mixture.mean(dim=1, keepdim=True)  # [B, 1, T]
    mean = mono.mean(dim=-1, keepdim=True)
    degrees = max(1, mono.shape[-1] - 1)  # of freedom
    deviation = ((mono - mean).square().sum(dim=-1, keepdim=True) / degrees).sqrt()
    of_all = (mixture - mean).square().mean(dim=(1, 2), keepdim=True).sqrt()
    return mean, torch.maximum(deviation, _MIN_MONO_RATIO * of_all)


def centred(x: Tensor, samples: int) -> Tensor:
    """Return the centre ``[..., samples]`` of ``[..., n]``; an odd sample is cut off at the end."""
    start = (x.shape[-1] - samples) // 2
    return x[..., start : start + samples]
