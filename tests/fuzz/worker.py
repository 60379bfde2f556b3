"""The process that tries inputs, so that crashes, hangs and floods of memory are findings too.

Reads lines of JSON, ``[target, path]``, from standard input and answers each with a line.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import logging
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

from partita.errors import PartitaError

_ADDRESSES = 4 << 30  # what a process may ask for beyond what it has: the machine survives


def main() -> None:
    module, hang_s, crash_log = sys.argv[1:]
    # Native libraries write to standard output when they like: the answers have another.
    answers = os.fdopen(os.dup(1), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    logging.disable()
    targets = importlib.import_module(module).TARGETS
    limit = _memory("VmSize") + _ADDRESSES
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    with Path(crash_log).open("w") as log:
        faulthandler.enable(log)
        for line in sys.stdin:
            name, path = json.loads(line)
            print(
                json.dumps(_try(targets[name].run, Path(path), int(hang_s))),
                file=answers,
                flush=True,
            )


def _try(run: Any, path: Path, hang_s: int) -> dict[str, Any]:
    before = _memory("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + hang_s + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    outcome, text = "read", ""
    try:
        run(path)
    except PartitaError as error:
        outcome, text = "refused", str(error)
        if "\n" in text or not text:
            outcome = "exception"
            text = f"a message of {text.count(chr(10)) + 1} lines: {text!r}"
    except BaseException:
        outcome, text = "exception", traceback.format_exc()
    peak = _memory("VmHWM")
    return {"outcome": outcome, "text": text, "memory": max(0, peak - before)}


def _memory(key: str) -> int:
    """Return a line of Linux's facts on this process, in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # other systems know the peak only
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(status.split(f"{key}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
