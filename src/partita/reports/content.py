"""What a report says, before it is written as a page, as csv, as Markdown or as LaTeX.

Values only: who makes a report fills these in, who writes one reads nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: A number keeps its digits until it is written; None is a figure that does not exist.
Cell = str | float | int | None


def finite_cell(value: float) -> float | None:
    """Return a figure as a cell: None if it is NaN or infinite."""
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        Its heading.
    unit : str
        Behind the heading, such as ``dB``; empty: none.
    digits : int or None
        Decimals of its numbers; None: as they are.
    meaning : str
        One sentence for the reader who does not know the heading.
    """

    name: str
    unit: str = ""
    digits: int | None = 2
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    Attributes
    ----------
    name : str
        Of its files, such as ``summary``.
    caption : str
        Data, budget, seeds and metric convention among the rest.
    columns : sequence of Column
    rows : sequence of sequence of Cell
    best : mapping of int to sequence of int
        Column → rows whose cells are the best of the column.
    notes : sequence of str
        Below the table.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    best: Mapping[int, Sequence[int]] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class LineChart:
    """Curves, such as losses over epochs: name of a curve → its points (x, y)."""

    name: str
    caption: str
    x_label: str
    y_label: str
    curves: Mapping[str, Sequence[tuple[float, float]]]
    log_y: bool = False


@dataclass(frozen=True)
class BoxPlot:
    """Distributions: group (a target) → box (a system) → label of a point (a track) → value."""

    name: str
    caption: str
    y_label: str
    groups: Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class PairedPlot:
    """Differences of pairs: pair (``a - b``) → target → label of a point (a track) → difference.

    Attributes
    ----------
    intervals : mapping
        Pair → target → (estimate, low, high) of the difference.
    """

    name: str
    caption: str
    y_label: str
    differences: Mapping[str, Mapping[str, Mapping[str, float]]]
    intervals: Mapping[str, Mapping[str, tuple[float, float, float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A PNG file."""

    name: str
    caption: str
    path: Path


@dataclass(frozen=True)
class Text:
    """A paragraph; ``verdict`` marks the sentence that answers the section's question."""

    text: str
    verdict: bool = False


Block = Table | LineChart | BoxPlot | PairedPlot | Picture | Text


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Song:
    """A song that the page plays.

    Attributes
    ----------
    name : str
    mixture : Path
        An audio file; those below have its length, sample rate and channels.
    references : mapping of str to Path
        Stem → the true signal; empty where there is none.
    estimates : mapping of str to mapping of str to Path
        System → stem → file.
    sdr : mapping of str to mapping of str to sequence of float
        System → stem → SDR of each window in dB, NaN where it has none.
    hop_s : float
        Between the windows.
    null_depth_db : mapping of str to float
        System → level of mixture minus sum of stems, relative to the mixture.
    """

    name: str
    mixture: Path
    references: Mapping[str, Path]
    estimates: Mapping[str, Mapping[str, Path]]
    sdr: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    hop_s: float = 1.0
    null_depth_db: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes
    ----------
    title : str
    summary : sequence of str
        First lines: data, budget, seeds, convention.
    sections : sequence of Section
    songs : sequence of Song
    facts : mapping of str to str
        Last lines: versions, hardware, command.
    """

    title: str
    summary: Sequence[str]
    sections: Sequence[Section]
    songs: Sequence[Song] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
