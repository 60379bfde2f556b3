"""The tables of a comparison; their figures are those that `partita.evaluation` aggregates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from partita.comparison.conditions import caption
from partita.comparison.results import Comparison, Costs, EntrantResult
from partita.datasets.tracks import order_stems
from partita.evaluation.aggregate import Summary, summarise, track_values
from partita.evaluation.oracles import ORACLES
from partita.evaluation.paired import PairedDifference, least_p
from partita.evaluation.scores import METRICS, WHOLE_TRACK_METRICS
from partita.evaluation.tables import comparison_rows
from partita.reports.content import Cell, Column, Table

_SYSTEM = Column("system")
_TARGET = Column("target")
_TRACKS = Column("tracks", digits=0, meaning="Tracks with an SDR.")
_SPEED = Column(
    "speed", "× real time", 1, "Seconds of audio per second of computing, median over tracks."
)
_MEMORY = Column("memory", "MB", 0, "Most memory that the process had.")
_PARAMETERS = Column("parameters", "M", 3, "Millions of numbers that were learned.")
_LICENCE = Column("licence", meaning="Of the weights.")
_MEANINGS = {
    "SDR": "All errors (BSS Eval).",
    "ISR": "Spatial and filtering distortion (BSS Eval).",
    "SIR": "Interference of other sources (BSS Eval).",
    "SAR": "Artifacts (BSS Eval).",
    "uSDR": "All errors of the whole track (Music Demixing Challenge).",
    "SI-SDR": "All errors of the whole track but gain.",
    "SI-SAR": "Artifacts of the whole track.",
}
_LEVEL = 0.05
_USE = {True: "yes", False: "no", None: "unknown"}


def summary_table(comparison: Comparison) -> Table:
    """Return one row an entrant: median SDR of each target with its interval, mean, and costs."""
    summaries = {
        name: summarise(tracks, seed=comparison.seed) for name, tracks in comparison.systems.items()
    }
    targets = order_stems({target for found in summaries.values() for target in found})
    with_intervals = len(comparison.tracks) > 1
    columns = [_SYSTEM]
    for target in targets:
        columns.append(Column(target, "dB", meaning="Median SDR over windows, then over tracks."))
        if with_intervals:
            meaning = "95 % bootstrap interval over tracks."
            columns.append(Column(f"{target} 95 %", "dB", meaning=meaning))
    common = _common_targets(summaries)
    if len(common) > 1:
        columns.append(Column("mean", "dB", meaning=f"Of the medians of {', '.join(common)}."))
    columns += [_TRACKS, _PARAMETERS, _SPEED, _MEMORY, _LICENCE]
    rows = []
    for result in comparison.results:
        found = summaries.get(result.entrant.name, {})
        row: list[Cell] = [result.entrant.name]
        for target in targets:
            row.append(_figure(found.get(target)))
            row += [_interval(found.get(target))] if with_intervals else []
        row += [_mean_of_medians(found, common)] if len(common) > 1 else []
        row += [max((found[target].tracks for target in found), default=0)]
        rows.append([*row, *_costs(result.costs)])
    figures = {
        index: column
        for index, column in enumerate(columns)
        if column.unit == "dB" and column.name in (*targets, "mean")
    }
    ranked = competitors(comparison)
    return Table(
        name="summary",
        caption=caption("Median SDR in dB of each target.", comparison),
        columns=columns,
        rows=rows,
        best=_best(
            rows,
            [range(len(rows))],
            figures,
            [index for index, row in enumerate(rows) if row[0] in ranked],
        ),
        notes=[*_few_tracks(comparison, summaries), *_failed(comparison)],
    )


def metrics_table(comparison: Comparison) -> Table:
    """Return one row a target and system, best first: medians of all metrics."""
    found = comparison_rows(comparison.systems, seed=comparison.seed)
    everything = [row for rows in found.values() for row in rows]
    metrics = [
        metric
        for metric in (*METRICS, *WHOLE_TRACK_METRICS)
        if any(metric in row.summary.medians for row in everything)
    ]
    columns = [_TARGET, _SYSTEM]
    for metric in metrics:
        columns.append(Column(metric, "dB", meaning=_MEANINGS[metric]))
        if metric == "SDR":
            columns += [Column("SDR low", "dB"), Column("SDR high", "dB")]
    unscored = Column("unscored", digits=0, meaning="Tracks without an SDR: a signal is silent.")
    rows: list[list[Cell]] = []
    groups: list[range] = []
    for target, of_target in found.items():
        groups.append(range(len(rows), len(rows) + len(of_target)))
        for each in of_target:
            figures = [_value(each.summary.medians.get(metric, math.nan)) for metric in metrics]
            low, high = map(_value, each.summary.intervals["SDR"])
            counts = [each.summary.tracks, each.summary.unscored]
            rows.append([target, each.system, figures[0], low, high, *figures[1:], *counts])
    ranked = competitors(comparison)
    return Table(
        name="metrics",
        caption=caption(
            "All metrics, medians over tracks; uSDR, SI-SDR and SI-SAR are of whole tracks.",
            comparison,
        ),
        columns=[*columns, _TRACKS, unscored],
        rows=rows,
        best=_best(
            rows,
            groups,
            {index: column for index, column in enumerate(columns) if column.name in metrics},
            [index for index, row in enumerate(rows) if row[1] in ranked],
        ),
    )


def costs_table(comparison: Comparison) -> Table:
    """Return one row an entrant: size, speed, memory, licence, training, additivity."""
    rows: list[list[Cell]] = []
    for result in comparison.results:
        costs = result.costs
        training = None if costs.training_s is None else costs.training_s / 60
        depth = result.median_null_depth_db
        rows.append(
            [
                result.entrant.name,
                *_costs(costs),
                _USE[costs.commercial],
                training,
                None if depth is None else _value(depth),
            ]
        )
    return Table(
        name="costs",
        caption=caption("What the systems cost, on the hardware of this comparison.", comparison),
        columns=[
            *(_SYSTEM, _PARAMETERS, _SPEED, _MEMORY, _LICENCE),
            Column("commercial use", meaning="Whether the licence clearly allows it."),
            Column(
                "training", "min", 2, "Time of the training, of systems that were trained here."
            ),
            Column(
                *("null depth", "dB", 1),
                "Level of the mixture minus the sum of the estimates, median over tracks.",
            ),
        ],
        rows=rows,
    )


def trainings_table(comparison: Comparison) -> Table | None:
    """Return one row a trained entrant: recipe, settings, steps, time; None where none was."""
    rows: list[list[Cell]] = []
    for result in comparison.results:
        plan = result.entrant.training
        if plan is None:
            continue
        steps = int(result.losses[-1]["step"]) if result.losses else None
        time = None if result.costs.training_s is None else result.costs.training_s / 60
        rows.append([result.entrant.name, plan.recipe, ", ".join(plan.settings), steps, time])
    if not rows:
        return None
    return Table(
        name="trainings",
        caption=caption("How the systems were trained.", comparison),
        columns=[
            *(_SYSTEM, Column("recipe"), Column("changed settings"), Column("steps", digits=0)),
            Column("time", "min"),
        ],
        rows=rows,
    )


def track_tables(comparison: Comparison) -> list[Table]:
    """Return one table a target: the SDR of each track and system."""
    tables = []
    for target, systems in track_values(comparison.systems).items():
        names = list(dict.fromkeys(track for values in systems.values() for track in values))
        rows: list[list[Cell]] = [
            [name, *(_value(values.get(name, math.nan)) for values in systems.values())]
            for name in names
        ]
        tables.append(
            Table(
                name=f"tracks-{target}",
                caption=caption(f"SDR of {target} in dB, track by track.", comparison),
                columns=[Column("track"), *map(Column, systems)],
                rows=rows,
            )
        )
    return tables


def paired_table(comparison: Comparison, differences: Sequence[PairedDifference]) -> Table:
    """Return one row a target and pair: differences, their intervals, and tests."""
    rows: list[list[Cell]] = [
        [
            *(each.target, each.first, each.second, len(each.differences)),
            *map(_value, (each.median, *each.median_interval, each.mean, *each.mean_interval)),
            *map(_value, (each.p, each.adjusted_p)),
        ]
        for each in differences
    ]
    tests = sum(not math.isnan(each.p) for each in differences)
    what = "Differences of the SDR on the tracks that both systems have, first minus second"
    if tests:
        what += (
            "; p: two-sided Wilcoxon signed-rank test, and with Holm's correction for all "
            f"{tests} tests of this table"
        )
    if len(competitors(comparison)) < len(comparison.results):
        what += "; the mixture and oracles are left out"
    return Table(
        name="paired",
        caption=caption(f"{what}.", comparison),
        columns=[
            *(_TARGET, Column("first"), Column("second"), Column("tracks", digits=0)),
            Column("median", "dB", meaning="Of the differences; positive: the first is better."),
            *(Column("median low", "dB"), Column("median high", "dB")),
            *(Column("mean", "dB"), Column("mean low", "dB"), Column("mean high", "dB")),
            Column("p", digits=4),
            Column("p (Holm)", digits=4),
        ],
        rows=rows,
        notes=_paired_notes(differences, tests),
    )


def failures_table(comparison: Comparison) -> Table | None:
    """Return which entrants failed on which tracks and why; None where all went well."""
    rows = [
        [result.entrant.name, track or "all tracks", why]
        for result in comparison.results
        for track, why in result.failures.items()
    ]
    if not rows:
        return None
    return Table(
        name="failures",
        caption=caption("What could not be separated or scored, and why.", comparison),
        columns=[_SYSTEM, Column("track"), Column("reason")],
        rows=rows,
    )


def is_oracle(result: EntrantResult) -> bool:
    """Tell whether an entrant is a floor or a ceiling: it is no competitor."""
    return result.entrant.model in ORACLES


def _figure(summary: Summary | None) -> float | None:
    return None if summary is None else _value(summary.medians["SDR"])


def _value(value: float) -> float | None:
    return None if math.isnan(value) else value


def _interval(summary: Summary | None) -> str | None:
    low, high = (math.nan, math.nan) if summary is None else summary.intervals["SDR"]
    return None if math.isnan(low) else f"{low:z.2f} … {high:z.2f}".replace("-", "−")


def _common_targets(summaries: Mapping[str, Mapping[str, Summary]]) -> list[str]:
    """Return the set of targets that most systems have, of equally many the first."""
    counts = Counter(tuple(order_stems(found)) for found in summaries.values())
    return list(counts.most_common(1)[0][0]) if counts else []


def _mean_of_medians(found: Mapping[str, Summary], targets: Sequence[str]) -> float | None:
    if any(target not in found for target in targets):
        return None
    return _value(sum(found[target].medians["SDR"] for target in targets) / len(targets))


def _costs(costs: Costs) -> list[Cell]:
    millions = None if costs.parameters is None else costs.parameters / 1e6
    return [millions, costs.times_realtime, costs.memory_mb, costs.licence]


def competitors(comparison: Comparison) -> list[str]:
    """Return the entrants that are ranked and tested: no oracles, unless there is little else."""
    names = [each.entrant.name for each in comparison.results if not is_oracle(each)]
    return names if len(names) > 1 else [each.entrant.name for each in comparison.results]


def _best(
    rows: Sequence[Sequence[Cell]],
    groups: Sequence[Sequence[int]],
    columns: Mapping[int, Column],
    competing: Sequence[int],
) -> dict[int, list[int]]:
    """Return column → the best rows of each group, equal ones as they are shown."""
    best: dict[int, list[int]] = {}
    for index, column in columns.items():
        for group in groups:
            shown = {
                row: round(value, column.digits)
                for row in group
                if row in competing and isinstance(value := rows[row][index], float)
            }
            if len(shown) > 1:
                highest = max(shown.values())
                best.setdefault(index, []).extend(
                    row for row, value in shown.items() if value == highest
                )
    return best


def _few_tracks(
    comparison: Comparison, summaries: Mapping[str, Mapping[str, Summary]]
) -> list[str]:
    """Say which medians are not of all tracks."""
    total = len(comparison.tracks)
    notes: list[str] = []
    counts: dict[str, set[int]] = {}
    for system, found in summaries.items():
        few: dict[int, list[str]] = {}
        for target, summary in found.items():
            counts.setdefault(target, set()).add(summary.tracks)
            if summary.tracks < total:
                few.setdefault(summary.tracks, []).append(target)
        notes += [
            f"{system}: {', '.join(order_stems(targets))}: {count} of {total} tracks have an SDR."
            for count, targets in few.items()
        ]
    if any(len(of_target) > 1 for of_target in counts.values()):
        notes.append("Medians of different tracks do not compare; paired differences do.")
    return notes


def _failed(comparison: Comparison) -> list[str]:
    """Say which entrants failed, with the first reason."""
    notes = []
    for result in comparison.results:
        if not result.failures:
            continue
        track, why = next(iter(result.failures.items()))
        where = f" on {len(result.failures)} of {len(comparison.tracks)} tracks" if track else ""
        notes.append(f"{result.entrant.name} failed{where}: {why}")
    return notes


def _paired_notes(differences: Sequence[PairedDifference], tests: int) -> list[str]:
    notes = list(dict.fromkeys(each.remark for each in differences if each.remark))
    most = max((len(each.differences) for each in differences), default=0)
    if not notes and least_p(most, tests) >= _LEVEL:
        notes.append(
            f"With {most} tracks and {tests} tests, p (Holm) is at least "
            f"{least_p(most, tests):.2g}: no difference can pass at {_LEVEL}."
        )
    left_out = max((each.left_out for each in differences), default=0)
    if left_out:
        notes.append(f"Up to {left_out} tracks are left out, where one of two has no SDR.")
    unlike = sorted({f"{each.first} − {each.second}" for each in differences if each.unlike})
    if unlike:
        notes.append(
            f"Scored with different targets, which changes figures too: {', '.join(unlike)}."
        )
    return notes
