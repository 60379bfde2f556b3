"""Workers that are processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from partita.catalogue.engine import Attempt, AttemptQueue, Refused, Work
from partita.catalogue.records import FailureKind, SongRecord
from partita.child_process import how_ended
from partita.errors import ModelError, PartitaError, UsageError

_AWAKE_S = 0.2  # between two looks at limits and cancellation
_PATIENCE_S = 5.0
_MOST_STARTS = 3  # of processes that end before their model is loaded
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_STATM = Path("/proc/self/statm")


class LocalEngine:
    """Runs songs in processes, so that one that crashes or hangs costs one attempt at one song.

    Parameters
    ----------
    jobs : int
        Processes, each with its model.
    """

    def __init__(self, jobs: int = 1) -> None:
        if jobs < 1:
            raise UsageError(f"`jobs` {jobs} is below 1")
        self._jobs = jobs

    def run(
        self, attempts: Iterable[Attempt], work: Work, cancel: threading.Event
    ) -> Generator[SongRecord, None, None]:
        """Process songs; yield each record as it comes: `partita.catalogue.engine.Engine`."""
        if work.policy.memory_mb is not None and not _STATM.exists():
            raise UsageError("`memory_mb` needs Linux: leave it out")
        queue = AttemptQueue(attempts, work.policy)
        slots = [_Slot(work, self._jobs) for _ in range(self._jobs)]
        try:
            while not cancel.is_set():
                for slot in slots:
                    slot.feed(queue)
                if queue.is_empty and not any(slot.attempt for slot in slots):
                    return
                handles = [handle for slot in slots for handle in slot.handles]
                wait(handles, timeout=_AWAKE_S)
                for slot in slots:
                    if (ended := slot.look()) is not None:
                        attempt, record = ended
                        queue.take_back(attempt, record)
                        yield record
        finally:
            for slot in slots:
                slot.end()


@dataclass
class _Slot:
    """A place for one process, and the song that it is trying."""

    work: Work
    jobs: int
    attempt: Attempt | None = None
    _process: SpawnProcess | None = None
    _connection: Connection | None = None
    _is_ready: bool = False
    _starts: int = 0
    _begun: float = field(default_factory=time.monotonic)

    @property
    def handles(self) -> list[Connection | int]:
        """What can be waited for."""
        if self._process is None or self._connection is None:
            return []
        return [self._connection, self._process.sentinel]

    def feed(self, queue: AttemptQueue) -> None:
        """Give the process a song, if it is idle; start it if there is a song and no process."""
        if self.attempt is None:
            self.attempt = queue.next()
            if self.attempt is not None and self._process is None:
                self._start()
            elif self.attempt is not None and self._is_ready:
                self._send()

    def look(self) -> tuple[Attempt, SongRecord] | None:
        """Return the song that ended and its record, whatever ended it; None: none did."""
        if self._process is None or self._connection is None:
            return None
        with contextlib.suppress(EOFError, OSError):
            if self._connection.poll():
                return self._hear(self._connection.recv())
        if not self._process.is_alive():
            return self._died()
        if self._is_ready and self.attempt is not None:
            memory_mb = resident_mb(self._process.pid)
            elapsed_s = time.monotonic() - self._begun
            exceeded = self.work.policy.exceeded(self.attempt.song, elapsed_s, memory_mb)
            return self._cut(*exceeded) if exceeded else None
        return None

    def end(self) -> None:
        """End the process, whatever it does."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process.close()
        self._process = self._connection = None
        self._is_ready = False

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
        self._connection, theirs = context.Pipe()
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        self._process = context.Process(
            target=_do_songs, args=(theirs, self.work, threads), daemon=True, name="partita-songs"
        )
        self._process.start()
        theirs.close()
        self._is_ready = False
        self._starts += 1

    def _send(self) -> None:
        assert self._connection is not None
        self._begun = time.monotonic()
        with contextlib.suppress(OSError):  # it has just died: `look` will say so
            self._connection.send(self.attempt)

    def _hear(self, message: object) -> tuple[Attempt, SongRecord] | None:
        if isinstance(message, Refused):
            raise message.error
        if message is None:
            self._is_ready, self._starts = True, 0
            if self.attempt is not None:
                self._send()
            return None
        assert isinstance(message, SongRecord)
        assert self.attempt is not None
        attempt, self.attempt = self.attempt, None
        return attempt, message

    def _died(self) -> tuple[Attempt, SongRecord] | None:
        assert self._process is not None
        code, was_ready = self._process.exitcode, self._is_ready
        self.end()
        if not was_ready and self._starts >= _MOST_STARTS:
            raise ModelError(f"each process {how_ended(code)} before it had loaded the model")
        if self.attempt is None:
            return None
        if not was_ready:
            self._start()
            return None
        is_memory = code == -signal.SIGKILL
        return self._give_up("memory" if is_memory else "crash", f"its worker {how_ended(code)}")

    def _cut(self, kind: FailureKind, cause: str) -> tuple[Attempt, SongRecord]:
        self.end()
        return self._give_up(kind, cause)

    def _give_up(self, kind: FailureKind, cause: str) -> tuple[Attempt, SongRecord]:
        assert self.attempt is not None
        attempt, self.attempt = self.attempt, None
        elapsed_s = time.monotonic() - self._begun
        text = f"{attempt.song.address}: {cause}"
        return attempt, self.work.ended(attempt, kind, text, elapsed_s)


def resident_mb(pid: int | None) -> float:
    """Return the resident memory of a process in megabytes; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def _do_songs(connection: Connection, work: Work, threads: int) -> None:
    """Do songs until the parent ends; the main function of the process.

    Messages: None when the model is loaded, then a record for each song; or a `Refused`,
    which concerns the whole catalogue.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in _THREADS:  # before PyTorch reads them
        os.environ.setdefault(name, str(threads))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent's end
        try:
            worker = work.open()
            connection.send(None)
            while True:
                connection.send(worker.process(connection.recv()))
        except PartitaError as error:
            connection.send(Refused.by(error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
