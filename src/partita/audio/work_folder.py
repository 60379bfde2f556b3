"""A hidden folder beside the outputs where files wait until they are complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock

_PREFIX = ".partita-"
_LOCK = "lock"
_PATIENCE_S = 2.0  # for another run that holds the lock while it cleans up


@contextlib.contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Make a folder under `parent`, and remove it in the end.

    It is under the output folder so that finished files can be renamed. Folders of killed runs are
    removed first: their locks ended with their processes.
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
    """Make a folder and lock it; another run may remove it before it is locked.

    On file systems without locks it stays unlocked, and no run removes folders.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = filelock.FileLock(folder / _LOCK, thread_local=False, timeout=_PATIENCE_S)
        with contextlib.suppress(OSError, NotImplementedError):
            lock.acquire()
        if (folder / _LOCK).exists() or (folder.exists() and not lock.is_locked):
            return folder, lock
        lock.release()


def _sweep(parent: Path) -> None:
    """Remove the folders of killed runs, as far as permissions allow."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX):
                with contextlib.suppress(OSError, NotImplementedError):
                    _sweep_folder(entry)


def _sweep_folder(entry: os.DirEntry[str]) -> None:
    facts = entry.stat(follow_symlinks=False)
    is_ours = not hasattr(os, "geteuid") or facts.st_uid == os.geteuid()
    path = Path(entry.path) / _LOCK
    # A folder without a lock is that of a starting run, or not ours. A link as lock could make us
    # open or empty a file elsewhere.
    if not (stat.S_ISDIR(facts.st_mode) and is_ours and path.is_file()) or path.is_symlink():
        return
    with filelock.FileLock(path, timeout=0):
        shutil.rmtree(entry.path, ignore_errors=True)
