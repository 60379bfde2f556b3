"""Data sets listed in a csv file."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from partita.datasets.layout import Problem, Reading, list_folder, make_track
from partita.datasets.tracks import StemFile, Track
from partita.errors import UsageError, one_line
from partita.stem_names import normal_name

_TRACK, _SUBSET, _STEM, _PATH = "track", "subset", "stem", "path"
_STREAM, _START, _DURATION = "stream", "start_s", "duration_s"
#: What a row for each file may also say, and whether a value of that can be.
_PLACES: Mapping[str, Callable[[float], bool]] = MappingProxyType(
    {
        _STREAM: lambda value: value >= 0 and value == int(value),
        _START: lambda value: value >= 0,
        _DURATION: lambda value: value > 0,
    }
)


@dataclass(frozen=True)
class _Cell:
    """One file that the table names."""

    line: int
    track: str
    subset: str
    stem: str
    path: str
    places: Mapping[str, str] = field(default_factory=dict)
    adds_up: bool = False


@dataclass
class _Listed:
    """What the table says about a track."""

    subset: str
    files: dict[str, StemFile] = field(default_factory=dict)


def read_csv(root: Path) -> Reading:
    """Read a csv file, or a folder that holds exactly one.

    Its columns are ``track``, ``subset`` (optional) and one for each stem, with the paths of the
    files relative to the csv, empty where a track lacks the stem; a column ``mixture`` is the
    mixture. Or, a row for each file: ``track``, ``stem``, ``path`` and optionally ``subset``,
    ``stream`` (of the file, from 0), ``start_s`` and ``duration_s`` (the excerpt that counts);
    rows of one stem of a track are added up. Names of columns and stems become lower case.

    Raises
    ------
    UsageError
        The csv is broken.
    """
    path = find_csv(root)
    if path is None:
        return Reading()
    listed: dict[str, _Listed] = {}
    problems: list[Problem] = []
    for cell in _cells(path):
        track = listed.setdefault(cell.track, _Listed(cell.subset))
        problem = _add(track, cell, path.parent)
        if problem:
            problems.append(Problem(f"{path.name}, line {cell.line}", problem))
    tracks: list[Track] = []
    for name, track in listed.items():
        if not track.files:
            problems.append(Problem(name, "none of its files is there, left out"))
            continue
        made = make_track(name, path.parent, track.subset, track.files)
        if isinstance(made, Problem):
            problems.append(made)
        else:
            tracks.append(made)
    return Reading(tracks, problems)


def find_csv(root: Path) -> Path | None:
    """Return the csv file that a root is or holds, None where there is none or more than one."""
    if root.is_file():
        return root if root.suffix.lower() == ".csv" else None
    tables = [path for path in list_folder(root) if path.suffix.lower() == ".csv"]
    return tables[0] if len(tables) == 1 else None


def _add(track: _Listed, cell: _Cell, folder: Path) -> str:
    """Add a file to a track; return what is wrong with it."""
    path = folder / cell.path
    if cell.subset != track.subset:
        return f"track {cell.track!r} is in subsets {track.subset!r} and {cell.subset!r}"
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises for too long names)
        return f"{cell.stem!r} of track {cell.track!r}: no such file {path}"
    values = {name: _number(text) for name, text in cell.places.items() if text}
    for name, value in values.items():
        if value is None or not _PLACES[name](value):
            return f"{cell.stem!r} of track {cell.track!r}: {name} is {cell.places[name]!r}"
    stream, start_s = int(values.get(_STREAM) or 0), values.get(_START) or 0.0
    file = StemFile(path, stream, start_s=start_s, duration_s=values.get(_DURATION))
    first = track.files.get(cell.stem)
    if first is None:
        track.files[cell.stem] = file
    elif file in first.parts or not cell.adds_up:
        return f"names stem {cell.stem!r} of track {cell.track!r} again, left out"
    else:
        track.files[cell.stem] = replace(first, others=(*first.others, file))
    return ""


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _cells(path: Path) -> Iterator[_Cell]:
    """Yield all files that a table of either form names."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = _check_columns(path, reader.fieldnames or [])
            long = {_STEM, _PATH} <= set(columns)
            for raw in reader:
                row = _check_row(path, reader.line_num, raw)
                pairs = (
                    [(normal_name(row[_STEM].lower()), row[_PATH])] if long else list(row.items())
                )
                for stem, value in pairs:
                    if value and stem not in (_TRACK, _SUBSET):
                        subset = row.get(_SUBSET, "")
                        places = {n: row[n] for n in _PLACES if n in row} if long else {}
                        yield _Cell(
                            reader.line_num, row[_TRACK], subset, stem, value, places, adds_up=long
                        )
    except UnicodeDecodeError:
        _fail(path, "is not text in UTF-8")
    except csv.Error as error:
        _fail(path, f"is not a csv: {error}")
    except OSError as error:
        _fail(path, f"cannot be read: {error.strerror}")


def _check_columns(path: Path, columns: Sequence[str]) -> list[str]:
    names = [normal_name(name.strip().lower()) for name in columns]
    if _TRACK not in names:
        _fail(path, "has no column 'track' in its first line")
    if not set(names) - {_TRACK, _SUBSET}:
        _fail(path, "has no column for any stem")
    if len(set(names)) < len(names):
        _fail(path, "has two columns of the same name")
    return names


def _check_row(path: Path, line: int, raw: dict[str | None, str | None]) -> dict[str, str]:
    if None in raw or None in raw.values():
        _fail(path, f"line {line}: has another number of columns than the first line")
    row = {
        normal_name((name or "").strip().lower()): (value or "").strip()
        for name, value in raw.items()
    }
    row[_TRACK] = normal_name(row[_TRACK])
    if not row[_TRACK]:
        _fail(path, f"line {line}: names no track")
    return row


def _fail(path: Path, problem: str) -> NoReturn:
    raise UsageError(
        f"{one_line(path)}: {one_line(problem)}: a data set needs the columns track, one for each "
        "stem and optionally subset, or the columns track, stem, path"
    )
