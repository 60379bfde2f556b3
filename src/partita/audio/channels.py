"""Channel layouts: conversion to the channel count of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_HALF_POWER = float(np.sqrt(0.5))

#: Gains of each channel of a layout in (left, right), in FFmpeg's channel order; ITU-R BS.775:
#: centre and surrounds at -3 dB, no low-frequency effects.
_LEFT, _RIGHT, _NONE = (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)
_CENTRE = (_HALF_POWER, _HALF_POWER)
_SURROUND_LEFT, _SURROUND_RIGHT = (_HALF_POWER, 0.0), (0.0, _HALF_POWER)
_STEREO_GAINS = {
    1: [(1.0, 1.0)],
    2: [_LEFT, _RIGHT],
    3: [_LEFT, _RIGHT, _CENTRE],
    4: [_LEFT, _RIGHT, _SURROUND_LEFT, _SURROUND_RIGHT],
    5: [_LEFT, _RIGHT, _CENTRE, _SURROUND_LEFT, _SURROUND_RIGHT],
    6: [_LEFT, _RIGHT, _CENTRE, _NONE, _SURROUND_LEFT, _SURROUND_RIGHT],
    7: [_LEFT, _RIGHT, _CENTRE, _NONE, (0.5, 0.5), _SURROUND_LEFT, _SURROUND_RIGHT],
    8: [_LEFT, _RIGHT, _CENTRE, _NONE, *2 * [_SURROUND_LEFT, _SURROUND_RIGHT]],
}


def mix_channels(block: Samples, channels: int) -> Samples:
    """Convert ``[..., channels_in, samples]`` to the channel count of a model.

    Mono is copied to both sides; more than two channels are mixed down to stereo after
    ITU-R BS.775 and scaled so that the sum cannot clip.

    Raises
    ------
    ValueError
        `channels` is neither 1 nor 2 nor the block's own count.
    """
    own = block.shape[-2]
    if own == channels:
        return block
    if channels not in (1, 2):
        raise ValueError(f"cannot make {channels} channels of {own}")
    gains = np.array(_STEREO_GAINS[own], np.float32).T  # [2, channels_in]
    gains /= max(1.0, float(gains.sum(axis=1).max()))
    stereo: Samples = gains @ block
    return stereo if channels == 2 else stereo.mean(axis=-2, keepdims=True)


#: Names of the channels of each layout, in FFmpeg's order.
_NAMES = {
    3: ("L", "R", "C"),
    4: ("L", "R", "SL", "SR"),
    5: ("L", "R", "C", "SL", "SR"),
    6: ("L", "R", "C", "LFE", "SL", "SR"),
    7: ("L", "R", "C", "LFE", "BC", "SL", "SR"),
    8: ("L", "R", "C", "LFE", "BL", "BR", "SL", "SR"),
}


def fit_channels(block: Samples, channels: int) -> Samples:
    """Convert ``[..., channels_in, samples]`` to any channel count up to 8.

    For one and two channels as `mix_channels`. Otherwise channels keep their position; those that
    the new layout lacks are mixed into left and right, and new ones are silent.
    """
    count = block.shape[-2]
    if count == channels or channels in (1, 2):
        return mix_channels(block, channels)
    names = _NAMES[channels]
    wide = np.zeros((*block.shape[:-2], channels, block.shape[-1]), np.float32)
    own = {1: ("C",), 2: ("L", "R"), **_NAMES}[count]
    for number, (name, gains) in enumerate(zip(own, _STEREO_GAINS[count], strict=True)):
        signal = block[..., number, :]
        if name in names:
            wide[..., names.index(name), :] += signal
        else:
            wide[..., 0, :] += gains[0] * signal
            wide[..., 1, :] += gains[1] * signal
    return wide


def interleaved(signal: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``[channels, samples]`` as ``[samples, channels]``, contiguous as in files."""
    if len(signal) != 2:
        return np.ascontiguousarray(signal.T)
    # Channel by channel: NumPy's copy of stereo takes five times as long.
    frames = np.empty(signal.shape[::-1], signal.dtype)
    frames[:, 0], frames[:, 1] = signal
    return frames


def split_channels(block: Samples, group: int) -> Samples:
    """Split ``[channels, samples]`` into groups of neighbouring channels.

    An incomplete group repeats its last channel: mono becomes (M, M), three channels become (L, R),
    (C, C).
    """
    missing = -block.shape[0] % group
    if missing:
        block = np.concatenate([block, np.repeat(block[-1:], missing, axis=0)])
    return block.reshape(len(block) // group, group, block.shape[-1])


def join_channels(groups: Samples, channels: int) -> Samples:
    """Undo `split_channels`: ``[..., groups, group, samples]`` to ``[..., channels, samples]``.

    The copies that completed the last group are averaged.
    """
    count, group = groups.shape[-3:-1]
    flat = groups.reshape(*groups.shape[:-3], count * group, groups.shape[-1])
    copies = count * group - channels
    if not copies:
        return flat
    last: Samples = flat[..., channels - 1 :, :].mean(axis=-2, keepdims=True)
    return np.concatenate([flat[..., : channels - 1, :], last], axis=-2)
