"""A process for work that may crash or take all memory, and that can be ended at any time.

Standard input brings its tasks, one after the other, and stays open: when it ends, the parent has
ended, and so does the process. Messages go to standard output. Both are pickles: the two trust each
other.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO, Any, Protocol

from partita.errors import PartitaError, unexpected

Message = dict[str, Any]

_START = "import sys; from partita.child_process import main; main(*sys.argv[1:])"
_INTERVAL_S = 0.2  # between messages about progress
_CLOSING_S = 1.0
_LENGTH_BYTES = 8  # before each task
_LAST_LINES, _LAST_CHARS = 20, 300
_log = logging.getLogger(__name__)


class Task(Protocol):
    """What a process can do; it must be possible to pickle it, and what it returns."""

    def run(self, report: Reporter, /) -> object:
        """Do it."""


class Reporter:
    """A task's connection to the parent process.

    Parameters
    ----------
    send : callable
        Takes a message.

    Attributes
    ----------
    cancel : Event
        Set when the parent asks the process to stop.
    memory : dict
        The process's own, which stays for the next task.
    """

    def __init__(self, send: Callable[[Message], object]) -> None:
        self._send, self._sent_at, self._phase = send, 0.0, ""
        self.cancel = threading.Event()
        self.memory: dict[str, Any] = {}

    def send(self, **message: Any) -> None:
        """Send a message."""
        self._send(message)

    def progress(self, done: float, total: float | None, phase: str = "") -> None:
        """Send how much of the running work is done: now and then, and when its phase changes."""
        now = time.monotonic()
        if phase != self._phase or now - self._sent_at >= _INTERVAL_S:
            self._phase, self._sent_at = phase, now
            self.send(progress=(done, total), phase=phase)


class ChildEndedError(PartitaError):
    """A process that ended without an answer.

    Attributes
    ----------
    last_words : str
        The end of what it wrote to standard error; empty after a signal.
    """

    def __init__(self, status: int, last_words: str) -> None:
        self.last_words = "" if status < 0 else last_words
        super().__init__(f"its process {how_ended(status)}")


def how_ended(status: int | None) -> str:
    """Return how a process ended, from its exit status, as ``crashed (signal 11)``."""
    if status == -signal.SIGKILL:
        return "was killed (signal 9), which systems do when memory runs out"
    if status is not None and status < 0:
        return f"crashed (signal {-status})"
    return f"ended with status {status}"


class ChildProcess:
    """The parent's side of a process.

    Parameters
    ----------
    setup : str
        ``module:function``, called in the process before the first task arrives.
    """

    def __init__(self, setup: str = "") -> None:
        root = str(Path(__file__).parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, setup],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for the parent, which ends the process
        )
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._last_words: deque[bytes] = deque(maxlen=_LAST_LINES)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=target, args=(stream,), daemon=True)
            for target, stream in (
                (self._hear, self._process.stdout),
                (self._last_words.extend, self._process.stderr),
            )
        ]
        for reader in self._readers:
            reader.start()

    @property
    def is_alive(self) -> bool:
        """Whether it can take a task."""
        return self._process.poll() is None

    def send(self, task: Task) -> None:
        """Give it a task; if it has ended, `receive` says so."""
        assert self._process.stdin is not None
        data = pickle.dumps(task)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
            self._process.stdin.flush()

    def receive(self, timeout_s: float) -> Message | None:
        """Wait for a message; None: there was none.

        The last one of a task is ``{"done": result}`` or ``{"failed": why}``; ``{"log": (level,
        text)}`` is what it logged; others are the task's own.

        Raises
        ------
        ChildEndedError
        """
        try:
            message = self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if message is None:
            status = self._process.wait()
            self._readers[1].join()
            text = " ".join(b"".join(self._last_words).decode(errors="replace").split())
            raise ChildEndedError(status, text[-_LAST_CHARS:])
        return message

    def end(self, patience_s: float = 0.0) -> None:
        """End the process, whatever it does.

        Parameters
        ----------
        patience_s : float
            How long a task may go on that is asked to stop, see `Reporter.cancel`.
        """
        if patience_s and self.is_alive:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        streams = (self._process.stdout, self._process.stderr)
        for reader, stream in zip(self._readers, streams, strict=True):
            reader.join(_CLOSING_S)
            if stream is not None and not reader.is_alive():  # a grandchild may have it still
                stream.close()

    def _hear(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(EOFError, pickle.UnpicklingError):  # cut off when it was killed
            while True:
                self._messages.put(pickle.load(stream))  # noqa: S301 (of our own process)
        self._messages.put(None)


class _Forward(logging.Handler):
    """Sends log messages to the parent process."""

    def __init__(self, report: Reporter) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report.send(log=(record.levelno, record.getMessage()))


def main(setup: str) -> None:
    """Do what standard input brings; the main function of the process."""
    stream, lock = os.fdopen(os.dup(1), "wb"), threading.Lock()
    os.dup2(2, 1)  # what others print is no message

    def send(message: Message) -> None:
        with lock:
            pickle.dump(message, stream)
            stream.flush()

    report, is_busy = Reporter(send), threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        report.cancel.set()
        if not is_busy.is_set():
            os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_take, args=(tasks,), daemon=True).start()
    if setup:
        module, function = setup.split(":")
        getattr(importlib.import_module(module), function)()
    logger = logging.getLogger("partita")
    logger.setLevel(logging.DEBUG)
    logger.handlers[:] = [_Forward(report)]
    while not report.cancel.is_set():
        pickled = tasks.get()
        is_busy.set()
        send(answer(pickled, report))
        is_busy.clear()
    os._exit(0)  # another thread reads, whose lock Python would wait for


def answer(pickled: bytes, report: Reporter) -> Message:
    """Do a task; return ``{"done": result}``, or ``{"failed": why}``."""
    try:
        task: Task = pickle.loads(pickled)  # noqa: S301 (of the parent process)
        return {"done": task.run(report)}
    except PartitaError as error:
        return {"failed": str(error)}
    except (InterruptedError, KeyboardInterrupt):
        return {"failed": "interrupted"}
    except Exception as error:
        _log.debug("traceback", exc_info=True)
        return {"failed": unexpected(error)}


def _take(tasks: queue.SimpleQueue[bytes]) -> None:
    """Read tasks, which import nothing in this thread; end with the parent."""
    stream = sys.stdin.buffer
    while head := stream.read(_LENGTH_BYTES):
        tasks.put(stream.read(int.from_bytes(head, "big")))
    os._exit(1)
