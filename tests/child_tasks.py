"""Tasks for tests of processes, which import them from here."""

import logging
import os
import signal
import time
from dataclasses import dataclass

from partita.errors import UsageError


@dataclass(frozen=True)
class Count:
    """Counts how often it was done by this process."""

    def run(self, report):
        report.memory["count"] = report.memory.get("count", 0) + 1
        report.progress(1, 2, "counting")
        logging.getLogger("partita.tasks").info("counted")
        print("no message")
        return report.memory["count"], os.getpid()


@dataclass(frozen=True)
class Fail:
    error: Exception

    def run(self, _report):
        raise self.error


@dataclass(frozen=True)
class Die:
    number: int

    def run(self, _report):
        os.kill(os.getpid(), self.number)
        time.sleep(60)


@dataclass(frozen=True)
class Exit:
    def run(self, _report):
        os.write(2, b"the last words\n")
        os._exit(3)


@dataclass(frozen=True)
class Wait:
    """Waits to be asked to stop; says that it has begun."""

    heeds: bool = True

    def run(self, report):
        report.send(pid=os.getpid())
        while not (self.heeds and report.cancel.is_set()):
            time.sleep(0.01)
        report.send(saved=True)
        raise InterruptedError


class Unreadable:
    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise UsageError("nobody reads this")


SIGKILL = signal.SIGKILL
