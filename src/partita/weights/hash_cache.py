"""SHA-256 of files and of what is in them, cached for large files while they do not change.

A record is valid while the file has the same device, inode, size, modification time and change
time. The kernel sets the change time on every write, replacement and change of times, and no
program can choose it. Only files that have not changed for ten minutes are recorded, since a change
time is not reliable while a file is being written: clocks tick, and memory-mapped pages are written
later. On systems without a change time (Windows), nothing is cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from partita.errors import WeightsUnavailableError
from partita.files import whole_file
from partita.weights.cache_folder import cache_folder
from partita.weights.download import file_sha256

_HAS_CHANGE_TIME = os.name == "posix"
_LEAST_BYTES = 20_000_000  # smaller files are hashed in hundredths of a second
_SETTLED_S = 600


def cached_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content; for large files it is cached.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    return cached_digest(path, lambda: file_sha256(path))


def cached_digest(path: Path, compute: Callable[[], str], *, kind: str = "") -> str:
    """Return a digest of a file; for large files it is cached.

    Parameters
    ----------
    path : Path
    compute : callable
        Computes it; called if it is not known.
    kind : str
        What is digested, part of a file name; empty: the bytes.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    before = _facts(path)
    if not _HAS_CHANGE_TIME or path.stat().st_size < _LEAST_BYTES:
        return compute()
    record = _record(path, kind)
    if record is not None and (known := _known(record, before)):
        return known
    digest = compute()
    if record is not None and _facts(path) == before and _is_settled(path):
        with contextlib.suppress(OSError):  # without a writable cache it only takes longer
            record.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(record) as partial:
                partial.write_text(json.dumps({"file": before, "sha256": digest}))
    return digest


def _facts(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _is_settled(path: Path) -> bool:
    found = path.stat()
    return time.time() - max(found.st_mtime, found.st_ctime) > _SETTLED_S


def _record(path: Path, kind: str) -> Path | None:
    """Return the path of a file's record; None: no cache."""
    try:
        name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
        return cache_folder() / "digests" / f"{name[:32]}{kind and '-'}{kind}.json"
    except (OSError, WeightsUnavailableError):
        return None


def _known(record: Path, facts: list[int]) -> str:
    """Return the digest of a record for these facts; empty: none."""
    try:
        said = json.loads(record.read_text())
        if said["file"] == facts and isinstance(said["sha256"], str):
            return str(said["sha256"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    return ""
