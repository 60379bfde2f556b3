"""Signals to score: Audio, tensors and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from partita.audio.reader import MAX_CHANNELS
from partita.audio.signal import Audio
from partita.errors import ScoresError, one_line

Signal = Audio | Tensor | np.ndarray[Any, Any]
_FULL_SCALE_16_BITS = 32768
_REASON_CHARS = 80


def as_reference(signal: Signal, name: str) -> Tensor:
    """Return ``[channels, samples]``; what a lossy codec made is rounded to 16 bits.

    Where a codec left nothing above some frequency, the filters of BSS Eval are not determined
    without that little noise, and its figures come out up to 10 dB away from everybody else's,
    which are made with musdb.

    Parameters
    ----------
    signal : Audio, Tensor or ndarray ``[channels, samples]``
        `Audio` knows whether a lossy codec made it.
    name : str
        For messages.
    """
    samples = as_tensor(signal, name)
    if isinstance(signal, Audio) and signal.is_lossy:
        samples = (samples * _FULL_SCALE_16_BITS).round() / _FULL_SCALE_16_BITS
    return samples


def as_tensor(signal: Signal, name: str) -> Tensor:
    """Return ``[channels, samples]`` of any kind of signal, on the CPU and without a graph."""
    try:
        if isinstance(signal, np.ndarray):  # torch takes neither other bytes nor backward strides
            native = signal.dtype.newbyteorder("=")
            signal = np.require(signal, native, ["C", "W"])
        samples = signal.samples if isinstance(signal, Audio) else torch.as_tensor(signal)
        samples = samples.detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ScoresError(
            f"{one_line(name)}: signals are floating-point [channels, samples], "
            f"not {type(signal).__name__} ({one_line(error)[:_REASON_CHARS]})"
        ) from error
    if samples.ndim != 2 or not samples.is_floating_point():
        raise ScoresError(f"{name}: signals are floating-point [channels, samples]")
    if samples.shape[0] > max(MAX_CHANNELS, samples.shape[1]):
        raise ScoresError(
            f"{name}: {samples.shape[0]} channels of {samples.shape[1]} samples: "
            "signals are [channels, samples], so transpose it"
        )
    return samples


def is_inaudible(signal: Tensor) -> bool:
    """Tell whether 16 bits round all of a signal ``[channels, samples]`` to zero.

    Mixing and resampling leave such remnants in silence; they are no music to be estimated.
    """
    return not bool((signal.abs() * _FULL_SCALE_16_BITS > 0.5).any())
