"""A part of a file, or a file with some bytes replaced, that reads like a file of its own."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path


class FileSlice(io.RawIOBase):
    """Bytes `start` to `end` of a file, some of them replaced.

    Parameters
    ----------
    path : Path
    start, end : int
        Offsets in bytes; no `end` means the file's own.
    patches : dict of int to bytes, optional
        Read in place of as many bytes, by their offset from `start`.
    """

    def __init__(
        self,
        path: Path,
        start: int = 0,
        end: int | None = None,
        patches: Mapping[int, bytes] | None = None,
    ) -> None:
        super().__init__()
        self._path = path
        self._file = path.open("rb")
        self.name = str(path)
        self._start = start
        self._size = max(0, (self._file.seek(0, io.SEEK_END) if end is None else end) - start)
        self._patches = patches or {}
        self._at = 0

    def again(self) -> FileSlice:
        """Open the same part once more."""
        return FileSlice(self._path, self._start, self._start + self._size, self._patches)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can seek."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as there are bytes; return how many."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        if not count:
            return 0
        self._file.seek(self._start + self._at)
        data = self._file.read(count)
        view[: len(data)] = data
        for offset, patch in self._patches.items():
            first, last = max(offset, self._at), min(offset + len(patch), self._at + len(data))
            if first < last:
                view[first - self._at : last - self._at] = patch[first - offset : last - offset]
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Release the file."""
        self._file.close()
        super().close()
