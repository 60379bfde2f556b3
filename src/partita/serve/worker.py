"""The server's processes, which do tasks one after the other and can be ended at any time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from partita.child_process import ChildEndedError, ChildProcess, Message, Reporter
from partita.errors import AudioWriteError, PartitaError, WeightsUnavailableError, one_line
from partita.serve.limits import DiskFullError

_SETUP = f"{__name__}:import_torch"
_log = logging.getLogger(__name__)


class Task(Protocol):
    """What a worker can do."""

    @property
    def names(self) -> dict[str, str]:
        """Paths of the server → what people call them, for messages."""

    def run(self, report: Reporter, /) -> object:
        """Do it."""


@dataclass(frozen=True)
class ForPeople:
    """A task whose failures are sentences for people.

    Attributes
    ----------
    task : Task
    """

    task: Task

    def run(self, report: Reporter) -> object:
        """Do it."""
        try:
            return self.task.run(report)
        except MemoryError as error:
            raise PartitaError("There is not enough memory for it.") from error
        except PartitaError as error:
            raise PartitaError(_sentence(self.task.names, error)) from error


class WorkerSlot:
    """A place for one process, which starts when it is needed and again after it has died."""

    def __init__(self) -> None:
        self._process: ChildProcess | None = None

    def ready(self) -> ChildProcess:
        """Return a process that lives."""
        if self._process is None or not self._process.is_alive:
            self.end()
            self._process = ChildProcess(_SETUP)
        return self._process

    def start(self, task: Task) -> None:
        """Give the process a task."""
        self.ready().send(ForPeople(task))

    def receive(self, timeout_s: float) -> Message | None:
        """Wait for a message of the task; None: there was none, or it was for the log.

        A process that ends without an answer has failed.
        """
        assert self._process is not None
        try:
            message = self._process.receive(timeout_s)
        except ChildEndedError as error:
            _log.error("%s", ": ".join(filter(None, [str(error), error.last_words])))
            self.end()
            text = str(error)
            return {"failed": f"{text[0].upper()}{text[1:]}."}
        if message is not None and "log" in message:
            level, text = message["log"]
            _log.log(level, "%s", text)
            return None
        return message

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.end()
            self._process = None


def import_torch() -> None:
    """Import what takes seconds, before the first task needs it."""
    import partita.separation.separator  # noqa: F401


def in_peoples_words(names: Mapping[str, str], text: str) -> str:
    """Return a text without paths of the server: `names` has what people call them."""
    for path, name in names.items():
        text = text.replace(one_line(path), name)
    return text


def _sentence(names: Mapping[str, str], error: PartitaError) -> str:
    cause = error.__cause__
    if isinstance(error, WeightsUnavailableError):
        _log.warning("%s", error)
        return (
            "The weights cannot be fetched now. Try again later; on the server's machine, "
            "partita models fetch NAME says how to get them by hand."
        )
    if not (isinstance(error, AudioWriteError) and isinstance(cause, OSError)):
        return in_peoples_words(names, str(error))
    if cause.errno in DiskFullError.NUMBERS:
        return str(DiskFullError())
    return f"The files cannot be written: {cause.strerror}"
