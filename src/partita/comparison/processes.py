"""A process for each entrant: what it needs is its own, and its crash stops no other."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from partita.child_process import ChildEndedError, ChildProcess, Task

_SETUP = "partita.training.process:prepare_process"
_AWAKE_S = 0.2
_PATIENCE_S = 30.0  # of a training that saves its state


def messages_of(job: Task) -> Generator[dict[str, Any], None, None]:
    """Run a job in a process of its own; yield its messages.

    The last message is ``{"ended": why}``, empty after success. When the generator is closed, the
    process is asked to stop.
    """
    process = ChildProcess(_SETUP)
    try:
        process.send(job)
        while True:
            message = process.receive(_AWAKE_S)  # never sleeping for long: signals are heard
            if message is None:
                continue
            if "done" in message or "failed" in message:
                yield {"ended": message.get("failed", "")}
                return
            yield message
    except ChildEndedError as error:
        yield {"ended": ": ".join(filter(None, [str(error), error.last_words]))}
    finally:
        process.end(_PATIENCE_S)
