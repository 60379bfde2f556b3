"""Whole songs from stores: fetched by ranges into a temporary file."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any

from partita.audio.work_folder import work_folder
from partita.catalogue.files import NoSongError, SourceChangedError
from partita.catalogue.transport.addresses import key_of, safe_path, scheme_of, shown
from partita.catalogue.transport.faults import Patience, retried
from partita.catalogue.transport.filesystems import PART_BYTES, file_system, path_of
from partita.catalogue.transport.listing import version_of
from partita.catalogue.transport.ranged import open_ranges, read_range

#: Longer files are no songs; 32-bit stereo at 96 kHz is as long as 6 hours.
MOST_BYTES = 16 << 30
#: Left free on the disk of the worker, for the stems' blocks.
_SPARE_BYTES = 64 << 20


@contextlib.contextmanager
def fetched(address: str, version: str, patience: Patience) -> Iterator[Path]:
    """Give a temporary file with a song's bytes.

    Parameters
    ----------
    address : str
    version : str
        That is expected; empty: any.
    patience : Patience

    Raises
    ------
    SourceChangedError
        It has another version, or changed while it was fetched.
    OSError
        The store cannot be reached, or the disk of this machine is full.
    """
    with work_folder(Path(tempfile.gettempdir())) as folder, ExitStack() as stack:
        if scheme_of(address).startswith("http"):
            facts = _asked(address, patience)
            has_ranges = facts["size"] is not None and facts.get("partial", True)
            options = {"size": facts["size"]}
            opening = partial(open_ranges, address, PART_BYTES, "none", options)
            file = retried(opening, address, patience) if has_ranges else None
        else:
            file = retried(partial(open_ranges, address, PART_BYTES, "none"), address, patience)
            facts = file.details
        if file is not None:
            stack.enter_context(contextlib.closing(file))
        size, found = facts["size"], version_of(facts)
        if version and found != version:
            raise _changed(address)
        _check_size(address, size, folder)
        path = folder / "song" / safe_path(key_of(address).rpartition("/")[2])
        path.parent.mkdir()
        with path.open("wb") as out:
            if file is None or not _fetch(file, size, out, address, patience):
                retried(partial(_stream, address, out), address, patience)
        if size is not None and path.stat().st_size != size:
            raise _changed(address)
        # S3 and Google compare with each range.
        if scheme_of(address).startswith("http") and version_of(_asked(address, patience)) != found:
            raise _changed(address)
        yield path


def _asked(address: str, patience: Patience) -> dict[str, Any]:
    facts: dict[str, Any] = retried(
        lambda: file_system(address).info(path_of(address)), address, patience
    )
    return facts


def _changed(address: str) -> SourceChangedError:
    return SourceChangedError(errno.ESTALE, "was changed", shown(address))


def _check_size(address: str, size: int | None, folder: Path) -> None:
    """Refuse what is no song, or does not fit on the disk, before anything is fetched."""
    if size == 0:
        raise NoSongError(errno.EINVAL, "the file is empty (0 bytes)", shown(address))
    if size is not None and size > MOST_BYTES:
        raise NoSongError(errno.EFBIG, f"is larger than {MOST_BYTES >> 30} GiB", shown(address))
    if size is not None and size + _SPARE_BYTES > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _fetch(file: Any, size: int, out: IO[bytes], address: str, patience: Patience) -> bool:
    """Fetch by ranges; False: the server gives whole files only."""
    for start in range(0, size, PART_BYTES):
        count = min(PART_BYTES, size - start)
        try:
            data = retried(partial(read_range, file, start, count), address, patience)
        except OSError as error:
            if start and isinstance(error.__cause__, ValueError):  # fsspec's, for web servers
                return False
            raise
        out.write(data)
    return True


def _stream(address: str, out: IO[bytes]) -> None:
    """Fetch a file in one answer, from its beginning."""
    out.seek(0)
    out.truncate()
    with file_system(address).open(path_of(address), "rb", block_size=0) as source:
        while chunk := source.read(1 << 20):
            if out.tell() + len(chunk) > MOST_BYTES:
                raise NoSongError(errno.EFBIG, f"is larger than {MOST_BYTES >> 30} GiB")
            out.write(chunk)
