"""Bytes behind the end of a file's sound that are not read, such as other files."""

from __future__ import annotations

import mmap
from pathlib import Path

from partita.audio.cut_short import is_chunk, stated_size
from partita.audio.formats import CHUNKS_32
from partita.audio.frame_table import after_tags
from partita.audio.slices import FileSlice

#: Fewer bytes are padding or unknown tags.
_MIN_BYTES = 4096
_CHUNK_BYTES = 1 << 16
_MAX_CHUNKS = 1_000


def unread_bytes(path: Path, start: int = 0) -> int:
    """Return how many bytes follow the stated end of a file.

    Parameters
    ----------
    path : Path
    start : int
        Offset of the file, or of its last part.

    Returns
    -------
    int
        0 for tags and zeros, which are no sound, and if the file does not state its size.
    """
    size = stated_size_of(path, start)
    return bytes_behind(path, start + size) if size else 0


def stated_size_of(path: Path, start: int = 0) -> int | None:
    """Return the stated size of a file that begins at an offset; None: it states none."""
    with FileSlice(path, start) as part:
        return stated_size(part)


def bytes_behind(path: Path, end: int) -> int:
    """Return how many bytes follow an offset; 0 if they are tags or zeros."""
    size = path.stat().st_size
    if size - end < _MIN_BYTES:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = after_tags(data, _after_chunks(data, end))
        while at < size and not any(data[at : at + _CHUNK_BYTES]):
            at += _CHUNK_BYTES
        left = size - at
    return left if left >= _MIN_BYTES else 0


def _after_chunks(data: mmap.mmap, end: int) -> int:
    """Return the end of chunks that belong to the file, but are not counted in its size."""
    head = data[:12]
    if not head.startswith(CHUNKS_32):
        return end
    at, furthest = 12, end
    for _ in range(_MAX_CHUNKS):
        chunk = data[at : at + 12]
        size = 8 + int.from_bytes(chunk[4:8], "little" if head.startswith(b"RIFF") else "big")
        is_more = chunk.startswith(b"RIFF") and chunk[8:] == b"AVIX"
        if at >= furthest + 2 or not (is_more or is_chunk(chunk, size, len(data) - at)):
            break
        at += size + size % 2
        furthest = max(furthest, at)
    return min(furthest, len(data))
