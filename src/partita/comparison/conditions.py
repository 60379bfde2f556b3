"""What the figures of a comparison hold for: data, tracks, metrics, targets, budgets, seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from partita.comparison.results import Comparison, EntrantResult
from partita.datasets.tracks import order_stems
from partita.evaluation.scores import TrackScores

_VARYING = "different in some tracks"


def conditions(comparison: Comparison) -> list[str]:
    """Return what every table of a comparison has to say, a sentence each.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    list of str
        Data and tracks; metric convention; targets scored together; budget and seeds of trainings;
        settings of separations. What does not apply is left out.
    """
    lines = [
        _data(comparison),
        _metrics(comparison),
        _together(comparison.systems),
        _trainings(comparison),
        _separations(comparison.results),
    ]
    return [line for line in lines if line]


def caption(what: str, comparison: Comparison) -> str:
    """Return a caption: what is shown, and the `conditions`."""
    return " ".join([what, *conditions(comparison)])


def _data(comparison: Comparison) -> str:
    subset = f" ({comparison.subset})" if comparison.subset else ""
    count = len(comparison.tracks)
    tracks = "1 track" if count == 1 else f"{count} tracks"
    drawn = f", drawn with seed {comparison.seed}" if comparison.is_drawn else ""
    return f"Data: {comparison.data.name}{subset}, {tracks}{_lengths(comparison)}{drawn}."


def _lengths(comparison: Comparison) -> str:
    """Return how long the scored tracks or excerpts are, by their scores."""
    found: dict[str, float] = {}
    for tracks in comparison.systems.values():
        for scores in tracks:
            samples, rate = (scores.settings.get(key) for key in ("samples", "sample_rate"))
            if samples and rate:
                found.setdefault(scores.track, samples / rate)
    if not found:
        return ""
    lengths = sorted(found.values())
    each = statistics.median(lengths)
    if len(lengths) > 1 and lengths[-1] - lengths[0] > 0.01 * each:
        text = f"{_duration(lengths[0])} to {_duration(lengths[-1])}"
    else:
        text = _duration(each)
    return f" of {text}" if comparison.seconds is None else f", {text} from the middle of each"


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _metrics(comparison: Comparison) -> str:
    options = comparison.options
    windows = (
        "one window for each track, median over tracks"
        if math.isinf(options.window_s)
        else f"windows of {options.window_s:g} s every {options.hop_s:g} s, median over windows, "
        "then over tracks"
    )
    figures = f"SDR, ISR, SIR, SAR: BSS Eval {options.version}, {windows}"
    if len(comparison.tracks) == 1:
        return f"{figures}; one track: no intervals, no tests."
    return f"{figures}; intervals: 95 % bootstrap over tracks, seed {comparison.seed}."


def _together(systems: Mapping[str, Sequence[TrackScores]]) -> str:
    """Say which targets were scored together, and by whom where that differs."""
    sets: dict[str, list[str]] = {}
    for system, tracks in systems.items():
        found = {
            ", ".join(order_stems(target.scored_with))
            for scores in tracks
            for target in scores.targets.values()
        }
        sets.setdefault(found.pop() if len(found) == 1 else _VARYING, []).append(system)
    if len(sets) < 2:
        return "".join(f"Scored together: {together}." for together in sets)
    listed = (f"{together} ({', '.join(who)})" for together, who in sets.items())
    return f"Scored together: {'; '.join(listed)}."


def _trainings(comparison: Comparison) -> str:
    """Say budget and seed of the trainings; `tables.trainings_table` has all of their settings."""
    names: dict[str, list[str]] = {}
    for result in comparison.results:
        if result.entrant.training is not None:
            names.setdefault(_budget(result), []).append(result.entrant.name)
    if not names:
        return ""
    count = len(comparison.trained_on)
    tracks = f" on {count} other track{'s' * (count != 1)}" if count else ""
    listed = (f"{', '.join(who)} ({budget})" for budget, who in names.items())
    return f"Trained here{tracks}: {'; '.join(listed)}."


def _budget(result: EntrantResult) -> str:
    plan = result.entrant.training
    assert plan is not None
    facts = [f"seed {plan.seed or 0}"]
    if result.losses:
        facts.insert(0, f"{result.losses[-1]['step']:g} steps")
    return ", ".join(facts)


def _separations(results: Sequence[EntrantResult]) -> str:
    texts = [
        f"{result.entrant.name} ({_settings(result.entrant.settings)})"
        for result in results
        if result.entrant.settings
    ]
    return f"Separated with settings: {'; '.join(texts)}." if texts else ""


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
