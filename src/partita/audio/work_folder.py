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
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = filelock.FileLock(folder / _LOCK)
    try:
        with lock:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        path = folder / _LOCK
        if not path.exists():  # another run that is just starting, or nothing of ours
            continue
        with contextlib.suppress(filelock.Timeout, OSError), filelock.FileLock(path, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
