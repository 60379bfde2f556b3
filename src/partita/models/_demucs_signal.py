"""What surrounds the network of a Demucs, in whatever form: level, length and rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from partita.dsp.double_rate import double_rate, halve_rate

_LEAST_DEVIATION = 1e-5  # added: mixtures that are all but silent are not blown up
_LEAST_OF_MONO = 0.1  # of all channels' deviation: opposite channels leave nothing in the mean


class SignalConfig(Protocol):
    """What is read of the configuration of a Demucs; see `partita.models.demucs.DemucsConfig`."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What is separated."""

    @property
    def channels(self) -> int:
        """Channels of the mixture."""

    @property
    def normalise(self) -> bool:
        """Whether levels are."""

    @property
    def resample(self) -> bool:
        """Whether the network works at twice the sample rate."""

    @property
    def depth(self) -> int:
        """Levels of the encoder, and of the decoder."""

    @property
    def kernel(self) -> int:
        """Width of the convolutions that lead from level to level."""

    @property
    def stride(self) -> int:
        """Their stride."""

    def valid_samples(self, samples: int) -> int:
        """Return to how many samples a signal is padded."""


def padded_samples(config: SignalConfig, samples: int, *, lost_steps: int = 0) -> int:
    """Return the least samples with which every convolution ends where its input ends.

    Parameters
    ----------
    config : SignalConfig
    samples : int
        Of the signal.
    lost_steps : int
        By how many steps each level of the decoder gets shorter besides.
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
    """Separate by a network that has its own level, length and perhaps rate.

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
    x = (mixture - mean) / (_LEAST_DEVIATION + deviation)
    missing = config.valid_samples(samples) - samples
    x = functional.pad(x, (missing // 2, missing - missing // 2))
    x = halve_rate(network(double_rate(x))) if config.resample else network(x)
    x = centred(x, samples) * deviation + mean  # [B, S C, T]
    return x.reshape(-1, len(config.sources), config.channels, samples)  # [B, S, C, T]


def _level(mixture: Tensor, normalise: bool) -> tuple[Tensor, Tensor]:
    """Return mean and deviation ``[batch, 1, 1]`` of the network's input and output.

    Of silence the deviation is 0, whether levels are normalised or not, and so are estimates.
    """
    if not normalise:
        heard = mixture.flatten(1).any(dim=1)[:, None, None]
        return torch.zeros_like(heard, dtype=mixture.dtype), heard.to(mixture.dtype)
    mono = mixture.mean(dim=1, keepdim=True)  # [B, 1, T]
    mean = mono.mean(dim=-1, keepdim=True)
    others = max(1, mono.shape[-1] - 1)  # than one
    deviation = ((mono - mean).square().sum(dim=-1, keepdim=True) / others).sqrt()
    of_all = (mixture - mean).square().mean(dim=(1, 2), keepdim=True).sqrt()
    return mean, torch.maximum(deviation, _LEAST_OF_MONO * of_all)


def centred(x: Tensor, samples: int) -> Tensor:
    """Return the middle of ``[..., n]``; where the rest is odd, more of it is behind."""
    start = (x.shape[-1] - samples) // 2
    return x[..., start : start + samples]
