"""The command line: parse, call one library function, print."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from partita.cli.quick import is_being_imported, quick

_INTERRUPTED, _TERMINATED = 130, 143
#: What the handlers raise → the signal.
_SIGNALS = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}


def main() -> NoReturn:
    """Run the command line and exit with 0: all done, 1: something failed, 2: wrong usage.

    Everything else is imported here, so that Ctrl-C never prints a traceback.
    """
    with quick(sys.argv[1:]):
        _run()


def _run() -> NoReturn:
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, _interrupt)
    sys.unraisablehook = _send_again
    _open_streams()
    try:
        from partita.cli.app import run

        status = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except OSError as error:  # the reader of our output has ended, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"partita: cannot write the output: {error.strerror}", file=sys.stderr)
        status = 1
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end_at_once)
    if status == _INTERRUPTED:
        print("partita: interrupted", file=sys.stderr)
    sys.exit(status)


def _open_streams() -> None:
    """Make sure that both streams are open and that any file name can be printed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, or exit at once while PyTorch is being imported.

    PyTorch's C++ code aborts on exceptions during its import. No file is open by then.
    """
    if is_being_imported(sys.modules.get("torch")):
        os.write(2, b"partita: interrupted\n")
        os._exit(_INTERRUPTED)
    signal.default_int_handler(number, frame)


def _end_at_once(number: int, _frame: object) -> NoReturn:
    """Exit at once: during shutdown, Python would print exceptions of signal handlers."""
    os._exit(128 + number)


def _send_again(lost: sys.UnraisableHookArgs) -> None:
    """Send a signal again whose exception came in a destructor or callback, where it is lost."""
    number = _SIGNALS.get(lost.exc_type)
    if number is None:
        sys.__unraisablehook__(lost)
        return
    # From another thread, and later: in here its exception would be lost as well.
    again = threading.Timer(0.01, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _terminate(*_: object) -> NoReturn:
    sys.exit(_TERMINATED)  # an exception, so that unfinished files are removed on the way out
