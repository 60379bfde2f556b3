"""Input that can be read only once, copied to a temporary file, because containers need to seek."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

from partita.errors import AudioReadError, one_line
from partita.threads import call_awake

STANDARD_INPUT = "standard input"
_DESCRIPTOR = re.compile(r"/dev/fd/(\d+)|/proc/(?:self|\d+)/fd/(\d+)")
#: Largest input from a device: endless ones would fill the disk.
_MAX_DEVICE_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20


def is_readable_once(path: Path) -> bool:
    """Return whether a path is a pipe, a socket or a device."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def spool_standard_input(cancel: threading.Event | None = None) -> IO[bytes]:
    """Copy standard input to a temporary file.

    Parameters
    ----------
    cancel : Event, optional
        Once it is set, waiting ends with InterruptedError.

    Raises
    ------
    AudioReadError
        It is closed, empty, or does not fit.
    """
    if sys.stdin is None:
        raise AudioReadError(f"{STANDARD_INPUT}: is closed")
    return _spooled(_standard_input, STANDARD_INPUT, None, cancel)


def spool_path(path: Path, name: str, cancel: threading.Event | None = None) -> IO[bytes]:
    """Copy the content of a pipe, socket or device to a temporary file.

    Parameters
    ----------
    path : Path
    name : str
        Its name in messages.
    cancel : Event, optional
        As for `spool_standard_input`.

    Raises
    ------
    AudioReadError
        It cannot be read, is empty, endless, or does not fit.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    limit = _MAX_DEVICE_BYTES if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else None
    return _spooled(partial(_open_once, path), name, limit, cancel)


def _standard_input() -> IO[bytes]:
    try:
        return _duplicate(sys.stdin.fileno())
    except io.UnsupportedOperation:  # sys.stdin was replaced by the program
        return io.BytesIO(sys.stdin.buffer.read())


def _open_once(path: Path) -> IO[bytes]:
    """Open a path; a descriptor is duplicated, since sockets cannot be opened by name."""
    descriptor = 0 if str(path) == "/dev/stdin" else None
    match = _DESCRIPTOR.fullmatch(str(path))
    if match:
        descriptor = int(match[1] or match[2])
    return path.open("rb", buffering=0) if descriptor is None else _duplicate(descriptor)


def _duplicate(descriptor: int) -> IO[bytes]:
    # Unbuffered: at exit, Python would wait for the buffer's lock, which a thread may hold.
    return os.fdopen(os.dup(descriptor), "rb", buffering=0)


def _spooled(
    open_source: Callable[[], IO[bytes]],
    name: str,
    limit: int | None,
    cancel: threading.Event | None,
) -> IO[bytes]:
    """Open and copy; both may block forever, if nobody writes."""
    spool = tempfile.NamedTemporaryFile(prefix="partita-input-")  # noqa: SIM115 (the reader closes it)

    def copy() -> None:
        try:
            source = open_source()
        except (OSError, ValueError) as error:
            raise _unreadable(name, error) from None
        with source:
            _copy(source, spool, name, limit)

    try:
        call_awake(copy, None if cancel is None else cancel.is_set)
        spool.flush()
        if not spool.tell():
            raise AudioReadError(f"{name}: is empty (0 bytes)")
        return spool
    except BaseException as error:
        spool.close()
        if isinstance(error, OSError) and not isinstance(error, InterruptedError):
            raise _unkept(name, error) from None
        raise


def _copy(source: IO[bytes], spool: IO[bytes], name: str, limit: int | None) -> None:
    """Copy all of a source, up to a limit."""
    while True:
        try:
            chunk = source.read(_CHUNK_BYTES)
        except OSError as error:
            raise _unreadable(name, error) from None
        if not chunk:
            return
        if limit is not None and spool.tell() + len(chunk) > limit:
            raise AudioReadError(f"{name}: is a device that gives more than 1 GiB: not a song")
        spool.write(chunk)


def _unreadable(name: str, error: Exception) -> AudioReadError:
    reason = getattr(error, "strerror", None) or error
    return AudioReadError(f"{name}: cannot be read: {one_line(reason)}")


def _unkept(name: str, error: OSError) -> AudioReadError:
    reason = one_line(error.strerror or error)
    folder = tempfile.gettempdir()
    return AudioReadError(
        f"{name}: cannot be kept in {folder}: {reason}; TMPDIR names another folder"
    )
