"""The table of systems and their scores on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from partita.cli.terminal import fitting, terminal_columns
from partita.errors import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from partita.evaluation.aggregate import Summary
    from partita.evaluation.tables import Row

_METRICS = ("SIR", "SAR", "ISR", "uSDR", "SI-SDR", "SI-SAR")
_LONGEST_NAME = 26
_SHOWN_NAMES = 3
_ELSEWHERE = "--csv and --json"
_UNLIKE = "unknown, or different in some tracks"


def print_comparison(
    rows: Mapping[str, Sequence[Row]],
    failed: Sequence[str],
    remarks: Sequence[str],
    *,
    elsewhere: str = _ELSEWHERE,
) -> None:
    """Print the scores of all systems for each target, best first, and what is missing.

    Parameters
    ----------
    rows : mapping of str to sequence of Row
        Target → rows.
    failed : sequence of str
        Tracks without scores.
    remarks : sequence of str
        Notes on the comparability of the scores.
    elsewhere : str
        Where all columns are.
    """
    from rich.console import Console

    console = Console(highlight=False)
    notes = _Notes()
    table = _Table(rows, notes)
    table.print(console, terminal_columns(), elsewhere)
    explanation = "dB; medians over windows, then over tracks"
    if table.has_interval:
        explanation += "; interval: bootstrap over tracks"
    for line in ("", explanation, *notes.lines()):
        console.print(line, style="dim", markup=False)
    for line in remarks:
        console.print(one_line(line), markup=False)
    if failed:
        listed = one_line(", ".join(failed))
        console.print(f"{len(failed)} failed: {listed}", style="bold", markup=False)


class _Table:
    """Scores as text, with the columns that fit; csv and JSON have all."""

    def __init__(self, rows: Mapping[str, Sequence[Row]], notes: _Notes) -> None:
        everything = [row for found in rows.values() for row in found]
        self._several = len({row.system for row in everything}) > 1
        self.has_interval = any(row.summary.tracks > 1 for row in everything)
        metrics = [m for m in _METRICS if any(m in row.summary.medians for row in everything)]
        interval = ["95 % interval"] if self.has_interval else []
        self._headings = ["SDR", *interval, *metrics, "tracks"]
        self._rows = {
            one_line(target): [
                (one_line(row.system) * self._several, self._figures(row, metrics, notes))
                for row in found
            ]
            for target, found in rows.items()
        }

    def _figures(self, row: Row, metrics: Sequence[str], notes: _Notes) -> list[str]:
        summary = row.summary
        tracks = str(summary.tracks)
        if summary.unscored:
            tracks += f" of {summary.tracks + summary.unscored}"
        return [
            f"{_number(summary.medians['SDR'])} {notes.mark(summary.scored_with)}",
            *([_interval(summary)] if self.has_interval else []),
            *(_number(summary.medians.get(name, math.nan)) for name in metrics),
            tracks,
        ]

    def print(self, console: Console, columns: int | None, elsewhere: str = _ELSEWHERE) -> None:
        """Print the table; long names get a line of their own."""
        targets = max(map(cell_len, ["target", *self._rows])) + 2
        rows = [
            (_padded(target if index == 0 else "", targets) + name, figures)
            for target, found in self._rows.items()
            for index, (name, figures) in enumerate(found)
        ]
        heading = _padded("target", targets) + "system" * self._several
        longest = max(map(cell_len, [heading.rstrip(), *(name.rstrip() for name, _ in rows)]))
        label = longest if columns is None else min(longest, _LONGEST_NAME, columns // 3)
        table = [self._headings, *(figures for _, figures in rows)]
        widths = [label, *(max(map(cell_len, column)) for column in zip(*table, strict=True))]
        # From the right; names, SDR and number of tracks always stay.
        shown = fitting(widths, range(len(widths) - 2, 1, -1), columns)[1:]

        for name, figures in [(heading, self._headings), *rows]:
            style = "bold" if figures is self._headings else ""
            beside = name.rstrip()
            if cell_len(beside) > label:
                console.print(beside, style=style, markup=False, soft_wrap=True)
                beside = ""
            cells = "".join(f"  {figures[i - 1]:>{widths[i]}}" for i in shown)
            console.print(_padded(beside, label) + cells, style=style, markup=False, soft_wrap=True)
        left_out = [self._headings[i] for i in range(len(self._headings)) if i + 1 not in shown]
        if left_out:
            text = f"columns that do not fit: {', '.join(left_out)} (in {elsewhere})"
            console.print(text, style="dim", markup=False)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _interval(summary: Summary) -> str:
    low, high = summary.intervals["SDR"]
    return "" if math.isnan(low) else f"{low:.2f} … {high:.2f}"


class _Notes:
    """Sets of targets that were scored together, with a mark for each."""

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


def first_names(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many there are more."""
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more
