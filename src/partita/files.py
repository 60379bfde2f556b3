"""Files that appear whole or not at all, also when the power fails."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

_SUFFIX = ".partial"
_HEAD_CHARS = 40
#: Nothing is written to for that long without a change: who wrote it was killed.
_ABANDONED_S = 24 * 3600
#: What file systems answer that cannot put a file on the disk at once.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


def folded(path: str | Path) -> str:
    """Return what is equal for names or paths that some file systems take for one.

    They tell neither upper case from lower case nor Unicode's composed form from the decomposed.
    """
    return unicodedata.normalize("NFD", unicodedata.normalize("NFC", str(path)).lower())


def exists(path: Path) -> bool:
    """Tell whether a path exists; False also where permissions hide it."""
    try:
        path.stat()
    except OSError:  # PermissionError too, which Path.exists raises
        return False
    return True


def part_of_path(name: str) -> str:
    """Make a name safe as one part of a path."""
    name = name.replace("/", "_").replace(os.sep, "_").replace("\0", "_")
    return "_" * max(len(name), 1) if name.strip(".") == "" else name


def plain_name(text: str, most_chars: int = 48) -> str:
    """Return a name of ASCII letters, digits and hyphens, for any file system and any URL.

    Accents are dropped; empty if nothing is left.
    """
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", letters).strip("-")[:most_chars].rstrip("-")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` in the end.

    Where something is raised, also by Ctrl-C, nothing new is left and what was there stays. The
    file is on the disk before it gets its name. It lies in a hidden folder of its own beside
    `path`: two writers never share one, and nobody else can put a link there. Its permissions are
    those that the process gives to new files.

    Parameters
    ----------
    path : Path
        In a folder that is there.

    Raises
    ------
    OSError
        The folder cannot be written to, or nothing was written.
    """
    head = f".{path.name[:_HEAD_CHARS]}."
    _sweep(path.parent, head)
    folder = Path(tempfile.mkdtemp(prefix=head, suffix=_SUFFIX, dir=path.parent))
    try:
        partial = folder / path.name
        yield partial
        _open_to_others(partial)
        put_in_place(partial, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; one that holds that text already is left alone.

    Raises
    ------
    OSError
        The folder cannot be made or written to.
    """
    data = text.encode("utf-8")
    with contextlib.suppress(OSError):
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_bytes(data)


def put_in_place(partial: Path, path: Path) -> None:
    """Give a complete file its final name, so that a power cut leaves it whole or not there.

    Parameters
    ----------
    partial, path : Path
        On one file system; what is at `path` is replaced.

    Raises
    ------
    OSError
        It cannot be put on the disk, or not be moved.
    """
    sync_file(partial)
    partial.replace(path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk.

    Raises
    ------
    OSError
        The disk is full or broken. File systems that cannot wait raise nothing.
    """
    try:
        _sync(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, on systems that can do that."""
    with contextlib.suppress(OSError):
        _sync(path, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_to_others(partial: Path) -> None:
    """Give a file the permissions of new files: some libraries write for their owner only."""
    found = partial.stat().st_mode
    fresh = partial.with_name("fresh.permissions")
    fresh.touch()
    usual = stat.S_IMODE(fresh.stat().st_mode)
    if stat.S_IMODE(found) != usual:
        partial.chmod(usual)


def _sweep(folder: Path, head: str) -> None:
    """Remove what killed writers of the same file left."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not (entry.name.startswith(head) and entry.name.endswith(_SUFFIX)):
                continue
            with contextlib.suppress(OSError):
                changed = max(each.lstat().st_mtime for each in _with_content(Path(entry.path)))
                if time.time() - changed > _ABANDONED_S and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _with_content(folder: Path) -> list[Path]:
    return [folder, *folder.iterdir()]
