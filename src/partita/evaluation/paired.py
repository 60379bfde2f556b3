"""Whether one system is better than another on the same tracks: paired differences and tests."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from partita.errors import UnknownNameError, UsageError
from partita.evaluation.aggregate import bootstrap_interval, track_values
from partita.evaluation.scores import DECIMALS, TrackScores
from partita.stem_names import normal_name

_FEWEST_FOR_5_PERCENT = 6  # tracks: the test of five has at least p = 2 / 2^5 = 0.0625


@dataclass(frozen=True)
class PairedDifference:
    """How much better one system is than another in one target.

    Attributes
    ----------
    first, second : str
        Systems; differences are the first's figure minus the second's.
    target, metric : str
    differences : mapping of str to float
        Track → difference of the medians over windows in dB, of tracks where both have one.
    median, mean : float
        Over tracks, in dB; NaN of no tracks.
    median_interval, mean_interval : pair of float
        95 % bootstrap intervals over tracks; NaN of fewer than two.
    p : float
        Of the two-sided Wilcoxon signed-rank test; NaN of fewer than two tracks.
    adjusted_p : float
        The same with Holm's correction for all tests of the comparison.
    left_out : int
        Tracks that both have, where one has no figure.
    unlike : int
        Tracks where the two were scored in different sets of targets, so that the difference is
        not that of the systems alone.
    """

    first: str
    second: str
    target: str
    metric: str
    differences: Mapping[str, float]
    median: float
    mean: float
    median_interval: tuple[float, float]
    mean_interval: tuple[float, float]
    p: float
    adjusted_p: float
    left_out: int = 0
    unlike: int = 0

    @property
    def remark(self) -> str:
        """What the number of tracks does not allow; empty where it allows all."""
        tracks = len(self.differences)
        if tracks == 0:
            return "no track has figures of both: no difference"
        if tracks == 1:
            return "one track: no interval, no test"
        if tracks < _FEWEST_FOR_5_PERCENT:
            return f"{tracks} tracks: p is at least {least_p(tracks):.4g}, never below 0.05"
        return ""


def least_p(tracks: int, tests: int = 1) -> float:
    """Return the smallest p that the Wilcoxon signed-rank test can give.

    Parameters
    ----------
    tracks : int
    tests : int
        How many tests Holm's correction is for.
    """
    return float(min(1.0, tests * 2.0 ** (1 - tracks)))


def paired_differences(
    systems: Mapping[str, Iterable[TrackScores]],
    *,
    metric: str = "SDR",
    pairs: Sequence[tuple[str, str]] | None = None,
    seed: int = 0,
) -> list[PairedDifference]:
    """Compare systems in pairs, on the tracks that both have.

    Parameters
    ----------
    systems : mapping of str to iterable of TrackScores
    metric : str
        Any of the figures of `TrackScores.medians`.
    pairs : sequence of pair of str, optional
        Of systems; by default all, in the order of the systems.
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of PairedDifference
        Target by target; pairs that share no target have none.

    Raises
    ------
    UnknownNameError
        A pair names no system.
    UsageError
        SciPy is not installed.

    Notes
    -----
    Differences are those of the medians over windows, rounded to the five decimals of figures, so
    that equal ones are equal. The test is the two-sided Wilcoxon signed-rank test as
    `scipy.stats.wilcoxon` does it (Wilcoxon, "Individual comparisons by ranking methods",
    Biometrics Bulletin 1945): differences of zero are left out, p is exact for up to 50 tracks, or
    13 if differences are equal or zero, and a normal approximation beyond. Intervals are those of
    `bootstrap_interval`. `adjusted_p` is corrected for all tests that are returned (Holm, "A simple
    sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979).
    """
    tracks = {system: list(found) for system, found in systems.items()}
    if pairs is None:
        pairs = list(itertools.combinations(tracks, 2))
    for name in itertools.chain.from_iterable(pairs):
        if name not in tracks:
            raise UnknownNameError("system", name, list(tracks))
    sets = _sets(tracks)
    found = [
        _compare(first, second, target, metric, values, sets[target], seed)
        for target, values in track_values(tracks, metric).items()
        for first, second in pairs
        if first in values and second in values
    ]
    adjusted = holm([each.p for each in found])
    return [replace(each, adjusted_p=p) for each, p in zip(found, adjusted, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values with Holm's correction for their number.

    Parameters
    ----------
    p_values : sequence of float
        NaN stands for a test that was not made, and stays.
    """
    made = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    made.sort(key=lambda index: p_values[index])
    adjusted, highest = list(p_values), 0.0
    for rank, index in enumerate(made):
        highest = max(highest, min(1.0, (len(made) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def wilcoxon_p(differences: Sequence[float]) -> float:
    """Return p of the two-sided Wilcoxon signed-rank test; see `paired_differences`.

    Parameters
    ----------
    differences : sequence of float
        Finite.

    Returns
    -------
    float
        NaN of fewer than two differences; 1 if all are zero.

    Raises
    ------
    UsageError
        SciPy is not installed.
    """
    if len(differences) < 2:
        return math.nan
    if not any(differences):
        return 1.0
    try:
        from scipy.stats import wilcoxon
    except ImportError as error:
        raise UsageError('tests need SciPy: pip install "partita[compare]"') from error
    return float(wilcoxon(differences, zero_method="wilcox", method="auto").pvalue)


def _sets(
    systems: Mapping[str, Sequence[TrackScores]],
) -> dict[str, dict[str, dict[str, frozenset[str]]]]:
    """Return target → system → track → the targets that were scored together."""
    sets: dict[str, dict[str, dict[str, frozenset[str]]]] = {}
    for system, tracks in systems.items():
        for scores in tracks:
            for name, target in scores.targets.items():
                of_system = sets.setdefault(name, {}).setdefault(system, {})
                of_system[normal_name(scores.track)] = frozenset(target.scored_with)
    return sets


def _compare(
    first: str,
    second: str,
    target: str,
    metric: str,
    values: Mapping[str, Mapping[str, float]],
    sets: Mapping[str, Mapping[str, frozenset[str]]],
    seed: int,
) -> PairedDifference:
    ours, theirs = values[first], values[second]
    both = [track for track in ours if track in theirs]
    differences = {track: round(ours[track] - theirs[track], DECIMALS) for track in both}
    finite = {track: value for track, value in differences.items() if math.isfinite(value)}
    found = list(finite.values())
    p = wilcoxon_p(found)
    return PairedDifference(
        first=first,
        second=second,
        target=target,
        metric=metric,
        differences=finite,
        median=statistics.median(found) if found else math.nan,
        mean=statistics.fmean(found) if found else math.nan,
        median_interval=bootstrap_interval(found, seed=seed),
        mean_interval=bootstrap_interval(found, seed=seed, statistic="mean"),
        p=p,
        adjusted_p=p,
        left_out=len(both) - len(finite),
        unlike=sum(sets[first][track] != sets[second][track] for track in finite),
    )
