"""Where partita keeps what it fetches and remembers. Nothing here imports PyTorch."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from partita.errors import WeightsUnavailableError, one_line
from partita.files import exists

_log = logging.getLogger(__name__)
_ADVICE = "name a folder of yours in PARTITA_HOME"


def cache_folder() -> Path:
    """Return the cache folder: ``PARTITA_HOME``, or the platform's own place for caches.

    Where there is no home folder, as for bare user numbers in containers, or none that can be
    written to, it is a private folder below the temporary one, which is said once.

    Raises
    ------
    WeightsUnavailableError
        There is no such folder either.
    """
    if named := os.environ.get("PARTITA_HOME"):
        return Path(named)
    try:
        usual = Path(platformdirs.user_cache_dir("partita"))
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return _private_folder("there is no home folder")
    if not usual.is_absolute():  # older versions of platformdirs return ~ as it is
        return _private_folder("there is no home folder")
    if exists(usual) or os.access(existing_folder(usual), os.W_OK | os.X_OK):
        return usual
    return _private_folder(f"{one_line(usual)} cannot be made")


def existing_folder(path: Path) -> Path:
    """Return the path itself, or the first folder above it that is there."""
    return next((each for each in (path, *path.parents) if exists(each)), Path("/"))


def home_folder() -> Path:
    """Return the user's home folder; where there is none, the root, which holds nothing of ours."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


@contextlib.contextmanager
def writing_cache() -> Iterator[None]:
    """Say in one line that the cache cannot be written, and what to do.

    Raises
    ------
    WeightsUnavailableError
        In the place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise WeightsUnavailableError(
            f"the cache {one_line(cache_folder())} cannot be written ({reason}): "
            "free some space, or name another folder in PARTITA_HOME"
        ) from error


@functools.cache
def _private_folder(why: str) -> Path:
    """Return a folder below the temporary one that nobody else can write to or read."""
    try:
        folder = Path(tempfile.gettempdir()) / f"partita-{_user()}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != _user():
            raise WeightsUnavailableError(f"{one_line(folder)} is somebody else's: {_ADVICE}")
        if stat.S_IMODE(found.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise WeightsUnavailableError(
            f"{why}, nor can the temporary folder be written to ({reason}): {_ADVICE}"
        ) from error
    _log.warning(
        "%s: weights are kept in %s; PARTITA_HOME names another place", why, one_line(folder)
    )
    return folder


def _user() -> int:
    """Return the user's number; systems that have none keep temporary folders private."""
    return os.geteuid() if hasattr(os, "geteuid") else 0
