"""The command line: parse, call one library function, print."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

_INTERRUPTED, _TERMINATED = 130, 143


def main() -> NoReturn:
    """Run the command line and exit: 0 all done, 1 something failed, 2 wrong usage.

    Everything else is imported in here, so that Ctrl-C is no traceback from the first moment on.
    """
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):  # names of files may hold anything
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        from partita.cli.app import run

        status = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    if status == _INTERRUPTED:
        print("partita: interrupted", file=sys.stderr)
    sys.exit(status)


def _terminate(*_: object) -> NoReturn:
    sys.exit(_TERMINATED)  # an exception, so that unfinished files are removed on the way out
