"""Input that can be read only once, kept in a temporary file because containers need to seek."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from partita.errors import AudioReadError, one_line

STANDARD_INPUT = "standard input"
_DESCRIPTOR = re.compile(r"/dev/fd/(\d+)|/proc/(?:self|\d+)/fd/(\d+)")
#: What a device may give: endless ones would fill the disk.
_MAX_DEVICE_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20


def is_readable_once(path: Path) -> bool:
    """Tell whether a path is a pipe, a socket or a device."""
    mode = path.stat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def spool_standard_input() -> IO[bytes]:
    """Copy standard input to a temporary file.

    Raises
    ------
    AudioReadError
        It is closed, empty, or does not fit.
    """
    if sys.stdin is None:
        raise AudioReadError(f"{STANDARD_INPUT}: is closed")
    return _spooled(sys.stdin.buffer, STANDARD_INPUT, None)


def spool_path(path: Path, name: str) -> IO[bytes]:
    """Copy what comes out of a pipe, socket or device to a temporary file.

    Raises
    ------
    AudioReadError
        It cannot be read, is empty, endless, or does not fit.
    """
    try:
        mode = path.stat().st_mode
        with _open_once(path) as source:
            limit = _MAX_DEVICE_BYTES if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else None
            return _spooled(source, name, limit)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioReadError(f"{name}: cannot be read: {one_line(reason)}") from None


def _open_once(path: Path) -> IO[bytes]:
    """Open a path; a descriptor is duplicated, since sockets cannot be opened by name."""
    descriptor = 0 if str(path) == "/dev/stdin" else None
    match = _DESCRIPTOR.fullmatch(str(path))
    if match:
        descriptor = int(match[1] or match[2])
    if descriptor is None:
        return path.open("rb")
    return os.fdopen(os.dup(descriptor), "rb")


def _spooled(source: Any, name: str, limit: int | None) -> IO[bytes]:
    spool = tempfile.NamedTemporaryFile(prefix="partita-input-")  # noqa: SIM115 (the reader closes it)
    try:
        if limit is None:
            shutil.copyfileobj(source, spool, _CHUNK_BYTES)
        else:
            while spool.tell() <= limit and (chunk := source.read(_CHUNK_BYTES)):
                spool.write(chunk)
            if spool.tell() > limit:
                raise AudioReadError(f"{name}: is a device that gives more than 1 GiB: not a song")
        spool.flush()
        if not spool.tell():
            raise AudioReadError(f"{name}: is empty (0 bytes)")
        return spool
    except OSError as error:
        spool.close()
        reason = one_line(error.strerror or error)
        folder = tempfile.gettempdir()
        raise AudioReadError(
            f"{name}: cannot be kept in {folder}: {reason}; TMPDIR names another folder"
        ) from None
    except BaseException:
        spool.close()
        raise
