"""The mixing desk: parts at their levels and positions → stems → one gain for all of them.

There are no effects: a network that learned from songs with equalisers, compressors, reverb,
limiter and codecs was not better on real songs (docs/synthesis.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyloudnorm

from partita.errors import UnknownNameError, UsageError
from partita_synthesis.mixing.panning import draw_places, placed
from partita_synthesis.mixing.profiles import profile_of
from partita_synthesis.score import ROLES

Samples = npt.NDArray[np.float32]

_SILENT_PEAK = 1e-6  # -120 dB: what is below counts as silence
#: No sample of a mixture or a stem is larger.
_PEAK = 0.985
_LUFS_BLOCK_S = 0.4  # of BS.1770


@dataclass(frozen=True, eq=False)
class Channel:
    """One rendered part.

    Attributes
    ----------
    stem : str
        The one that it belongs to.
    role : str
        One of `partita_synthesis.score.ROLES`.
    instrument : str
        Name in the table of instruments.
    samples : ndarray ``[1 or 2, samples]``
        float32, at any level; may be silent.
    """

    stem: str
    role: str
    instrument: str
    samples: Samples


@dataclass(frozen=True, eq=False)
class Mix:
    """A finished song.

    Attributes
    ----------
    stems : mapping of str to ndarray ``[channels, samples]``
        float32, in the order asked for.
    mixture : ndarray ``[channels, samples]``
        Their sum in float32, the first stem first. No sample of it or of them exceeds 0.985.
    notes : mapping
        What was done; JSON can hold it.
    """

    stems: Mapping[str, Samples]
    mixture: Samples
    notes: Mapping[str, Any] = field(repr=False)


def mix(
    channels: Sequence[Channel],
    stems: Sequence[str],
    sample_rate: int,
    rng: np.random.Generator,
    *,
    style: str,
    channels_out: int = 2,
) -> Mix:
    """Mix parts.

    Parameters
    ----------
    channels : sequence of Channel
        All of one length.
    stems : sequence of str
        Stems without a part are silent.
    sample_rate : int
        In hertz.
    rng : Generator
    style : str
        Any; unknown ones are mixed like pop.
    channels_out : {1, 2}

    Returns
    -------
    Mix
        As loud as is usual in the style, as far as peaks allow it.

    Raises
    ------
    UsageError
        No channels or stems, channels of different lengths or shapes, or an unknown role or stem.
    """
    count = _check(channels, stems, channels_out)
    places = draw_places([(each.role, each.instrument) for each in channels], style, rng)
    target_lufs = float(rng.uniform(*profile_of(style).loudness_lufs))
    mixed = {name: np.zeros((channels_out, count), np.float32) for name in stems}
    for channel, place in zip(channels, places, strict=True):
        peak = float(np.abs(channel.samples).max(initial=0))
        if peak > _SILENT_PEAK:
            stereo = placed(channel.samples / np.float32(peak), place, sample_rate)
            part = stereo if channels_out == 2 else stereo.mean(axis=0, keepdims=True)
            mixed[channel.stem] += part
    mixture = _add_up(mixed)
    peak = max(float(np.abs(each).max(initial=0)) for each in (mixture, *mixed.values()))
    if peak:
        loudness = _measured_lufs(mixture, sample_rate)
        wanted = 1.0 if loudness is None else 10 ** ((target_lufs - loudness) / 20)
        gain = np.float32(min(wanted, 0.999 * _PEAK / peak))
        mixed = {name: stem * gain for name, stem in mixed.items()}
        mixture = _add_up(mixed)
    notes = {
        "loudness_target_lufs": round(target_lufs, 2),
        "channels": [
            {
                "stem": channel.stem,
                "role": channel.role,
                "instrument": channel.instrument,
                "level_db": round(place.level_db, 1),
                "pan": round(place.pan, 2),
            }
            for channel, place in zip(channels, places, strict=True)
        ],
    }
    return Mix(mixed, mixture, notes)


def _add_up(stems: Mapping[str, Samples]) -> Samples:
    """Return the sum in float32, the first stem first."""
    first, *others = stems.values()
    total = first.copy()
    for stem in others:
        total += stem
    return total


def _measured_lufs(mixture: Samples, sample_rate: int) -> float | None:
    """Return the integrated loudness by BS.1770; None of silence.

    What is shorter than one block of 0.4 s is one block.
    """
    block_s = min(_LUFS_BLOCK_S, mixture.shape[1] / sample_rate)
    loudness = pyloudnorm.Meter(sample_rate, block_size=block_s).integrated_loudness(mixture.T)
    return float(loudness) if math.isfinite(loudness) else None


def _check(channels: Sequence[Channel], stems: Sequence[str], channels_out: int) -> int:
    """Return the length of all channels."""
    if not channels or not stems:
        raise UsageError("there is nothing to mix: it takes at least one channel and one stem")
    if channels_out not in (1, 2):
        raise UsageError(f"a mix has 1 or 2 channels, not {channels_out}")
    count = int(channels[0].samples.shape[-1])
    for each in channels:
        if each.stem not in stems:
            raise UnknownNameError("stem", each.stem, stems)
        if each.role not in ROLES:
            raise UnknownNameError("role", each.role, ROLES)
        if each.samples.shape not in ((1, count), (2, count)):
            raise UsageError(
                f"{each.instrument}'s samples are {list(each.samples.shape)}, "
                f"not [1 or 2, {count}] like the first channel's"
            )
    return count
