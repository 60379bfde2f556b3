"""What keeps one song from being done, by kind."""

from __future__ import annotations

import errno
import os

from partita.catalogue.files import NoSongError, SourceChangedError
from partita.catalogue.records import FailureKind
from partita.errors import AudioWriteError, PartitaError, one_line, unexpected

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class SongError(Exception):
    """What keeps one song from being done.

    Parameters
    ----------
    kind : str
    cause : str
        One line.
    """

    def __init__(self, kind: FailureKind, cause: str) -> None:
        super().__init__(cause)
        self.kind, self.cause = kind, cause


def song_error(error: Exception, address: str) -> SongError:
    """Return what an exception means for the song at an address."""
    name = one_line(address)
    return SongError(_kind_of(error), f"{name}: {_text_of(error).removeprefix(f'{name}: ')}")


def _kind_of(error: Exception) -> FailureKind:
    is_writing = isinstance(error, AudioWriteError)
    cause = error.__cause__ if is_writing else error
    number = cause.errno if isinstance(cause, OSError) else None
    kinds: tuple[tuple[FailureKind, bool], ...] = (
        ("memory", isinstance(error, MemoryError) or "not enough memory" in str(error).lower()),
        ("changed", isinstance(error, SourceChangedError)),
        ("unreadable", isinstance(error, NoSongError)),
        ("disk", number in _DISK),
        ("missing", isinstance(error, FileNotFoundError)),
        ("denied", number in _DENIED or isinstance(cause, PermissionError)),
        ("target", is_writing),
        ("unreadable", isinstance(error, PartitaError)),
        ("store", isinstance(error, OSError)),
    )
    return next((kind for kind, applies in kinds if applies), "unexpected")


def _text_of(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):  # stores say more
        own = error.strerror not in (None, os.strerror(errno.EACCES), os.strerror(errno.EPERM))
        return one_line(error.strerror) if own else "permission denied"
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError):
        return one_line(error.strerror or error)
    if isinstance(error, PartitaError):
        return str(error)
    return unexpected(error)
