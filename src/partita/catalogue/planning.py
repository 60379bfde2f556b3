"""Plans: which songs there are, how long they are, and which are the same."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from partita._version import __version__
from partita.audio.reader import AudioReader
from partita.catalogue.duplicates import DuplicateIndex, sketch
from partita.catalogue.faults import song_error
from partita.catalogue.files import files_of
from partita.catalogue.inputs import Found, find_inputs
from partita.catalogue.records import PlanHeader, PlannedSong
from partita.catalogue.store import SHARD_SONGS, Manifest, batched
from partita.catalogue.transport.addresses import safe_path
from partita.errors import UsageError, one_line
from partita.files import folded

_log = logging.getLogger(__name__)

#: How much of each song is read: ``sound`` its first minute, ``header`` its length, ``listing``
#: nothing.
Depth = Literal["sound", "header", "listing"]
DEPTHS: tuple[Depth, ...] = ("sound", "header", "listing")
_AHEAD = 16  # songs for each thread
_BYTES_PER_S = 40_000  # of songs whose length is unknown, for their order only


def plan(
    inputs: Sequence[str],
    manifest: Manifest,
    *,
    column: str | None = None,
    depth: Depth = "sound",
    jobs: int = 1,
    progress: Callable[[int, PlannedSong], None] | None = None,
) -> PlanHeader:
    """Write the plan of a catalogue. Memory does not grow with it: songs wait on the disk.

    Parameters
    ----------
    inputs : sequence of str
        As for `find_inputs`.
    manifest : Manifest
        Of an empty folder.
    column : str, optional
        Of the addresses in tables.
    depth : {"sound", "header", "listing"}
        How much of each song is read. Only ``sound`` finds duplicates; after ``listing``, lengths
        are unknown.
    jobs : int
        Songs that are read at once.
    progress : callable, optional
        Called with the number of songs so far and the last one.

    Raises
    ------
    UsageError
        The manifest is not empty, or an input does not make sense.
    """
    manifest.require_empty()
    with (
        tempfile.TemporaryDirectory(prefix="partita-plan-") as folder,
        contextlib.closing(sqlite3.connect(Path(folder) / "songs.db")) as database,
    ):
        waiting = _Waiting(database)
        found = find_inputs(inputs, column=column)
        with ThreadPoolExecutor(jobs) as pool:
            for some in batched(found, _AHEAD * jobs):
                for song in pool.map(lambda each: _planned(each, depth), some):
                    waiting.add(song)
                    if progress is not None:
                        progress(waiting.count, song)
        if not waiting.count:
            raise UsageError("no songs were found in the inputs")
        header = waiting.header(tuple(map(str, inputs)))
        manifest.write_plan(batched(waiting.longest_first(), SHARD_SONGS), header)
    return header


def checked_depth(text: str) -> Depth:
    """Return a depth that somebody typed, checked."""
    for depth in DEPTHS:
        if text == depth:
            return depth
    raise UsageError(f"`depth` {text!r} is not one of {', '.join(DEPTHS)}")


class _Waiting:
    """Songs of a plan until all are known.

    Parameters
    ----------
    database : sqlite3.Connection
        Of a temporary file.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(
            "CREATE TABLE songs (number INTEGER PRIMARY KEY, id TEXT UNIQUE, target TEXT, "
            "address TEXT, length REAL, size INTEGER, duration_s REAL, is_duplicate INTEGER, "
            "has_fault INTEGER, facts TEXT)"
        )
        database.execute("CREATE INDEX by_target ON songs (target)")
        self._duplicates = DuplicateIndex(database)
        self.count = 0

    def add(self, song: PlannedSong) -> None:
        """Add a song, unless it is there already."""
        if self._one("SELECT 1 FROM songs WHERE id = ?", song.id):
            return
        target = _text(folded(song.track))
        if not song.fault and (
            same := self._one(
                "SELECT address FROM songs WHERE target = ? AND NOT has_fault", target
            )
        ):
            fault = (
                f"{one_line(song.address)}: its stems would get the same paths as those of "
                f"{one_line(same)}: rename one, or plan it in another catalogue"
            )
            song = dataclasses.replace(song, fault=fault, fault_kind="target")
        number = self.count
        if song.fingerprint and not song.fault:
            first = self._duplicates.add(number, song.fingerprint, song.duration_s or 0.0)
            if first is not None:
                twin = self._one("SELECT id FROM songs WHERE number = ?", first)
                song = dataclasses.replace(song, duplicate_of=twin)
        facts = {name: value for name, value in dataclasses.asdict(song).items() if value}
        length = song.duration_s or (song.size or 0) / _BYTES_PER_S
        self._database.execute(
            "INSERT INTO songs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(number, song.id, target, _text(song.address), length, song.size or 0),
                *(song.duration_s or 0.0, bool(song.duplicate_of), bool(song.fault)),
                json.dumps(facts),
            ),
        )
        self.count += 1

    def longest_first(self) -> Iterator[PlannedSong]:
        """Yield all songs, the longest first: so the last workers end at about the same time."""
        for (facts,) in self._database.execute(
            "SELECT facts FROM songs ORDER BY length DESC, number"
        ):
            yield PlannedSong(**json.loads(facts))

    def header(self, inputs: tuple[str, ...]) -> PlanHeader:
        """Return what was planned."""
        total_bytes, total_s, duplicates, faults = self._database.execute(
            "SELECT sum(size), total(duration_s), sum(is_duplicate), sum(has_fault) FROM songs"
        ).fetchone()
        return PlanHeader(
            songs=self.count,
            shards=-(-self.count // SHARD_SONGS),
            total_bytes=total_bytes,
            total_s=round(total_s, 3),
            duplicates=duplicates,
            faults=faults,
            inputs=inputs,
            version=__version__,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _one(self, query: str, value: object) -> str:
        found = self._database.execute(query, (value,)).fetchone()
        return "" if found is None else str(found[0])


def _text(address: str) -> str:
    return address.encode("utf-8", "backslashreplace").decode()  # SQLite takes no lone surrogates


def _planned(found: Found, depth: Depth) -> PlannedSong:
    """Look at a song."""
    name = hashlib.sha256(found.address.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    song = PlannedSong(name, found.address, safe_path(found.track))
    if found.fault:
        return dataclasses.replace(song, fault=found.fault, fault_kind=found.kind)
    try:
        files = files_of(found.address)
        listed = found.listed
        if listed is None or listed.size is None or not listed.version:
            listed = files.find(found.address)
        song = dataclasses.replace(song, size=listed.size, version=listed.version)
        if depth != "listing":
            with files.open_reader(found.address) as reader:
                song = dataclasses.replace(song, duration_s=reader.duration_s)
                if depth == "sound":
                    song = dataclasses.replace(song, fingerprint=_sketch(reader))
    except Exception as error:
        _log.debug("%s", found.address, exc_info=True)
        fault = song_error(error, found.address)
        if fault.kind == "store":  # it may answer when the song is separated
            return song
        return dataclasses.replace(song, fault=fault.cause, fault_kind=fault.kind)
    return song


def _sketch(reader: AudioReader) -> str:
    from partita.datasets.fingerprint import FINGERPRINT_S, fingerprint  # which imports PyTorch

    mono, left = [], round(FINGERPRINT_S * reader.sample_rate)
    for block in reader.blocks():
        mono.append(block.mean(axis=0))
        left -= block.shape[1]
        if left <= 0:
            break
    return sketch(fingerprint(np.concatenate(mono), reader.sample_rate)) if mono else ""
