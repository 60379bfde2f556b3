"""``partita data``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partita.cli.commands import Command
from partita.cli.console import ProgressDisplay, format_time
from partita.cli.flags import with_flags
from partita.errors import one_line

if TYPE_CHECKING:
    from partita.datasets import Dataset
    from partita.datasets.inspect import Report, TrackFacts

_UNALIGNED = (
    "each folder is a source with unrelated files: training mixes them at random, scoring is not "
    "possible; --layout tracks or stems if they are songs"
)

app = typer.Typer(help="Inspect data sets with known stems, or synthesise one.")


@app.callback()
def data() -> None:
    """Inspect data sets with known stems, or synthesise one."""


@app.command("info", cls=Command)
def info(
    root: Annotated[
        Path,
        typer.Argument(
            metavar="ROOT",
            help="The folder of a data set, a csv file, or a .stem.mp4.",
            show_default=False,
        ),
    ],
    layout: Annotated[
        str,
        typer.Option(
            help="Layout: auto, musdb18, musdb18hq, moisesdb, slakh, medleydb, tracks, stems, "
            "unaligned, csv, track."
        ),
    ] = "auto",
    quick: Annotated[
        bool, typer.Option("--quick", help="Read headers only, without checking the audio.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """List the tracks of a data set and its problems.

    Missing and damaged files, stems of different lengths or rates, silence, NaN,
    mixtures that are not the sum of their stems, duplicate recordings.

    Exit status: 0 no problems, 1 problems, 2 wrong usage.
    """
    from partita.datasets import open_dataset
    from partita.datasets.inspect import inspect_dataset

    dataset = open_dataset(root, layout=layout)
    with ProgressDisplay(enabled=not as_json) as display:
        report = inspect_dataset(dataset, deep=not quick, progress=display.song(one_line(root)))
    if as_json:
        print(json.dumps(_as_json(dataset, report), indent=2))
    else:
        _print_report(dataset, report, quick=quick)
    return int(bool(report.problems))


def _as_json(dataset: Dataset, report: Report) -> dict[str, object]:
    return {"root": str(dataset.root), "layout": dataset.layout, **asdict(report)}


def _print_report(dataset: Dataset, report: Report, *, quick: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("track", "subset", "stems", "rate", "channels", "length"):
        right = heading in ("rate", "channels", "length")
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
    for track in report.tracks:
        table.add_row(*_cells(track))
    console = Console(markup=False, highlight=False, soft_wrap=False)
    if report.tracks:
        console.print(table)
        print()
    print(f"{one_line(dataset.root)}: {_totals(dataset, report)}")
    if not dataset.is_aligned:
        print(_UNALIGNED)
    for warning in report.warnings:
        print(with_flags(f"warning: {warning}"))
    for problem in report.problems:
        print(with_flags(f"problem: {problem}"))
    if not report.problems:
        print("no problems found" + (" in the headers" if quick else ""))


def _cells(track: TrackFacts) -> Iterable[str]:
    stems = [*track.stems, *(["mixture"] if track.has_mixture else [])]
    return (
        one_line(track.name),
        track.subset or "–",
        one_line(", ".join(stems)),
        f"{track.sample_rate} Hz" if track.sample_rate else "?",
        str(track.channels or "?"),
        format_time(track.duration_s) if track.duration_s is not None else "?",
    )


def _totals(dataset: Dataset, report: Report) -> str:
    count = len(report.tracks)
    rates = sorted({track.sample_rate for track in report.tracks if track.sample_rate})
    subsets = Counter(track.subset for track in report.tracks if track.subset)
    parts = [
        f"layout {dataset.layout}",
        f"{count} track{'' if count == 1 else 's'}"
        + (f" ({', '.join(f'{subsets[name]} {name}' for name in subsets)})" if subsets else ""),
        format_time(sum(track.duration_s or 0.0 for track in report.tracks)),
        " and ".join(f"{rate} Hz" for rate in rates) or "no audio",
    ]
    if report.problems:
        count = len(report.problems)
        parts.append(f"{count} problem{'' if count == 1 else 's'}")
    return " · ".join(parts)
