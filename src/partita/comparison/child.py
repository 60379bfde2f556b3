"""The process of one entrant: ``python -m partita.comparison.child``, started by `processes`.

Standard input brings a job and stays open: when it ends, the parent process has ended. Messages go
to standard output, a JSON object a line.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import sys
import threading
import time
from types import FrameType
from typing import IO, Any

from partita.training.process import prepare_process

_INTERVAL_S = 0.2  # between messages about progress


class Reporter:
    """Sends messages to the parent process.

    Attributes
    ----------
    cancel : Event
        Set when the parent asks this process to stop.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._lock, self._sent_at = stream, threading.Lock(), 0.0
        self.cancel = threading.Event()

    def send(self, **message: Any) -> None:
        """Send a message."""
        with self._lock:
            self._stream.write(json.dumps(message) + "\n")
            self._stream.flush()

    def progress(self, done: float, total: float | None) -> None:
        """Send how much of the running work is done, now and then."""
        if time.monotonic() - self._sent_at >= _INTERVAL_S:
            self._sent_at = time.monotonic()
            self.send(progress=[done, total])


class _Forward(logging.Handler):
    """Sends log messages to the parent process."""

    def __init__(self, report: Reporter) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report.send(log=[record.levelno, record.getMessage()])


def main() -> None:
    """Run the job on standard input."""
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what others print is no message
    prepare_process()
    report = Reporter(messages)

    def stop(_number: int, _frame: FrameType | None) -> None:
        report.cancel.set()

    signal.signal(signal.SIGTERM, stop)
    logger = logging.getLogger("partita")
    logger.setLevel(logging.DEBUG)
    logger.handlers[:] = [_Forward(report)]
    job = pickle.load(sys.stdin.buffer)  # noqa: S301 (of the parent process)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from partita.errors import PartitaError, one_line

    try:
        job.run(report)
    except PartitaError as error:
        report.send(failed=str(error))
    except (InterruptedError, KeyboardInterrupt):
        report.send(failed="interrupted")
    except Exception as error:
        logger.debug("traceback", exc_info=True)
        report.send(failed=one_line(f"failed unexpectedly ({type(error).__name__}: {error})"))


def _end_with_parent() -> None:
    os.read(0, 1)  # not through Python's stream, whose lock this thread would hold at the end
    os._exit(1)


if __name__ == "__main__":
    main()
