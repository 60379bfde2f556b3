"""Gains that change in time: compressors, gates, limiters.

All are worked out at a control rate, one value for each block of about 1.5 ms, and applied with
straight lines between. Levels rise at once and fall by so many decibels a second: a running
maximum of a tilted curve, which needs no loop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import lfilter

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]

_BLOCK_S = 1 / 689
_FLOOR_DB = -140.0
_GATE_FRAME_S, _GATE_DB = 0.4, 25.0
_LOOKAHEAD_S, _LIMITER_FALL_DB_PER_S = 0.003, 60.0
_CHUNK_BLOCKS = 256  # so many stay in the processor's cache
_FALL_DB = 12.0  # in a compressor's release time


@dataclass(frozen=True)
class Clock:
    """Samples and blocks.

    Attributes
    ----------
    sample_rate : int
    hop : int
        Samples of a block.
    """

    sample_rate: int
    hop: int

    @classmethod
    def of(cls, sample_rate: int) -> Clock:
        """Return blocks of a power of two that suits a sample rate."""
        return cls(sample_rate, 2 ** max(0, round(math.log2(sample_rate * _BLOCK_S))))

    @property
    def rate(self) -> float:
        """Blocks in a second."""
        return self.sample_rate / self.hop

    def padded(self, samples: int) -> int:
        """Return the length in whole blocks, at least one."""
        return max(1, -(-samples // self.hop)) * self.hop

    def smoothing(self, time_s: float) -> float:
        """Return the coefficient of a one-pole filter with a time constant."""
        return math.exp(-1 / (self.rate * time_s))


@dataclass(frozen=True)
class Compressor:
    """Settings; times in seconds.

    Attributes
    ----------
    threshold_db : float
        Above the level of the signal while it plays.
    ratio : float
    attack_s, release_s : float
    """

    threshold_db: float
    ratio: float
    attack_s: float
    release_s: float


def block_powers(samples: Samples, clock: Clock) -> Curve:
    """Return the mean square of each block, summed over channels: ``[blocks]``."""
    blocks = samples.reshape(len(samples), -1, clock.hop)
    sums = np.einsum("cbh,cbh->b", blocks, blocks)
    return np.asarray(sums / clock.hop, np.float64)


def block_peaks(samples: Samples, clock: Clock) -> Curve:
    """Return the largest magnitude of each block in any channel: ``[blocks]``.

    The last one may be shorter.
    """
    highest = np.zeros(clock.padded(samples.shape[1]), np.float32)
    for row in samples:
        np.maximum(highest[: len(row)], np.abs(row), out=highest[: len(row)])
    return np.asarray(highest.reshape(-1, clock.hop).max(axis=1), np.float64)


def playing_level_db(powers: Curve, clock: Clock) -> float:
    """Return the level while something plays, in dB of the summed mean square.

    Pieces of 0.4 s count that are at most 25 dB below the loudest; −inf of silence.
    """
    frame = max(1, round(_GATE_FRAME_S * clock.rate))
    starts = np.arange(0, len(powers), frame)
    counts = np.diff(np.append(starts, len(powers)))
    # A short last piece counts as if silence followed, unless it is all there is.
    means = np.add.reduceat(powers, starts) / (frame if len(starts) > 1 else counts)
    loud = means[means > means.max() * 10 ** (-_GATE_DB / 10)]
    return 10 * math.log10(loud.mean()) if len(loud) else -math.inf


def compress(powers: Curve, settings: Compressor, clock: Clock) -> Curve:
    """Return a compressor's gain in dB ``[blocks]``, with a soft knee of 6 dB."""
    threshold = playing_level_db(powers, clock) + settings.threshold_db
    level = _falling(decibels(powers), _FALL_DB / settings.release_s, clock)
    over = level - threshold
    bent = np.where(np.abs(over) < 3, (over + 3) ** 2 / 12, np.maximum(over, 0))
    return -_smooth(bent * (1 - 1 / settings.ratio), settings.attack_s, clock)


