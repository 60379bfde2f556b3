"""A file of a store as a file object that fetches the ranges that are read."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from functools import partial
from typing import Any

from partita.audio.slices import SeekableFile
from partita.catalogue.files import SourceChangedError
from partita.catalogue.transport.addresses import shown
from partita.catalogue.transport.faults import Patience, retried
from partita.catalogue.transport.filesystems import file_system, path_of

#: What is fetched at a time where somebody looks around in a file, and how much of it is kept.
BLOCK_BYTES = 512 << 10
_KEPT = {"cache_options": {"maxblocks": 12}}


class UnsizedError(OSError):
    """A file of unknown length, which cannot be read by ranges."""


class RangedFile(SeekableFile):
    """Reads a file of a store by ranges; 6 MiB of what was read last are kept.

    Parameters
    ----------
    address : str
    patience : Patience
    shared : file, optional
        The file system's, open already.

    Raises
    ------
    UnsizedError
        The server does not say how long the file is.
    OSError

    Attributes
    ----------
    name : str
        The address as it may be shown.
    """

    def __init__(self, address: str, patience: Patience, *, shared: Any = None) -> None:
        self._address, self._patience, self._is_shared = address, patience, shared is not None
        self.name = shown(address)
        opening = partial(open_ranges, address, BLOCK_BYTES, "blockcache", _KEPT)
        self._file: Any = shared or retried(opening, address, patience)
        size = self._file.size
        if not isinstance(size, int):
            raise UnsizedError(errno.ESPIPE, "the server does not say its length", self.name)
        super().__init__(size)

    def again(self) -> RangedFile:
        """Return another position in the same file, which has to stay open."""
        return RangedFile(self._address, self._patience, shared=self._file)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into a buffer; return the number of bytes.

        Raises
        ------
        OSError
            The store cannot be reached, or the file changed.
        """
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        if not count:
            return 0
        data = retried(
            lambda: read_range(self._file, self._at, count), self._address, self._patience
        )
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Release what was fetched."""
        if not self._is_shared:
            self._file.close()
        super().close()


def open_ranges(
    address: str, block_bytes: int, cache: str, options: Mapping[str, Any] | None = None
) -> Any:
    """Open a file for ranged reads.

    Parameters
    ----------
    address : str
    block_bytes : int
    cache : str
        The name of one of fsspec's caches.
    options : mapping, optional
        More for the file system.
    """
    return file_system(address).open(
        path_of(address), "rb", block_size=block_bytes, cache_type=cache, **(options or {})
    )


def read_range(file: Any, start: int, count: int) -> bytes:
    """Read so many bytes from an offset on, all of them.

    Raises
    ------
    ConnectionError
        The store sent fewer bytes.
    SourceChangedError
        The file is another one by now.
    OSError
    """
    try:
        file.seek(start)
        data: bytes = file.read(count)
    except OSError as error:
        if type(error).__name__ == "FileExpired":  # s3fs, for another etag
            raise SourceChangedError(None, "changed while it was read") from error
        raise
    if len(data) < count:
        raise ConnectionError(f"{len(data)} of {count} bytes came")
    return data
