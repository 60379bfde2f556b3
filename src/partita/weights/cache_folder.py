"""The cache folder. Nothing here imports PyTorch."""

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
_ADVICE = "set PARTITA_HOME to a folder of your own"


def cache_folder() -> Path:
    """Return the cache folder: ``PARTITA_HOME``, by default the platform's folder for caches.

    Without a writable home folder (user IDs without an account in containers), it is a private
    folder in the temporary folder, with one warning.

    Raises
    ------
    WeightsUnavailableError
        The temporary folder cannot be used either.
    """
    if named := os.environ.get("PARTITA_HOME"):
        return Path(named)
    try:
        usual = Path(platformdirs.user_cache_dir("partita"))
    except RuntimeError:  # neither HOME nor a user account
        return _private_folder("there is no home folder")
    if not usual.is_absolute():  # older versions of platformdirs return ~ as it is
        return _private_folder("there is no home folder")
    if exists(usual) or os.access(existing_folder(usual), os.W_OK | os.X_OK):
        return usual
    return _private_folder(f"{one_line(usual)} cannot be created")


def existing_folder(path: Path) -> Path:
    """Return the path, or its first parent that exists."""
    return next((each for each in (path, *path.parents) if exists(each)), Path("/"))


def home_folder() -> Path:
    """Return the user's home folder; the root folder if there is none."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


@contextlib.contextmanager
def writing_cache() -> Iterator[None]:
    """Turn errors of writing the cache into one line that says what to do.

    Raises
    ------
    WeightsUnavailableError
        Instead of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise WeightsUnavailableError(
            f"the cache {one_line(cache_folder())} cannot be written ({reason}): "
            "free some space, or set PARTITA_HOME to another folder"
        ) from error


@functools.cache
def _private_folder(why: str) -> Path:
    """Return a folder in the temporary folder that only the user can read and write."""
    try:
        folder = Path(tempfile.gettempdir()) / f"partita-{_user()}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != _user():
            raise WeightsUnavailableError(f"{one_line(folder)} belongs to another user: {_ADVICE}")
        if stat.S_IMODE(found.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise WeightsUnavailableError(
            f"{why}, and the temporary folder is not writable ({reason}): {_ADVICE}"
        ) from error
    _log.warning(
        "%s: weights are kept in %s; PARTITA_HOME sets another folder", why, one_line(folder)
    )
    return folder


def _user() -> int:
    """Return the user ID; systems without one have private temporary folders."""
    return os.geteuid() if hasattr(os, "geteuid") else 0
