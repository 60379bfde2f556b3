"""A hidden folder beside the outputs where files wait until they are complete."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock

_PREFIX = ".partita-"
_LOCK = "lock"


@contextlib.contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Make a folder of our own under `parent` and remove it, whatever happens.

    It lies under the output folder so that a finished file moves to its final name in one step.
    Folders of runs that were killed are swept away first: their locks went with their processes.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    folder, lock = _locked_folder(parent)
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(parent: Path) -> tuple[Path, filelock.BaseFileLock]:
    """Make a folder and lock it; another run may sweep it away before the lock is held."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = filelock.FileLock(folder / _LOCK, thread_local=False)
        try:
            lock.acquire()
        except FileNotFoundError:
            continue
        if (folder / _LOCK).exists():
            return folder, lock
        lock.release()


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        path = folder / _LOCK
        if not path.exists():  # another run that is just starting, or nothing of ours
            continue
        with contextlib.suppress(filelock.Timeout, OSError), filelock.FileLock(path, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
