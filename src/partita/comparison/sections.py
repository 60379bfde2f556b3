"""Sections of the report of any comparison: tables, plots, tests, failures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from partita.comparison.conditions import caption
from partita.comparison.results import Comparison, EntrantResult
from partita.comparison.tables import (
    competitors,
    costs_table,
    failures_table,
    metrics_table,
    paired_table,
    summary_table,
    track_tables,
    trainings_table,
)
from partita.evaluation.aggregate import track_values
from partita.evaluation.paired import PairedDifference, paired_differences
from partita.evaluation.scores import median
from partita.reports.content import Block, BoxPlot, LineChart, PairedPlot, Section, Text

_MOST_PAIRS = 6  # in a plot: those of four systems
_FAR = 5.0  # highest loss by lowest, from where the axis is logarithmic
_PARTS = {"train": "training", "valid": "validation"}


def standard_sections(comparison: Comparison) -> list[Section]:
    """Return what the report of every comparison shows.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    list of Section
        Summary, paired differences, distributions, all metrics, costs, tracks, trainings with
        their losses, failures; those that have nothing to show are left out. Figures are those that
        `partita.evaluation` aggregates, so those of a benchmark of the same stems.

    Raises
    ------
    UsageError
        SciPy is not installed.
    """
    failures = failures_table(comparison)
    found: list[tuple[str, Sequence[Block]]] = [("Summary", _summary(comparison))]
    if comparison.systems:
        found += [
            ("Paired differences", _paired(comparison)),
            ("Distributions", [_boxes(comparison)] if len(comparison.tracks) > 1 else []),
            ("All metrics", [metrics_table(comparison)]),
        ]
    found.append(("Costs", [costs_table(comparison)]))
    if comparison.systems:
        found.append(("Tracks", track_tables(comparison)))
    trainings = trainings_table(comparison)
    found += [
        ("Trainings", [*([trainings] if trainings else []), *_losses(comparison)]),
        ("Failures", [failures] if failures else []),
    ]
    return [Section(title, blocks) for title, blocks in found if blocks]


def _summary(comparison: Comparison) -> list[Block]:
    if not comparison.systems:
        return [Text("No entrant has scores: see the failures."), summary_table(comparison)]
    return [summary_table(comparison)]


def _paired(comparison: Comparison) -> list[Block]:
    ranked = [name for name in competitors(comparison) if name in comparison.systems]
    systems = {name: comparison.systems[name] for name in ranked}
    differences = paired_differences(systems, seed=comparison.seed)
    if not differences:
        return []
    blocks: list[Block] = [paired_table(comparison, differences)]
    if len(comparison.tracks) > 1:
        blocks.append(_paired_plot(comparison, differences, ranked))
    return blocks


def _paired_plot(
    comparison: Comparison, differences: Sequence[PairedDifference], systems: Sequence[str]
) -> PairedPlot:
    """Plot all pairs, or those with the best system where they are many."""
    pairs, shown = list(itertools.combinations(systems, 2)), "all pairs"
    if len(pairs) > _MOST_PAIRS:
        best = _best_system(comparison, systems)
        pairs = [pair for pair in pairs if best in pair]
        shown = f"pairs with {best}, whose median over all targets and tracks is the highest"
    points: dict[str, dict[str, Mapping[str, float]]] = {}
    intervals: dict[str, dict[str, tuple[float, float, float]]] = {}
    for each in differences:
        if (each.first, each.second) not in pairs or not each.differences:
            continue
        name = f"{each.first} − {each.second}"
        points.setdefault(name, {})[each.target] = each.differences
        if not math.isnan(each.median_interval[0]):
            interval = (each.median, *each.median_interval)
            intervals.setdefault(name, {})[each.target] = interval
    what = f"Differences of the SDR, a point for each track, with median and interval: {shown}."
    return PairedPlot(
        "paired-sdr", caption(what, comparison), "difference in dB", points, intervals
    )


def _best_system(comparison: Comparison, systems: Sequence[str]) -> str:
    """Return the system with the highest median over all its targets and tracks."""
    values: dict[str, list[float]] = {system: [] for system in systems}
    for of_target in track_values(comparison.systems).values():
        for system in systems:
            values[system] += of_target.get(system, {}).values()
    return max(systems, key=lambda system: _key(values[system]))


def _key(values: Sequence[float]) -> float:
    figure = median(values)
    return -math.inf if math.isnan(figure) else figure


def _boxes(comparison: Comparison) -> BoxPlot:
    groups = {
        target: {
            system: {track: value for track, value in values.items() if math.isfinite(value)}
            for system, values in systems.items()
        }
        for target, systems in track_values(comparison.systems).items()
    }
    what = "Distribution of the tracks' SDR, a point for each track."
    return BoxPlot("sdr", caption(what, comparison), "SDR in dB", groups)


def _losses(comparison: Comparison) -> list[LineChart]:
    return [_loss_chart(comparison, result) for result in comparison.results if result.losses]


def _loss_chart(comparison: Comparison, result: EntrantResult) -> LineChart:
    """Draw the losses of all sources together, epoch by epoch."""
    curves = {
        name: [(row["epoch"], row[part]) for row in result.losses if part in row]
        for part, name in _PARTS.items()
    }
    values = [value for curve in curves.values() for _, value in curve]
    name = result.entrant.name
    return LineChart(
        name=f"losses-{name}",
        caption=caption(f"Losses of the training of {name}.", comparison),
        x_label="epoch",
        y_label="loss",
        curves={name: curve for name, curve in curves.items() if curve},
        log_y=min(values, default=0.0) > 0 and max(values) >= _FAR * min(values),
    )
