"""The master: one gain curve for all stems, so that they still add up to the mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyloudnorm

from partita_synthesis.mixing import gains
from partita_synthesis.mixing.gains import Clock, Compressor, Curve

Samples = npt.NDArray[np.float32]

#: No sample of a mixture or a stem is larger.
PEAK = 0.99
_CEILINGS = (0.86, 0.985)
_MOST_REDUCTION_DB = 8.0
_ROUNDS = 5
_LUFS_BLOCK_S = 0.4  # of BS.1770


@dataclass(frozen=True)
class Mastering:
    """Settings.

    Attributes
    ----------
    ceiling : float
        No sample of the mixture or of a stem is larger.
    compressor : Compressor or None
        On the sum.
    has_limiter : bool
        Otherwise the loudness is what the peaks leave room for.
    """

    ceiling: float
    compressor: Compressor | None
    has_limiter: bool


#: A constant gain, nothing else.
PLAIN = Mastering(_CEILINGS[1], None, has_limiter=False)


def draw_mastering(rng: np.random.Generator) -> Mastering:
    """Draw the settings of a bus compressor and a limiter."""
    ceiling, ratio, threshold_db = rng.uniform((_CEILINGS[0], 1.2, -4), (_CEILINGS[1], 2.2, 3))
    attack_s, release_s = rng.uniform((0.005, 0.08), (0.03, 0.4))
    is_compressed = rng.random() < 0.7
    compressor = Compressor(float(threshold_db), float(ratio), float(attack_s), float(release_s))
    return Mastering(float(ceiling), compressor if is_compressed else None, has_limiter=True)


def add_up(stems: Sequence[Samples]) -> Samples:
    """Return the sum in float32, the first stem first."""
    total = stems[0].copy()
    for stem in stems[1:]:
        total += stem
    return total


def master(
    stems: Sequence[Samples], target_lufs: float, settings: Mastering, clock: Clock
) -> dict[str, Any]:
    """Bring stems, in place, to a loudness of their sum.

    Parameters
    ----------
    stems : sequence of ndarray ``[channels, samples]``
        In whole blocks.
    target_lufs : float
        Lower where the limiter would have to take more than 8 dB off the peaks.
    settings : Mastering
    clock : Clock

    Returns
    -------
    dict
        What was done.
    """
    mixture = add_up(stems)
    peaks = np.maximum.reduce([gains.block_peaks(each, clock) for each in (mixture, *stems)])
    if not peaks.any():
        return {}
    powers = gains.block_powers(mixture, clock)
    bus = np.zeros(len(powers))
    if settings.compressor:
        bus = gains.compress(powers, settings.compressor, clock)
    loudness = measured_lufs(mixture, clock.sample_rate)
    missing_db = 0.0 if loudness is None else target_lufs - loudness
    edges, limiter = _gains(missing_db, peaks, powers, bus, settings, clock)
    for stem in stems:
        gains.apply_gain(stem, edges, clock)
    return {
        "compressor_reduction_db": round(abs(float(bus.min())), 1),
        "limiter_reduction_db": round(abs(float(limiter.min())), 1),
    }


def measured_lufs(mixture: Samples, sample_rate: int) -> float | None:
    """Return the integrated loudness by BS.1770; None of silence.

    What is shorter than one block of 0.4 s is one block.
    """
    if not mixture.any():
        return None
    block_s = min(_LUFS_BLOCK_S, mixture.shape[1] / sample_rate)
    meter = pyloudnorm.Meter(sample_rate, block_size=block_s)
    loudness = float(meter.integrated_loudness(mixture.T))
    return round(loudness, 2) if math.isfinite(loudness) else None


def _gains(
    missing_db: float,
    peaks: Curve,
    powers: Curve,
    bus: Curve,
    settings: Mastering,
    clock: Clock,
) -> tuple[Curve, Curve]:
    """Return the whole gain and the limiter's part in dB ``[blocks + 1]``.

    What compressor and limiter take from the loudness is taken for what they take from the power.
    """
    bus_edges = gains.edges_of(bus)
    peaks = peaks * gains.linear(np.maximum(bus_edges[:-1], bus_edges[1:]))
    room_db = 20 * math.log10(settings.ceiling / peaks.max())
    highest_db = room_db + (_MOST_REDUCTION_DB if settings.has_limiter else 0)
    limiter = np.zeros(len(peaks) + 1)
    gain_db = 0.0
    for _ in range(_ROUNDS if settings.has_limiter else 1):
        reduction = bus + (limiter[:-1] + limiter[1:]) / 2
        left = float(powers @ 10 ** (reduction / 10) / powers.sum())
        gain_db = min(missing_db - 10 * math.log10(left), highest_db)
        if settings.has_limiter:
            limiter = gains.limit(peaks * gains.linear(gain_db), settings.ceiling, clock)
    return bus_edges + gain_db + limiter, limiter


def fit(stems: Sequence[Samples]) -> Samples:
    """Scale stems, in place and all alike, where a peak would be too high; return their sum."""
    mixture = add_up(stems)
    peak = max(float(max(each.max(initial=0), -each.min(initial=0))) for each in (mixture, *stems))
    if peak <= PEAK:
        return mixture
    for stem in stems:
        np.multiply(stem, np.float32(0.999 * PEAK / peak), out=stem)
    return add_up(stems)
