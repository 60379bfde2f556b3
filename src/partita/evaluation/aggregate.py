"""Medians over windows and tracks, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from partita.datasets.tracks import order_stems
from partita.evaluation.scores import TrackScores, median
from partita.html import figure, html_table
from partita.stem_names import normal_name

_RESAMPLES = 2000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Scores of a system for one target.

    Attributes
    ----------
    target : str
    medians : mapping of str to float
        For each metric the median over windows, then over tracks, in dB; NaN where no track has
        one.
    intervals : mapping of str to pair of float
        95 % confidence interval of each.
    tracks : int
        How many tracks have an SDR.
    unscored : int
        How many have none, since the reference or the estimate is silent.
    scored_with : tuple of str
        The targets that were scored together; empty where unknown or not the same in all tracks.
    """

    target: str
    medians: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    tracks: int
    unscored: int
    scored_with: tuple[str, ...]

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        rows = []
        for metric, value in self.medians.items():
            low, high = self.intervals.get(metric, (math.nan, math.nan))
            interval = "" if math.isnan(low) else f"{figure(low)} … {figure(high)}"
            rows.append([metric, figure(value), interval])
        unscored = f", {self.unscored} without a score" if self.unscored else ""
        caption = f"{self.target}: median of {self.tracks} tracks{unscored}"
        return html_table(["in dB", "median", "95 % interval"], rows, caption=caption)


def summarise(tracks: Iterable[TrackScores], *, seed: int = 0) -> dict[str, Summary]:
    """Aggregate the scores of a system.

    Parameters
    ----------
    tracks : iterable of TrackScores
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict of str to Summary
        By target, in the order in which they first appear.

    Notes
    -----
    The confidence interval is the percentile bootstrap over tracks (Efron & Tibshirani, "An
    introduction to the bootstrap", 1993, chapter 13), 2000 resamples: it says how far the figure
    would move with other songs of the same kind, not how well windows within a song agree.
    """
    values: dict[str, dict[str, list[float]]] = {}
    sets: dict[str, set[tuple[str, ...]]] = {}
    for scores in tracks:
        for target, figures in scores.medians().items():
            for metric, value in figures.items():
                values.setdefault(target, {}).setdefault(metric, []).append(value)
            together = tuple(order_stems(scores.targets[target].scored_with))
            sets.setdefault(target, set()).add(together)
    return {
        target: Summary(
            target=target,
            medians={metric: median(found) for metric, found in metrics.items()},
            intervals={
                metric: bootstrap_interval(found, seed=seed) for metric, found in metrics.items()
            },
            tracks=sum(not math.isnan(value) for value in metrics["SDR"]),
            unscored=sum(math.isnan(value) for value in metrics["SDR"]),
            scored_with=next(iter(sets[target])) if len(sets[target]) == 1 else (),
        )
        for target, metrics in values.items()
    }


def _finite(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Leave out NaN and infinities, which museval's files cannot hold."""
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]


def bootstrap_interval(
    values: Sequence[float], *, seed: int = 0, statistic: Literal["median", "mean"] = "median"
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a median or mean.

    Parameters
    ----------
    values : sequence of float
        One for each track; NaN and infinities are left out.
    seed : int
    statistic : {"median", "mean"}

    Returns
    -------
    tuple of float
        Low and high; NaN of fewer than two values.
    """
    finite = _finite(values)
    if finite.size < 2:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    resampled = finite[generator.integers(finite.size, size=(_RESAMPLES, finite.size))]
    tails = [50 * (1 - _CONFIDENCE), 50 * (1 + _CONFIDENCE)]
    low, high = np.percentile(getattr(np, statistic)(resampled, axis=1), tails)
    return float(low), float(high)


def track_values(
    systems: Mapping[str, Iterable[TrackScores]], metric: str = "SDR"
) -> dict[str, dict[str, dict[str, float]]]:
    """Return target → system → track → median over windows, or figure of the whole track.

    Parameters
    ----------
    systems : mapping of str to iterable of TrackScores
    metric : str

    Returns
    -------
    dict
        Vocals, drums, bass and other first; NaN where a track has no such figure. Names of tracks
        are in Unicode's composed form.
    """
    values: dict[str, dict[str, dict[str, float]]] = {}
    for system, tracks in systems.items():
        for scores in tracks:
            for target, figures in scores.medians().items():
                of_system = values.setdefault(target, {}).setdefault(system, {})
                of_system[normal_name(scores.track)] = figures.get(metric, math.nan)
    return {target: values[target] for target in order_stems(values)}
