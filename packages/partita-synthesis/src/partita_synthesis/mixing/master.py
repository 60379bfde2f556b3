"""The master: one gain curve for all stems, so that they still add up to the mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partita_synthesis.mixing import gains
from partita_synthesis.mixing.gains import Clock, Compressor, Curve
from partita_synthesis.mixing.loudness import gained, integrated_lufs, step_powers

Samples = npt.NDArray[np.float32]

#: No sample of a mixture or a stem is larger.
PEAK = 0.99
_CEILINGS = (0.86, 0.985)
_MOST_REDUCTION_DB = 8.0
_ROUNDS, _CLOSE_LU = 5, 0.1


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


def draw_mastering(chance: np.random.Generator) -> Mastering:
    """Draw the settings of a bus compressor and a limiter."""
    ceiling, ratio, threshold_db = chance.uniform((_CEILINGS[0], 1.2, -4), (_CEILINGS[1], 2.2, 3))
    attack_s, release_s = chance.uniform((0.005, 0.08), (0.03, 0.4))
    is_compressed = chance.random() < 0.7
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
    steps = step_powers(mixture, clock.sample_rate)
    bus = np.zeros(len(powers))
    if settings.compressor:
        bus = gains.compress(powers, settings.compressor, clock)
    edges, limiter = _gain_to(target_lufs, peaks, powers, steps, bus, settings, clock)
    for stem in stems:
        gains.apply_gain(stem, edges, clock)
    return {
        "compressor_reduction_db": round(abs(float(bus.min())), 1),
        "limiter_reduction_db": round(abs(float(limiter.min())), 1),
    }


def measured_lufs(mixture: Samples, sample_rate: int) -> float | None:
    """Return the integrated loudness for the notes; None of silence."""
    if not mixture.any():
        return None
    loudness = integrated_lufs(step_powers(mixture, sample_rate))
    return round(loudness, 2) if math.isfinite(loudness) else None


def _gain_to(
    target_lufs: float,
    peaks: Curve,
    powers: Curve,
    steps: Curve,
    bus: Curve,
    settings: Mastering,
    clock: Clock,
) -> tuple[Curve, Curve]:
    """Return the whole gain in dB and the limiter's share ``[blocks + 1]``."""
    bus_edges = gains.edges_of(bus)
    peaks = peaks * gains.linear(np.maximum(bus_edges[:-1], bus_edges[1:]))
    room_db = 20 * math.log10(settings.ceiling / peaks.max())
    highest_db = room_db + (_MOST_REDUCTION_DB if settings.has_limiter else 0)
    gain_db = 0.0
    limiter = np.zeros(len(peaks) + 1)
    loudness = integrated_lufs(gained(steps, powers, bus, clock))
    for _ in range(_ROUNDS):
        missing = target_lufs - loudness if math.isfinite(loudness) else 0.0
        gain_db = min(gain_db + missing, highest_db)
        if settings.has_limiter:
            limiter = gains.limit(peaks * gains.linear(gain_db), settings.ceiling, clock)
        curve = bus + gain_db + _of_blocks(limiter)
        loudness = integrated_lufs(gained(steps, powers, curve, clock))
        if gain_db == highest_db or abs(target_lufs - loudness) < _CLOSE_LU:
            break
    return bus_edges + gain_db + limiter, limiter


def _of_blocks(edges_db: Curve) -> Curve:
    return (edges_db[:-1] + edges_db[1:]) / 2


def fit(stems: Sequence[Samples]) -> Samples:
    """Scale stems, in place and all alike, where a peak would be too high; return their sum."""
    mixture = add_up(stems)
    peak = max(float(max(each.max(initial=0), -each.min(initial=0))) for each in (mixture, *stems))
    if peak <= PEAK:
        return mixture
    for stem in stems:
        np.multiply(stem, np.float32(0.999 * PEAK / peak), out=stem)
    return add_up(stems)
