"""The process that separates: it keeps its models, and the server can end it at any time."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partita.errors import AudioWriteError, PartitaError, WeightsUnavailableError, one_line
from partita.serve.limits import DiskFullError
from partita.serve.records import JobResult, StemRecord

if TYPE_CHECKING:
    from partita.separation.separator import Separator

_MOST_MODELS = 2  # in memory
_INTERVAL_S = 0.2  # between messages about progress
#: Stems as files: exact to 24 bits, and half the size of wav.
FORMAT, BITS = "flac", "24"


@dataclass(frozen=True)
class Task:
    """A separation.

    Attributes
    ----------
    song : Path
    name : str
        The song's, for messages.
    folder : Path
        For the stems; made here.
    model : str
        Any name that `partita.Separator` takes.
    """

    song: Path
    name: str
    folder: Path
    model: str


def serve_tasks(connection: Connection) -> None:
    """Separate what comes through a connection until it closes; the main function of the process.

    Answers are tuples: ``("progress", phase, done, total)``, then ``("done", JobResult)`` or
    ``("failed", sentence)``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import partita.separation.separator  # noqa: F401 (PyTorch, before the first song needs it)

    models = _Models()
    while True:
        try:
            task: Task = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(_run(task, models, connection))


def _run(task: Task, models: _Models, connection: Connection) -> tuple[Any, ...]:
    report = _Report(connection)
    try:
        return ("done", _separate(task, models.get(task.model, report), report))
    except MemoryError:
        return ("failed", "There is not enough memory for this model.")
    except PartitaError as error:
        return ("failed", _sentence(task, error))
    except Exception as error:
        logging.getLogger(__name__).debug("%s", task.name, exc_info=True)
        return ("failed", one_line(f"failed unexpectedly ({type(error).__name__}: {error})"))


def _sentence(task: Task, error: PartitaError) -> str:
    """Return what people are told: names of songs instead of paths of the server."""
    cause = error.__cause__
    if isinstance(error, WeightsUnavailableError):
        logging.getLogger(__name__).warning("%s", error)
        return (
            f"The weights of {task.model} cannot be fetched now. Try again later; on the server's "
            f"machine, partita models fetch {task.model} says how to get them by hand."
        )
    if not (isinstance(error, AudioWriteError) and isinstance(cause, OSError)):
        return str(error).replace(one_line(task.song), task.name)
    if cause.errno in DiskFullError.NUMBERS:
        return str(DiskFullError())
    return f"The stems cannot be written: {cause.strerror}"


class _Report:
    """Sends progress, now and then."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._sent_at, self._phase = connection, 0.0, ""

    def __call__(self, phase: str, done: float, total: float | None) -> None:
        now = time.monotonic()
        if phase == self._phase and now - self._sent_at < _INTERVAL_S:
            return
        self._phase, self._sent_at = phase, now
        self._connection.send(("progress", phase, done, total or 0.0))


class _Models:
    """The Separators that were used last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Separator] = OrderedDict()

    def get(self, name: str, report: _Report) -> Separator:
        """Return the Separator of a model, whose weights are fetched if they are missing."""
        from partita.separation.separator import Separator  # which imports PyTorch
        from partita.weights.resolve import resolve
        from partita.weights.store import fetch

        if name not in self._kept:
            plan = resolve(name)
            for model in plan.models:
                if model.file is None and model.card.remote:
                    fetch(model.card, progress=lambda done, of: report("fetching", done, of))
            report("loading", 0.0, None)
            while len(self._kept) >= _MOST_MODELS:
                self._kept.popitem(last=False)
            self._kept[name] = Separator(plan)
        self._kept.move_to_end(name)
        return self._kept[name]


def _separate(task: Task, separator: Separator, report: _Report) -> JobResult:
    from partita.reports.page.audio import file_source
    from partita.serve.waveforms import waveform

    outcome = separator.separate(
        task.song,
        task.folder,
        filename="{stem}.{ext}",
        format=FORMAT,
        bits=BITS,
        keep_rate=True,
        overwrite=True,
        progress=lambda done_s, total_s: report(
            "writing" if done_s == total_s else "separating", done_s, total_s
        ),
    )
    assert outcome.files is not None
    stems = tuple(
        StemRecord(
            name=stem,
            file=path.name,
            size=path.stat().st_size,
            peaks=waveform(file_source(path))[0],
        )
        for stem, path in outcome.paths.items()
    )
    return JobResult(
        stems=stems,
        gain_db=outcome.files.gain_db,
        null_depth_db=outcome.files.null_depth_db,
        elapsed_s=outcome.files.elapsed_s,
        warnings=tuple(each.replace(one_line(task.song), task.name) for each in outcome.warnings),
    )


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
