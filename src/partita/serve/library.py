"""The library: songs and their stems in a folder, with an index that survives the process."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from partita.errors import PartitaError, one_line, write_error
from partita.mixing.tempo_key import Correction
from partita.serve.limits import QuotaError
from partita.serve.names import folder_name
from partita.serve.records import (
    JobRecord,
    JobResult,
    SongRecord,
    as_text,
    job_of,
    result_text,
    song_of,
)
from partita.serve.schema import LibraryError, open_database
from partita.serve.states import ENDED, Event, State, next_state, require_ended

_INDEX, _LOCK = "library.sqlite3", "library.lock"
_SONGS, _INCOMING = "songs", "incoming"
_SIZES = """
SELECT songs.*, songs.size + coalesce(
    (SELECT sum(json_extract(stem.value, '$.size'))
     FROM jobs, json_each(jobs.result, '$.stems') AS stem WHERE jobs.song_id = songs.id), 0
) AS bytes
FROM songs ORDER BY added_at, id
"""
#: What events change in how often a job was started: one that is put back was not tried.
_ATTEMPTS = {Event.START: 1, Event.PUT_BACK: -1}


class NotFoundError(PartitaError):
    """A song, job or stem that is not there."""


class Library:
    """Songs, jobs and stems, on disk.

    All that changes has a *revision*, a number that only grows: `changes_since` tells a client that
    was away what it has missed.

    Parameters
    ----------
    folder : Path
        Made if it is missing; one process at a time has it.
    quota_bytes : int, optional
        What songs and stems may take together; None: as much as the disk has.

    Raises
    ------
    LibraryError
        Another process has it, or its index is damaged.
    AudioWriteError
        The folder cannot be written to.
    """

    def __init__(self, folder: Path, quota_bytes: int | None = None) -> None:
        self.folder, self.quota_bytes = folder.absolute(), quota_bytes
        try:
            for name in (_SONGS, _INCOMING):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            self._only = FileLock(self.folder / _LOCK)
            self._only.acquire(timeout=0)
        except Timeout:
            raise LibraryError(
                f"{one_line(self.folder)}: another partita serve has this library open"
            ) from None
        except OSError as error:
            raise write_error(self.folder, error) from error
        self._lock = threading.RLock()
        try:
            self._database = open_database(self.folder / _INDEX)
        except BaseException:
            self._only.release()
            raise
        (self.revision,) = self._database.execute("SELECT last FROM revisions").fetchone()
        self._recover()

    def close(self) -> None:
        """Close the index; running jobs stay as they are, for the next start."""
        with self._lock:
            self._database.close()
        self._only.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def incoming(self) -> Path:
        """Folder of uploads that are not complete."""
        return self.folder / _INCOMING

    def song_folder(self, song: SongRecord) -> Path:
        """Return the folder of a song."""
        return self.folder / _SONGS / song.folder

    def song_path(self, song: SongRecord) -> Path:
        """Return the file of a song, as it was uploaded."""
        return self.song_folder(song) / song.file

    def job_folder(self, job: JobRecord) -> Path:
        """Return the folder of a job's stems."""
        return self.song_folder(self.song(job.song_id)) / job.folder

    # Songs

    def songs(self) -> list[SongRecord]:
        """Return all songs, the newest first."""
        rows = self._read("SELECT * FROM songs ORDER BY added_at DESC, id")
        return [song_of(row) for row in rows]

    def song(self, song_id: str) -> SongRecord:
        """Return a song.

        Raises
        ------
        NotFoundError
        """
        for row in self._read("SELECT * FROM songs WHERE id = ?", song_id):
            return song_of(row)
        raise NotFoundError("There is no such song: it was deleted.")

    def song_of_request(self, request: str | None) -> SongRecord | None:
        """Return the song that a request with this key has brought; None: none has."""
        rows = self._read("SELECT * FROM songs WHERE request = ?", request)
        return song_of(rows[0]) if rows else None

    def add_song(self, file: Path, record: SongRecord, request: str | None = None) -> SongRecord:
        """Move a file into the library.

        Parameters
        ----------
        file : Path
            In `incoming`.
        record : SongRecord
        request : str, optional
            Key of the request; where it has brought a song already, that one is returned, and the
            file stays.

        Raises
        ------
        QuotaError
        """
        with self._changing() as revision:
            if (earlier := self.song_of_request(request)) is not None:
                return earlier
            self.require_room(record.size)
            try:
                self.song_folder(record).mkdir()
                file.replace(self.song_path(record))
                values = {**vars(record), "request": request, "revision": revision}
                self._insert("songs", {**values, "tempo_key": None, "correction": None})
            except BaseException:
                _remove(self.song_folder(record))
                raise
        return record

    def delete_song(self, song_id: str) -> None:
        """Delete a song with all its stems; its jobs must have ended.

        Raises
        ------
        NotFoundError
        ImpossibleError
            A job of it is running.
        """
        with self._changing() as revision:
            song = self.song(song_id)
            for job in self.jobs(song_id):
                require_ended(job.state)
                self._forget(job.id, revision)
            self._database.execute("DELETE FROM songs WHERE id = ?", [song_id])
            self._forget(song_id, revision)
        _remove(self.song_folder(song))

    def correct(self, song_id: str, correction: Correction) -> SongRecord:
        """Keep what a person says of a song's tempo, beats and key; return the song.

        Raises
        ------
        NotFoundError
            There is no such song, or nothing was estimated.
        """
        with self._changing() as revision:
            if self.song(song_id).tempo_key is None:
                raise NotFoundError("There is no tempo or key that could be corrected.")
            self._update("songs", song_id, revision, correction=as_text(correction))
            return self.song(song_id)

    # Jobs

    def jobs(self, song_id: str | None = None) -> list[JobRecord]:
        """Return all jobs, or those of a song, in the order in which they were made."""
        query = "SELECT * FROM jobs WHERE ?1 IS NULL OR song_id = ?1 ORDER BY number"
        return [job_of(row) for row in self._read(query, song_id)]

    def job(self, job_id: str) -> JobRecord:
        """Return a job.

        Raises
        ------
        NotFoundError
        """
        for row in self._read("SELECT * FROM jobs WHERE id = ?", job_id):
            return job_of(row)
        raise NotFoundError("There is no such separation: it was deleted.")

    def job_of_request(self, request: str | None) -> JobRecord | None:
        """Return the job that a request with this key has added; None: none has."""
        rows = self._read("SELECT * FROM jobs WHERE request = ?", request)
        return job_of(rows[0]) if rows else None

    def jobs_in(self, state: State) -> list[JobRecord]:
        """Return the jobs in a state, the oldest first."""
        rows = self._read("SELECT * FROM jobs WHERE state = ? ORDER BY number", state)
        return [job_of(row) for row in rows]

    def add_job(self, song_id: str, model: str, request: str | None = None) -> JobRecord:
        """Add a job to the queue, or return the one that the same request has added.

        Raises
        ------
        NotFoundError
            No such song.
        """
        with self._changing() as revision:
            if (earlier := self.job_of_request(request)) is not None:
                return earlier
            self.song(song_id)
            job_id = new_id()
            values: dict[str, Any] = {
                **{"id": job_id, "song_id": song_id, "model": model, "state": State.QUEUED},
                **{"attempts": 0, "phase": "", "done": 0.0, "total": 0.0, "error": ""},
                **{"folder": folder_name(model, job_id), "created_at": time.time()},
                **{"result": None, "request": request, "revision": revision},
            }
            self._insert("jobs", values)
            return self.job(job_id)

    def apply(
        self, job_id: str, event: Event, *, error: str = "", result: JobResult | None = None
    ) -> JobRecord:
        """Let something happen to a job; return it as it is then.

        Parameters
        ----------
        job_id : str
        event : Event
        error : str
            One sentence, of `Event.FAIL`.
        result : JobResult, optional
            Of `Event.FINISH`.

        Raises
        ------
        NotFoundError
        ImpossibleError
            It cannot happen to the job in its state.
        """
        with self._changing() as revision:
            job = self.job(job_id)
            state = next_state(job.state, event, job.attempts)
            if state is job.state:
                return job
            attempts = job.attempts + _ATTEMPTS.get(event, 0)
            if event is Event.RETRY:
                attempts = 0
            if event is Event.INTERRUPT and state is State.FAILED:
                error = f"partita ended {attempts} times while it separated this song"
            if result is not None and result.tempo_key is not None:
                estimate = as_text(result.tempo_key)
                self._update("songs", job.song_id, revision, tempo_key=estimate)
            self._update(
                "jobs",
                job_id,
                revision,
                state=state,
                attempts=attempts,
                phase="loading" if state is State.RUNNING else "",
                done=0.0,
                total=0.0,
                error=error,
                result=None if result is None else result_text(result),
            )
            if state is not State.RUNNING and state is not State.DONE:
                self.remove_stems(job)
            return self.job(job_id)

    def set_progress(self, job_id: str, phase: str, done: float, total: float) -> None:
        """Record how far a running job is; of others nothing changes."""
        with self._changing() as revision:
            if self.job(job_id).state is State.RUNNING:
                self._update("jobs", job_id, revision, phase=phase, done=done, total=total)

    def remove_stems(self, job: JobRecord) -> None:
        """Remove what a job has written."""
        with contextlib.suppress(NotFoundError):  # the song is gone, with all of it
            _remove(self.job_folder(job))

    def delete_job(self, job_id: str) -> None:
        """Delete a job that has ended, with its stems.

        Raises
        ------
        NotFoundError
        ImpossibleError
        """
        with self._changing() as revision:
            job = self.job(job_id)
            require_ended(job.state)
            folder = self.job_folder(job)
            self._database.execute("DELETE FROM jobs WHERE id = ?", [job_id])
            self._forget(job_id, revision)
        _remove(folder)

    # Changes

    def changes_since(
        self, revision: int
    ) -> tuple[int, list[SongRecord], list[JobRecord], list[str]]:
        """Return what has changed since a revision.

        Returns
        -------
        int
            The revision now.
        list of SongRecord, list of JobRecord, list of str
            New songs, new or changed jobs, ids of both that were deleted.
        """
        with self._lock:
            songs = self._read("SELECT * FROM songs WHERE revision > ?", revision)
            jobs = self._read("SELECT * FROM jobs WHERE revision > ? ORDER BY number", revision)
            deleted = self._read("SELECT id FROM deleted WHERE revision > ?", revision)
            ids = [row["id"] for row in deleted]
            return self.revision, [*map(song_of, songs)], [*map(job_of, jobs)], ids

    # Room

    def size(self) -> int:
        """Return the bytes of all songs and stems."""
        return sum(size for _, size in self.sizes())

    def sizes(self) -> list[tuple[SongRecord, int]]:
        """Return the songs, the oldest first, each with the bytes of it and its stems."""
        rows = self._read(_SIZES)
        return [(song_of(row), row["bytes"]) for row in rows]

    def oldest(self, wanted_bytes: int) -> list[tuple[SongRecord, int]]:
        """Return the oldest songs that free so much together, without those that are in use.

        They are all songs that can be deleted, if these do not suffice.
        """
        busy = {job.song_id for job in self.jobs() if job.state not in ENDED}
        found: list[tuple[SongRecord, int]] = []
        for song, size in self.sizes():
            if sum(each for _, each in found) >= wanted_bytes:
                break
            if song.id not in busy:
                found.append((song, size))
        return found

    def require_room(self, new_bytes: int) -> None:
        """Check that the library may grow by so much.

        Raises
        ------
        QuotaError
        """
        size = self.size()
        if self.quota_bytes is not None and size + new_bytes > self.quota_bytes:
            raise QuotaError(size, self.quota_bytes)

    def _recover(self) -> None:
        """Queue the jobs that were running when the process ended; remove what they left."""
        for job in self.jobs_in(State.RUNNING):
            self.apply(job.id, Event.INTERRUPT)
        for path in self.incoming.iterdir():
            _remove(path)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[int]:
        """One transaction, which gets the next revision."""
        with self._lock:
            if self._database.in_transaction:
                yield self.revision
                return
            self._database.execute("BEGIN IMMEDIATE")
            self.revision += 1
            try:
                yield self.revision
                self._database.execute("UPDATE revisions SET last = ?", [self.revision])
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                self.revision -= 1
                raise

    def _read(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def _insert(self, table: str, values: Mapping[str, Any]) -> None:
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        query = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 (names of fields)
        self._database.execute(query, values)

    def _update(self, table: str, identifier: str, revision: int, **values: Any) -> None:
        sets = ", ".join(f"{name} = :{name}" for name in values)
        query = f"UPDATE {table} SET {sets}, revision = :revision WHERE id = :id"  # noqa: S608 (same)
        self._database.execute(query, {**values, "revision": revision, "id": identifier})

    def _forget(self, identifier: str, revision: int) -> None:
        self._database.execute("INSERT INTO deleted VALUES (?, ?)", [identifier, revision])


def new_id() -> str:
    """Return an identifier that no other song or job has, and that nobody can guess."""
    return secrets.token_hex(8)


def _remove(path: Path) -> None:
    """Remove a file or a folder; what cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
