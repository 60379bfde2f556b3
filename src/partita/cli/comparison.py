"""The table that compares systems, on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from partita.errors import one_line

if TYPE_CHECKING:
    from partita.evaluation.aggregate import Summary
    from partita.evaluation.tables import Row

_METRICS = ("SIR", "SAR", "ISR")
_WHOLE_TRACK = ("uSDR", "SI-SDR")
_WIDE_COLUMNS = 100
_UNLIKE = "not the same targets in all tracks, or not known"


def print_comparison(
    rows: Mapping[str, Sequence[Row]], failed: Sequence[str], remarks: Sequence[str]
) -> None:
    """Print target by target what every system scores, the best first, and what is missing.

    Parameters
    ----------
    rows : mapping of str to sequence of Row
        By target.
    failed : sequence of str
        Tracks without scores.
    remarks : sequence of str
        What else has to be known to compare the figures.
    """
    from rich.console import Console
    from rich.table import Table

    everything = [row for found in rows.values() for row in found]
    several = len({row.system for row in everything}) > 1
    has_interval = any(row.summary.tracks > 1 for row in everything)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE_COLUMNS
    table = Table(box=None, pad_edge=False)
    for heading in ("target", "system") if several else ("target",):
        table.add_column(heading, overflow="fold", no_wrap=heading == "target")
    metrics = _shown_metrics(everything, console.width)
    headings = ["SDR", *(["95 % interval"] if has_interval else []), *metrics, "tracks"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    notes = _Notes()
    for target, found in rows.items():
        for index, row in enumerate(found):
            names = [target if index == 0 else "", row.system][: 1 + several]
            sdr = f"{_number(row.summary.medians['SDR'])} {notes.mark(row.summary.scored_with)}"
            interval = [_interval(row.summary)] if has_interval else []
            figures = [_number(row.summary.medians.get(name, math.nan)) for name in metrics]
            tracks = str(row.summary.tracks)
            if row.summary.unscored:
                tracks += f" of {row.summary.tracks + row.summary.unscored}"
            table.add_row(*map(one_line, names), sdr, *interval, *figures, tracks)
        table.add_section()
    console.print(table, markup=False)
    explanation = "dB; medians over windows, then over tracks"
    if has_interval:
        explanation += "; interval: bootstrap over tracks"
    for line in ("", explanation, *notes.lines()):
        console.print(line, style="dim", markup=False)
    for line in remarks:
        console.print(one_line(line), markup=False)
    if failed:
        listed = one_line(", ".join(failed))
        console.print(f"{len(failed)} left out: {listed}", style="bold", markup=False)


def _shown_metrics(rows: Sequence[Row], columns: int) -> list[str]:
    """Choose what there is figures for and room to show; csv and JSON have everything."""
    metrics = [*_METRICS, *(_WHOLE_TRACK if columns >= _WIDE_COLUMNS else ())]
    return [name for name in metrics if any(name in row.summary.medians for row in rows)]


def _interval(summary: Summary) -> str:
    low, high = summary.intervals["SDR"]
    return "" if math.isnan(low) else f"{low:.2f} … {high:.2f}"


class _Notes:
    """Which sets of targets were scored together, with a mark for each."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, ...], str] = {}

    def mark(self, together: tuple[str, ...]) -> str:
        return self._marks.setdefault(together, chr(ord("a") + len(self._marks) % 26))

    def lines(self) -> list[str]:
        return [
            f"{mark}: scored together: {one_line(', '.join(together)) or _UNLIKE}"
            for together, mark in self._marks.items()
        ]


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
