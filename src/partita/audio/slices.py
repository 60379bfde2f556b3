"""A part of a file, or a file with some bytes replaced, as a file object."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FilePart:
    """Position of a part of a file.

    Attributes
    ----------
    start : int
        In bytes.
    end : int or None
        None: the end of the file.
    prefix : bytes
        Read in front of the part's bytes: a header for a part without one.
    length_s : float or None
        Length of its sound, if known without decoding.
    """

    start: int
    end: int | None = None
    prefix: bytes = b""
    length_s: float | None = None


class SeekableFile(io.RawIOBase):
    """A file object of known size that can be opened again; subclasses read at a position.

    Parameters
    ----------
    size : int
        In bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size, self._at = size, 0

    @abstractmethod
    def again(self) -> SeekableFile:
        """Open the same file again."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Seek to a position and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at


class FileSlice(SeekableFile):
    """Bytes `start` to `end` of a file, with a prefix and with some bytes replaced.

    Parameters
    ----------
    path : Path
    start, end : int
        Offsets in bytes; None: the end of the file.
    patches : dict of int to bytes, optional
        Replacements of as many bytes, by offset from `start`.
    prefix : bytes
        Read in front of the part.
    """

    def __init__(
        self,
        path: Path,
        start: int = 0,
        end: int | None = None,
        patches: Mapping[int, bytes] | None = None,
        prefix: bytes = b"",
    ) -> None:
        self._path = path
        self._file = path.open("rb")
        self.name = str(path)
        self._start = start
        own = max(0, (self._file.seek(0, io.SEEK_END) if end is None else end) - start)
        super().__init__(len(prefix) + own)
        self._patches, self._prefix = patches or {}, prefix

    def again(self) -> FileSlice:
        """Open the same part again."""
        end = self._start + self._size - len(self._prefix)
        return FileSlice(self._path, self._start, end, self._patches, self._prefix)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into a buffer; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        if not count:
            return 0
        data = self._prefix[self._at : self._at + count]
        if not data:
            self._file.seek(self._start + self._at - len(self._prefix))
            data = self._file.read(count)
        view[: len(data)] = data
        for own_offset, patch in self._patches.items():
            offset = own_offset + len(self._prefix)
            first, last = max(offset, self._at), min(offset + len(patch), self._at + len(data))
            if first < last:
                view[first - self._at : last - self._at] = patch[first - offset : last - offset]
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
