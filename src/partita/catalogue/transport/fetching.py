"""Whole songs from stores: fetched by ranges into a temporary file."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from partita.catalogue.files import Listed
from partita.catalogue.transport.addresses import file_name, safe_path, shown
from partita.catalogue.transport.faults import Patience, SourceChangedError, retried
from partita.catalogue.transport.filesystems import PART_BYTES, file_system, path_of
from partita.catalogue.transport.ranged import open_ranges, read_range

#: Longer files are no songs; 32-bit stereo at 96 kHz is as long as 6 hours.
MOST_BYTES = 16 << 30
#: Left free on the disk of the worker, for the stems' blocks.
_SPARE_BYTES = 64 << 20


@contextlib.contextmanager
def fetched(listed: Listed, patience: Patience) -> Iterator[Path]:
    """Give a temporary file with a song's bytes.

    Parameters
    ----------
    listed : Listed
        Size and version as the store states them now.
    patience : Patience

    Raises
    ------
    SourceChangedError
        It changed while it was fetched.
    OSError
        The store cannot be reached, or the disk of this machine is full.
    """
    where = shown(listed.address)
    if not listed.size and listed.size is not None:
        raise OSError(errno.EINVAL, "the file is empty (0 bytes)", where)
    if listed.size is not None and listed.size > MOST_BYTES:
        raise OSError(errno.EFBIG, f"is larger than {MOST_BYTES >> 30} GiB", where)
    with tempfile.TemporaryDirectory(prefix="partita-song-") as folder:
        free = shutil.disk_usage(folder).free
        if listed.size is not None and listed.size + _SPARE_BYTES > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
        path = Path(folder) / safe_path(file_name(listed.address))
        _fetch(listed, path, patience)
        yield path


def _fetch(listed: Listed, path: Path, patience: Patience) -> None:
    address = listed.address
    with path.open("wb") as out:
        if listed.size is None:
            retried(lambda: _stream(address, out), address, patience)
            return
        file = retried(
            lambda: open_ranges(address, PART_BYTES, "none", {}), address, patience
        )
        with contextlib.closing(file):
            for start in range(0, listed.size, PART_BYTES):
                count = min(PART_BYTES, listed.size - start)
                try:
                    data = retried(
                        lambda start=start, count=count: read_range(file, start, count),
                        address,
                        patience,
                    )
                except OSError as error:
                    if not isinstance(error.__cause__, ValueError):
                        raise
                    out.seek(0)  # a web server that gives whole files only
                    retried(lambda: _stream(address, out), address, patience)
                    break
                out.write(data)
    if path.stat().st_size != listed.size:
        raise SourceChangedError(errno.ESTALE, "changed while it was fetched", shown(address))


def _stream(address: str, out: IO[bytes]) -> None:
    """Fetch a file in one answer, from its beginning."""
    out.seek(0)
    out.truncate()
    with file_system(address).open(path_of(address), "rb", block_size=0) as source:
        while chunk := source.read(1 << 20):
            if out.tell() + len(chunk) > MOST_BYTES:
                raise OSError(errno.EFBIG, f"is larger than {MOST_BYTES >> 30} GiB", address)
            out.write(chunk)
