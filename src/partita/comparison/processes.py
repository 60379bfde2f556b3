"""Child processes: what an entrant needs is its own, and its crash stops no other."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, Any

import partita

_MODULE = "partita.comparison.child"
_AWAKE_S = 0.2
_PATIENCE_S = 30.0  # of a training that saves its state
_LAST_LINES, _LAST_CHARS = 20, 300


def messages_of(job: object) -> Generator[dict[str, Any], None, None]:
    """Run a job in a process of its own; yield its messages.

    The last message is ``{"ended": why}``, empty after success. When the generator is closed, the
    process is asked to stop.

    Parameters
    ----------
    job : object
        Can be pickled; its method ``run`` gets a `child.Reporter`.
    """
    root = str(Path(partita.__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # Ctrl-C is for the parent, which asks the child to stop
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    last_words: deque[bytes] = deque(maxlen=_LAST_LINES)
    readers = [
        threading.Thread(target=_read, args=(process.stdout, lines.put), daemon=True),
        threading.Thread(target=_read, args=(process.stderr, last_words.append), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(job, process.stdin)
            process.stdin.flush()
        failure = ""
        while (message := _next(lines)) is not None:
            failure = message.pop("failed", failure)
            if message:
                yield message
        status = process.wait()
        if status and not failure:
            readers[1].join()
            failure = _why(status, b"".join(last_words))
        yield {"ended": failure}
    finally:
        _stop(process)


def _read(stream: IO[bytes], take: Callable[[bytes], object]) -> None:
    for line in stream:
        take(line)
    take(b"")


def _next(lines: queue.SimpleQueue[bytes]) -> dict[str, Any] | None:
    """Wait for a line, never sleeping for long, so that signals are heard; None: no more."""
    while True:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=_AWAKE_S)
            message: dict[str, Any] | None = json.loads(line) if line else None
            return message


def _why(status: int, last_words: bytes) -> str:
    """Return why a process ended without saying it."""
    if status == -signal.SIGKILL:
        return "its process was killed (signal 9), which systems do when memory runs out"
    if status < 0:
        return f"its process crashed (signal {-status})"
    text = " ".join(last_words.decode(errors="replace").split())
    return f"its process ended with status {status}: {text[-_LAST_CHARS:]}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to stop, then make it."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
        process.kill()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()
