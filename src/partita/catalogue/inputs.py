"""The songs of a catalogue: folders, patterns, prefixes of stores, and tables of addresses."""

from __future__ import annotations

import csv
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from partita.audio.reader import AUDIO_EXTENSIONS
from partita.catalogue.files import Listed, files_of, is_local
from partita.catalogue.records import FailureKind
from partita.catalogue.transport.addresses import check_address, key_of, place_of, shown
from partita.errors import UsageError, one_line
from partita.separation.batch import Song, find_songs
from partita.separation.batch.songs import track_name

#: Names of columns with addresses, in this order.
ADDRESS_COLUMNS = ("address", "path", "url", "uri", "file", "filename")
_TRACK_COLUMN = "track"
_TABLES = (".csv", ".tsv", ".parquet")
_ROWS = 1000  # of a parquet file in memory


@dataclass(frozen=True)
class Found:
    """A song that was asked for.

    Attributes
    ----------
    address : str
    track : str
        Where its stems stand below the destination.
    fault : str
        Why there is no such song; one line.
    kind : str
        The kind of that failure.
    listed : Listed or None
        Size and version, if a listing gave them.
    """

    address: str
    track: str
    fault: str = ""
    kind: FailureKind = ""
    listed: Listed | None = None


def find_inputs(inputs: Iterable[str], *, column: str | None = None) -> Iterator[Found]:
    """Find songs, one by one; what cannot be found is reported as one too.

    Parameters
    ----------
    inputs : iterable of str
        Files, folders (recursive) and patterns, of this machine or of a store; tables
        (``.csv``, ``.tsv``, ``.parquet``) with a column of addresses, and a column ``track`` if
        stems shall have other names. Relative addresses are below the table's folder.
    column : str, optional
        Of the addresses; by default the first of `ADDRESS_COLUMNS` that a table has.

    Raises
    ------
    UsageError
        A table has no such column, or a store is not known.
    """
    for item in inputs:
        if item == "-":
            raise UsageError("standard input cannot be planned: type files, folders or addresses")
        if item.lower().endswith(_TABLES) and _is_there(item):
            yield from _of_table(item, column)
        elif is_local(item):
            yield from _of_this_machine(item)
        else:
            yield from _of_store(item)


def _is_there(address: str) -> bool:
    return not is_local(address) or Path(address).is_file()


def _of_this_machine(item: str) -> Iterator[Found]:
    for found in find_songs([item], outputs=[]):
        address = str(Path(found.source).absolute())
        if isinstance(found, Song):
            yield Found(address, found.track)
        else:
            yield Found(address, track_name(Path(found.source)), found.error, "missing")


def _of_store(item: str) -> Iterator[Found]:
    files = files_of(item)
    fixed = re.split(r"[*?\[]", item, maxsplit=1)[0]
    is_pattern = fixed != item and not item.startswith(("http://", "https://"))
    is_folder = item.endswith("/") or is_pattern
    if not is_folder and PurePosixPath(key_of(item)).suffix.lower() in AUDIO_EXTENSIONS:
        yield Found(item, track_name(Path(key_of(item))))
        return
    base = f"{fixed.rpartition('/')[0]}/" if is_pattern else f"{item.rstrip('/')}/"
    matches = _matcher(item) if is_pattern else None
    count = 0
    try:
        for listed in files.list(base):
            is_audio = PurePosixPath(listed.address).suffix.lower() in AUDIO_EXTENSIONS
            if is_audio and (matches is None or matches.fullmatch(listed.address)):
                count += 1
                below = PurePosixPath(key_of(listed.address).removeprefix(key_of(base)))
                track = below.with_name(track_name(Path(below.name)))
                yield Found(listed.address, track.as_posix(), listed=listed)
    except PermissionError:
        yield Found(item, track_name(Path(item)), f"{one_line(item)}: permission denied", "denied")
    except OSError as error:
        reason = one_line(error.strerror or error)
        fault = f"{one_line(item)}: cannot be listed: {reason}"
        yield Found(item, track_name(Path(item)), fault, "store")
    else:
        if not count:
            fault = f"{one_line(item)}: no audio files in here"
            yield Found(item, track_name(Path(item)), fault, "missing")


def _matcher(pattern: str) -> re.Pattern[str]:
    from fsspec.utils import glob_translate

    return re.compile(glob_translate(pattern))


def _of_table(address: str, column: str | None) -> Iterator[Found]:
    folder = address.replace("\\", "/").rpartition("/")[0]
    chosen = ""
    shared: str | None = None
    for row in _rows(address):  # first: what all have in common is no part of their tracks
        chosen = chosen or _column(row, column, address)
        if location := _location(row, chosen, folder):
            above = posixpath.dirname(_path_of(location))
            shared = above if shared is None else _common(shared, above)
    for number, row in enumerate(_rows(address), start=2):
        location = _location(row, chosen, folder)
        if not location:
            fault = f"{one_line(address)}: row {number} has no address"
            yield Found(f"{address}:{number}", f"row {number}", fault, "missing")
            continue
        fault = "" if is_local(location) else _fault_of(location)
        named = shown(location) if fault else location  # no manifest holds what must not be shown
        below = PurePosixPath(_path_of(named)[len(shared or "") :].lstrip("/") or "song")
        track = str(row.get(_TRACK_COLUMN) or below.with_name(track_name(Path(below.name))))
        if fault:  # many may be shown alike
            yield Found(f"{address}:{number}", track, fault, "unreadable")
        else:
            yield Found(location, track)


def _rows(address: str) -> Iterator[dict[str, Any]]:
    try:
        with files_of(address).open_source(address) as path:
            if address.lower().endswith(".parquet"):
                import pyarrow.parquet

                with pyarrow.parquet.ParquetFile(path) as table:
                    for batch in table.iter_batches(_ROWS):
                        yield from batch.to_pylist()
            else:
                mark = "\t" if address.lower().endswith(".tsv") else ","
                with path.open(encoding="utf-8-sig", newline="") as file:
                    yield from csv.DictReader(file, delimiter=mark)
    except (OSError, ValueError, csv.Error) as error:
        reason = one_line(getattr(error, "strerror", None) or error)
        raise UsageError(f"{one_line(address)} cannot be read as a table: {reason}") from error


def _column(row: dict[str, Any], wanted: str | None, address: str) -> str:
    names = [wanted] if wanted else ADDRESS_COLUMNS
    if (found := next((name for name in names if name in row), None)) is not None:
        return found
    has = ", ".join(one_line(name) for name in row)
    raise UsageError(
        f"{one_line(address)} has no column {' or '.join(names)}, but {has}: "
        "choose one with `column`"
    )


def _location(row: dict[str, Any], column: str, folder: str) -> str:
    text = str(row.get(column) or "").strip()
    if not text or not is_local(text):
        return text
    if not is_local(folder):
        return f"{folder}/{text}"
    return os.path.normpath(Path(folder, text).absolute()).replace("\\", "/")


def _fault_of(location: str) -> str:
    try:
        check_address(location)
    except UsageError as error:
        return str(error)
    return ""


def _path_of(location: str) -> str:
    """Return what tracks are named after: of web addresses neither query nor escapes."""
    return location if is_local(location) else f"{place_of(location)}/{key_of(location)}"


def _common(first: str, second: str) -> str:
    parts = zip(first.split("/"), second.split("/"), strict=False)
    same = []
    for one, other in parts:
        if one != other:
            break
        same.append(one)
    return "/".join(same)
