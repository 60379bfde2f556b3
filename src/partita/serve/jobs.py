"""The queue: one process separates the songs that wait, one after the other."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from typing import Self

from partita.errors import PartitaError
from partita.serve.library import Library
from partita.serve.limits import Limits, QueueFullError
from partita.serve.records import JobRecord, SongRecord
from partita.serve.separating import BYTES_PER_SAMPLE, Separation
from partita.serve.states import Event, ImpossibleError, State
from partita.serve.worker import WorkerSlot
from partita.weights.resolve import resolve

_AWAKE_S = 0.1
_PAUSE_S = 5.0  # before another try, when the disk is full
_log = logging.getLogger(__name__)


class JobQueue:
    """Runs the jobs of a library, the oldest first; as a context manager, it runs them meanwhile.

    Parameters
    ----------
    library : Library
    limits : Limits
    """

    def __init__(self, library: Library, limits: Limits) -> None:
        self._library, self._limits = library, limits
        self._slot = WorkerSlot()
        self._ended, self._news = threading.Event(), threading.Event()
        self._is_expecting = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._news.set()
        self._thread.join()

    def expect(self) -> None:
        """Start the process that separates, which takes seconds: a song is on its way."""
        self._is_expecting.set()
        self._news.set()

    def add(self, song_id: str, model: str, request: str | None = None) -> JobRecord:
        """Add a job, or return that of the same request.

        Raises
        ------
        NotFoundError
            No such song.
        QueueFullError
        """
        if (earlier := self._library.job_of_request(request)) is not None:
            return earlier
        if len(self._library.jobs_in(State.QUEUED)) >= self._limits.most_waiting:
            raise QueueFullError(
                f"{self._limits.most_waiting} songs wait already: try again when some are done"
            )
        job = self._library.add_job(song_id, model, request)
        self._news.set()
        return job

    def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job that waits or runs.

        Raises
        ------
        NotFoundError, ImpossibleError
        """
        job = self._library.apply(job_id, Event.CANCEL)
        self._news.set()  # the thread ends the process of a running job
        return job

    def retry(self, job_id: str) -> JobRecord:
        """Queue a job again that has failed or was cancelled.

        Raises
        ------
        NotFoundError, ImpossibleError
        """
        job = self._library.apply(job_id, Event.RETRY)
        self._news.set()
        return job

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._news.clear()
                try:
                    if self._is_expecting.is_set():
                        self._slot.ready()
                    waiting = self._next()
                    if waiting is None:
                        self._news.wait()
                    else:
                        self._run_job(waiting)
                except PartitaError as error:  # it was cancelled or deleted in between
                    _log.debug("%s", error)
                    self._slot.end()
                except (sqlite3.Error, OSError) as error:
                    _log.error("the library cannot be written: %s", error)
                    self._slot.end()
                    self._ended.wait(_PAUSE_S)
        finally:
            self._slot.end()

    def _next(self) -> JobRecord | None:
        """Return the job to run; one whose end could not be recorded waits again."""
        for job in self._library.jobs_in(State.RUNNING):
            self._library.apply(job.id, Event.PUT_BACK)
        return next(iter(self._library.jobs_in(State.QUEUED)), None)

    def _run_job(self, job: JobRecord) -> None:
        job = self._library.apply(job.id, Event.START)
        song = self._library.song(job.song_id)
        try:
            self._library.require_room(_most_bytes(song, job.model))
        except PartitaError as error:  # also a model that is not there any more
            self._library.apply(job.id, Event.FAIL, error=str(error))
            return
        folder = self._library.job_folder(job)
        path, is_known = self._library.song_path(song), song.tempo_key is not None
        task = Separation(path, song.name, folder, job.model, needs_tempo_key=not is_known)
        self._slot.start(task)
        while True:
            if self._ended.is_set():
                self._slot.end()
                self._library.apply(job.id, Event.PUT_BACK)
                return
            if self._library.job(job.id).state is not State.RUNNING:  # cancelled
                self._slot.end()
                self._library.remove_stems(job)
                return
            if self._take_message(job.id):
                return

    def _take_message(self, job_id: str) -> bool:
        """Wait a moment for the process; return whether the job has ended."""
        message = self._slot.receive(_AWAKE_S)
        if message is None:
            return False
        if "progress" in message:
            done, total = message["progress"]
            with contextlib.suppress(sqlite3.Error):  # a full disk; the song may still fit
                self._library.set_progress(job_id, message["phase"], done, total or 0.0)
            return False
        if "failed" in message:
            self._library.apply(job_id, Event.FAIL, error=message["failed"])
            return True
        try:
            self._library.apply(job_id, Event.FINISH, result=message["done"])
        except ImpossibleError:  # cancelled at the last moment
            self._library.remove_stems(self._library.job(job_id))
        return True


def _most_bytes(song: SongRecord, model: str) -> int:
    """Return what the stems of a song may take: as if they could not be compressed."""
    stems = len(resolve(model).sources)
    return stems * song.samples * song.channels * BYTES_PER_SAMPLE
