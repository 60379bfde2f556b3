"""SDR of what listeners heard, and how it goes with their ratings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from partita.comparison.listening.ratings import Rating
from partita.comparison.results import Comparison
from partita.evaluation.scores import TrackScores, mean, median
from partita.reports.listening import Trial

_FEWEST = 3  # points of a correlation
_LITTLE = 1e-6  # s
Point = TypeVar("Point", bound=Hashable)


class Sdr(NamedTuple):
    """Medians over windows in dB; NaN where there is none.

    Attributes
    ----------
    heard : float
        Over the windows that lie in the excerpt.
    song : float
        Over all windows.
    """

    heard: float
    song: float


def sdr_of(comparison: Comparison, trial: Trial, entrant: str) -> Sdr:
    """Return the SDR of what an entrant contributed to a trial."""
    for result in comparison.results:
        scores = result.scores.get(trial.song)
        if result.entrant.name == entrant and scores and trial.stem in scores.targets:
            frames = scores.targets[trial.stem].frames
            return Sdr(
                median([frames[index]["SDR"] for index in _windows(scores, trial, len(frames))]),
                median([frame["SDR"] for frame in frames]),
            )
    return Sdr(math.nan, math.nan)


def _windows(scores: TrackScores, trial: Trial, count: int) -> list[int]:
    end_s = trial.start_s + trial.duration_s
    starts = ((index, index * scores.hop_s) for index in range(count))
    return [
        index
        for index, start_s in starts
        if start_s >= trial.start_s - _LITTLE and start_s + scores.window_s <= end_s + _LITTLE
    ]


def mean_sdrs(comparison: Comparison, ratings: Iterable[Rating]) -> dict[str, Sdr]:
    """Return entrant → means over the rated excerpts."""
    places: dict[str, dict[tuple[str, str], Trial]] = {}
    for rating in ratings:
        if rating.item.kind == "entrant":
            place = (rating.trial.song, rating.trial.stem)
            places.setdefault(rating.item.entrant, {})[place] = rating.trial
    means = {}
    for entrant, trials in places.items():
        found = [sdr_of(comparison, trial, entrant) for trial in trials.values()]
        means[entrant] = Sdr(mean(each.heard for each in found), mean(each.song for each in found))
    return means


class Correlation(NamedTuple):
    """Between ratings and SDR.

    Attributes
    ----------
    what : str
        What the points are.
    points : int
    pearson, spearman : float
    interval : pair of float
        95 % interval of Pearson's r (Fisher); NaN of fewer than four points.
    """

    what: str
    points: int
    pearson: float
    interval: tuple[float, float]
    spearman: float


def correlations(comparison: Comparison, ratings: Sequence[Rating]) -> list[Correlation]:
    """Return correlations of mean ratings with SDR; none of fewer than three entrants."""
    of_entrants = _means(ratings, lambda rating: rating.item.entrant)
    if len(of_entrants) < _FEWEST:
        return []
    sdrs = mean_sdrs(comparison, ratings)
    excerpts = {
        (rating.item.entrant, rating.trial.song, rating.trial.stem): rating.trial
        for rating in ratings
    }
    of_excerpts = _means(
        ratings, lambda rating: (rating.item.entrant, rating.trial.song, rating.trial.stem)
    )
    found = [
        _correlate(
            "entrants, SDR heard",
            [(rating, sdrs[entrant].heard) for entrant, rating in of_entrants.items()],
        ),
        _correlate(
            "entrants, SDR of songs",
            [(rating, sdrs[entrant].song) for entrant, rating in of_entrants.items()],
        ),
        _correlate(
            "single excerpts, SDR heard",
            [
                (rating, sdr_of(comparison, excerpts[place], place[0]).heard)
                for place, rating in of_excerpts.items()
            ],
        ),
    ]
    return [each for each in found if each is not None]


def _means(ratings: Iterable[Rating], name: Callable[[Rating], Point]) -> dict[Point, float]:
    values: dict[Point, list[float]] = {}
    for rating in ratings:
        if rating.item.kind == "entrant":
            values.setdefault(name(rating), []).append(rating.value)
    return {key: statistics.fmean(found) for key, found in values.items()}


def _correlate(what: str, points: Sequence[tuple[float, float]]) -> Correlation | None:
    from scipy import stats

    finite = [point for point in points if all(map(math.isfinite, point))]
    if len(finite) < _FEWEST:
        return None
    ratings, sdrs = zip(*finite, strict=True)
    if len(set(ratings)) < 2 or len(set(sdrs)) < 2:
        return None
    pearson, spearman = stats.pearsonr(ratings, sdrs), stats.spearmanr(ratings, sdrs)
    interval = math.nan, math.nan
    if len(finite) > _FEWEST:
        bounds = pearson.confidence_interval(0.95)
        interval = float(bounds.low), float(bounds.high)
    return Correlation(
        what, len(finite), float(pearson.statistic), interval, float(spearman.statistic)
    )
