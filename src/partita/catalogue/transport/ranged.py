"""A file of a store as a file object that fetches the ranges that are read."""

from __future__ import annotations

from typing import Any

from partita.audio.slices import SeekableFile
from partita.catalogue.files import SourceChangedError
from partita.catalogue.transport.addresses import shown
from partita.catalogue.transport.faults import Patience, retried
from partita.catalogue.transport.filesystems import file_system, path_of

#: What is fetched at a time where somebody looks around in a file, and how much of it is kept.
BLOCK_BYTES = 256 << 10
_MOST_BLOCKS = 24


class RangedFile(SeekableFile):
    """Reads a file of a store by ranges; 6 MiB of what was read last are kept.

    Parameters
    ----------
    address : str
    size : int
        In bytes, as the store states it.
    patience : Patience

    Attributes
    ----------
    name : str
        The address as it may be shown.
    """

    def __init__(self, address: str, size: int, patience: Patience) -> None:
        super().__init__(size)
        self._address, self._patience = address, patience
        self.name = shown(address)
        self._file: Any = retried(
            lambda: open_ranges(address, BLOCK_BYTES, "blockcache", {"maxblocks": _MOST_BLOCKS}),
            address,
            patience,
        )

    def again(self) -> RangedFile:
        """Open the same file again."""
        return RangedFile(self._address, self._size, self._patience)

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
        self._file.close()
        super().close()


def open_ranges(address: str, block_bytes: int, kind: str, options: dict[str, int]) -> Any:
    """Open a file for ranged reads with one of fsspec's caches."""
    return file_system(address).open(
        path_of(address), "rb", block_size=block_bytes, cache_type=kind, cache_options=options
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
