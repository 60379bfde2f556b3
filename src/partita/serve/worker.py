"""A process that does tasks one after the other, and that the server can end at any time."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol

from partita.errors import (
    AudioWriteError,
    PartitaError,
    WeightsUnavailableError,
    one_line,
)
from partita.serve.limits import DiskFullError

_PATIENCE_S = 5.0
_INTERVAL_S = 0.2  # between messages about progress
_KILLED = -9
_log = logging.getLogger(__name__)

#: Called with a phase, how much of it is done, and of how much; None: unknown.
Report = Callable[[str, float, float | None], None]


class Task(Protocol):
    """What can be sent to a worker."""

    @property
    def names(self) -> dict[str, str]:
        """Paths of the server → what people call them, for messages."""

    def run(self, memory: dict[str, Any], report: Report) -> object:
        """Do it; `memory` is the process's own, and stays for the next task."""


class Worker:
    """The server's side of the process."""

    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=do_tasks, args=(theirs,), daemon=True, name=name
        )
        self.process.start()
        theirs.close()

    def why_it_ended(self) -> str:
        """Return a sentence for a process that ended without an answer."""
        self.process.join(_PATIENCE_S)
        code = self.process.exitcode
        if code == _KILLED:
            return "The system ended it, as it does when memory runs out."
        return f"Its process ended unexpectedly (status {code})."

    def end(self) -> None:
        """End the process, whatever it does."""
        self.process.terminate()
        self.process.join(_PATIENCE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        with contextlib.suppress(OSError):
            self.connection.close()
        self.process.close()


class WorkerSlot:
    """A place for one worker, which starts when it is needed and again after it has died.

    Parameters
    ----------
    name : str
        Of the process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._worker: Worker | None = None

    def ready(self) -> Worker:
        """Return a worker that lives."""
        if self._worker is None or not self._worker.process.is_alive():
            self.end()
            self._worker = Worker(self._name)
        return self._worker

    def end(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None


def do_tasks(connection: Connection) -> None:
    """Do what comes through a connection until it closes; the main function of the process.

    Answers are tuples: ``("progress", phase, done, total)``, then ``("done", result)`` or
    ``("failed", sentence)``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import partita.separation.separator  # noqa: F401 (PyTorch, before the first task needs it)

    memory: dict[str, Any] = {}
    while True:
        try:
            task: Task = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(answer(task, memory, reporter(connection)))


def answer(task: Task, memory: dict[str, Any], report: Report) -> tuple[str, object]:
    """Do a task; return ``("done", result)``, or ``("failed", one sentence for people)``."""
    try:
        return ("done", task.run(memory, report))
    except MemoryError:
        return ("failed", "There is not enough memory for it.")
    except PartitaError as error:
        return ("failed", _sentence(task, error))
    except Exception as error:
        _log.debug("traceback", exc_info=True)
        return ("failed", one_line(f"failed unexpectedly ({type(error).__name__}: {error})"))


def in_peoples_words(task: Task, text: str) -> str:
    """Return a text without paths of the server."""
    for path, name in task.names.items():
        text = text.replace(one_line(path), name)
    return text


def _sentence(task: Task, error: PartitaError) -> str:
    cause = error.__cause__
    if isinstance(error, WeightsUnavailableError):
        _log.warning("%s", error)
        return (
            "The weights cannot be fetched now. Try again later; on the server's machine, "
            "partita models fetch NAME says how to get them by hand."
        )
    if not (isinstance(error, AudioWriteError) and isinstance(cause, OSError)):
        return in_peoples_words(task, str(error))
    if cause.errno in DiskFullError.NUMBERS:
        return str(DiskFullError())
    return f"The files cannot be written: {cause.strerror}"


def reporter(connection: Connection) -> Report:
    """Return a function that sends progress, now and then."""
    sent_at, last = 0.0, ""

    def report(phase: str, done: float, total: float | None) -> None:
        nonlocal sent_at, last
        now = time.monotonic()
        if phase != last or now - sent_at >= _INTERVAL_S:
            last, sent_at = phase, now
            connection.send(("progress", phase, done, total or 0.0))

    return report


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
