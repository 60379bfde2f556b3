"""What runs in the worker processes of a Ray cluster: one model, and the songs it separates."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass

from partita.catalogue.engine import Attempt, Refused, SongWorker, Work
from partita.catalogue.local_engine import resident_mb
from partita.catalogue.records import FailureKind, SongRecord
from partita.errors import PartitaError, one_line, unexpected
from partita.threads import call_awake


@dataclass(frozen=True)
class Exceeded:
    """A song took too long or too much memory; it is still running in a thread of its process."""

    kind: FailureKind
    cause: str
    elapsed_s: float


class SongActor:
    """An actor: a process with one model, which separates songs in threads.

    Methods return what went wrong, and raise nothing: Ray wraps exceptions in its own, with
    tracebacks of both processes.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._worker: SongWorker | None = None

    def open(self) -> str | Refused:
        """Load the model; return Ray's name of this machine, or why it cannot take part."""
        import ray

        try:
            self._worker = self._work.open()
        except PartitaError as error:
            return Refused.by(error)
        return str(ray.get_runtime_context().get_node_id())

    def process(self, attempt: Attempt) -> SongRecord | Exceeded | Refused:
        """Separate a song within its limits."""
        assert self._worker is not None
        begun, exceeded = time.monotonic(), list[tuple[FailureKind, str]]()

        def is_over() -> bool:
            found = self._work.policy.exceeded(
                attempt.song, time.monotonic() - begun, resident_mb(os.getpid())
            )
            exceeded.extend([found] if found else [])
            return bool(exceeded)

        try:
            return call_awake(functools.partial(self._worker.process, attempt), is_over)
        except InterruptedError:
            return Exceeded(*exceeded[0], time.monotonic() - begun)
        except PartitaError as error:
            return Refused.by(error)
        except Exception as error:
            cause = f"{one_line(attempt.song.address)}: {unexpected(error)}"
            return self._work.ended(attempt, "unexpected", cause, time.monotonic() - begun)