def gate(powers: Curve, threshold_db: float, depth_db: float, clock: Clock) -> Curve:
    """Return a gain in dB ``[blocks]`` that is −depth where the level is below the threshold.

    The threshold is relative to the level while something plays.
    """
    threshold = playing_level_db(powers, clock) + threshold_db
    level = _falling(decibels(powers), 80.0, clock)
    return -_smooth(np.clip(threshold - level, 0, depth_db), 0.01, clock)


def duck(powers: Curve, depth_db: float, release_s: float, clock: Clock) -> Curve:
    """Return a gain in dB ``[blocks]`` that dips with every hit of what has these powers."""
    level = decibels(powers)
    hits = np.clip(level - level.max() + 12, 0, 6) * (depth_db / 6)
    return -_smooth(_falling(hits, depth_db / release_s, clock), 0.004, clock)


def limit(peaks: Curve, ceiling: float, clock: Clock) -> Curve:
    """Return a limiter's gain in dB at the edges of the blocks ``[blocks + 1]``.

    It looks ahead by 3 ms. Peaks times the linear gain stay under the ceiling, between the edges
    too.
    """
    needed = np.maximum(decibels(peaks**2) - 20 * math.log10(ceiling), 0)
    if not needed.any():
        return np.zeros(len(peaks) + 1)
    edges = np.maximum(np.append(needed, 0), np.append(0, needed))
    width = 2 * max(1, round(_LOOKAHEAD_S * clock.rate)) + 1
    held = _falling(maximum_filter1d(edges, width), _LIMITER_FALL_DB_PER_S, clock)
    smooth = uniform_filter1d(np.maximum(held, 0), width, mode="nearest")
    return np.asarray(-smooth)


def tremolo(blocks: int, rate_hz: float, depth_db: float, clock: Clock) -> Curve:
    """Return a gain in dB ``[blocks]`` that swings from 0 to −depth."""
    turns = np.arange(blocks) * (rate_hz / clock.rate)
    return np.asarray(-depth_db * (0.5 + 0.5 * np.sin(2 * np.pi * turns)))


def edges_of(gain_db: Curve) -> Curve:
    """Return gains of blocks as gains at their edges, as many and one."""
    return np.append(gain_db, gain_db[-1])


def apply_gain(samples: Samples, edges_db: Curve, clock: Clock) -> None:
    """Multiply samples, in place, by a gain given at the edges of the blocks."""
    edges = linear(edges_db).astype(np.float32)
    rises = np.diff(edges)
    ramp = np.arange(clock.hop, dtype=np.float32) / np.float32(clock.hop)
    blocks = samples.reshape(len(samples), -1, clock.hop)  # a view
    for begin in range(0, len(rises), _CHUNK_BLOCKS):
        chunk = slice(begin, begin + _CHUNK_BLOCKS)
        curve = rises[chunk, None] * ramp
        curve += edges[:-1][chunk, None]
        blocks[:, chunk] *= curve


def decibels(powers: Curve) -> Curve:
    """Return powers in dB, at least −140."""
    return np.asarray(10 * np.log10(np.maximum(powers, 10 ** (_FLOOR_DB / 10))))


def linear(gain_db: npt.ArrayLike) -> Curve:
    """Return the factor of amplitudes."""
    return np.asarray(10 ** (np.asarray(gain_db, np.float64) / 20))


def _falling(curve: Curve, per_second: float, clock: Clock) -> Curve:
    """Return the lowest curve that is nowhere lower and falls no faster than that."""
    tilt = np.arange(len(curve)) * (per_second / clock.rate)
    return np.asarray(np.maximum.accumulate(curve + tilt) - tilt)


def _smooth(curve: Curve, time_s: float, clock: Clock) -> Curve:
    keep = clock.smoothing(time_s)
    return np.asarray(lfilter([1 - keep], [1, -keep], curve))
