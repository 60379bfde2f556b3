"""Ratings of MUSHRA tests: who is left out, means and intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from partita.comparison.listening.answers import Answers
from partita.evaluation.aggregate import bootstrap_interval
from partita.reports.listening import Item, Trial

#: Post-screening of BS.1534-3: who rates the hidden reference below 90 …
_REFERENCE_LEAST = 90.0
#: … in more than 15 % of the trials is left out.
_MOST_MISSED = 0.15
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rating:
    """One rating, 0 to 100."""

    listener: str
    trial: Trial
    item: Item
    value: float


@dataclass(frozen=True)
class Screened:
    """A listener after post-screening.

    Attributes
    ----------
    listener : str
    trials : int
    missed : int
        Trials in which the hidden reference is below 90.
    """

    listener: str
    trials: int
    missed: int

    @property
    def kept(self) -> bool:
        """Whether the ratings count."""
        return self.missed <= _MOST_MISSED * self.trials


@dataclass(frozen=True)
class Heard:
    """How listeners rate a system.

    Attributes
    ----------
    item : Item
        An item of it; its kind, and the entrant's name.
    listeners : sequence of str
    means : sequence of float
        Of each listener over trials.
    ratings : int
        How many there are.
    mean : float
        Of the listeners' means.
    t_interval, bootstrap : pair of float
        95 % intervals of the mean over listeners; NaN of fewer than two.
    quartiles : tuple of float
        First quartile, median and third quartile of the ratings.
    """

    item: Item
    listeners: Sequence[str]
    means: Sequence[float]
    ratings: int
    mean: float
    t_interval: tuple[float, float]
    bootstrap: tuple[float, float]
    quartiles: tuple[float, float, float]


def ratings_of(answers: Iterable[Answers]) -> list[Rating]:
    """Return all ratings of MUSHRA tests, with what was rated."""
    found = []
    for each in answers:
        trials = {trial.id: trial for trial in each.key.trials}
        for name, said in each.ratings.items():
            found += [
                Rating(each.listener, trials[name], item, said[item.id])
                for item in trials[name].items
            ]
    return found


def post_screen(ratings: Sequence[Rating]) -> list[Screened]:
    """Apply the rule for hidden references of BS.1534-3, clause 4.1.2, to each listener.

    The second rule, for mid-range anchors, has nothing to apply to: the tests have none.
    """
    given: dict[str, list[float]] = {}
    for rating in ratings:
        if rating.item.kind == "reference":
            given.setdefault(rating.listener, []).append(rating.value)
    return [
        Screened(listener, len(values), sum(value < _REFERENCE_LEAST for value in values))
        for listener, values in given.items()
    ]


def rate_systems(ratings: Iterable[Rating], *, seed: int = 0) -> list[Heard]:
    """Return how each entrant, the hidden reference and the anchors are rated.

    Parameters
    ----------
    ratings : iterable of Rating
    seed : int
        Of the bootstrap.

    Notes
    -----
    Ratings of one listener are not independent. So each listener counts once, with the mean over
    trials, and intervals are over listeners: Student's t, and the percentile bootstrap, which does
    not suppose a normal distribution. They say how far the mean would move with other listeners of
    the same kind, not with other songs.
    """
    of_system: dict[tuple[str, str], list[Rating]] = {}
    for rating in ratings:
        of_system.setdefault((rating.item.kind, rating.item.entrant), []).append(rating)
    return [_heard(found, seed) for found in of_system.values()]


def _heard(ratings: Sequence[Rating], seed: int) -> Heard:
    means = listener_means(ratings)
    values = [rating.value for rating in ratings]
    first, middle, third = (float(q) for q in np.percentile(values, [25, 50, 75]))
    return Heard(
        item=ratings[0].item,
        listeners=list(means),
        means=list(means.values()),
        ratings=len(values),
        mean=statistics.fmean(means.values()),
        t_interval=t_interval(list(means.values())),
        bootstrap=bootstrap_interval(list(means.values()), seed=seed, statistic="mean"),
        quartiles=(first, middle, third),
    )


def listener_means(ratings: Iterable[Rating]) -> dict[str, float]:
    """Return listener → mean of the ratings."""
    given: dict[str, list[float]] = {}
    for rating in ratings:
        given.setdefault(rating.listener, []).append(rating.value)
    return {listener: statistics.fmean(values) for listener, values in given.items()}


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean by Student's t; NaN of fewer than two values."""
    from scipy import stats

    if len(values) < 2:
        return math.nan, math.nan
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)) * error
    return mean - half, mean + half


def difference(first: Heard, second: Heard) -> tuple[float, tuple[float, float], int]:
    """Return how much higher the first is rated, by listeners of both: mean, interval, number."""
    other = dict(zip(second.listeners, second.means, strict=True))
    pairs = zip(first.listeners, first.means, strict=True)
    found = [mean - other[listener] for listener, mean in pairs if listener in other]
    return (statistics.fmean(found) if found else math.nan), t_interval(found), len(found)
