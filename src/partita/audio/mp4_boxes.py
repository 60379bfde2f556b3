"""Boxes of mp4 files, above all ``moov/udta`` with tags and names of stems."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

#: Longer content below ``udta`` is not read.
_MAX_CONTENT_BYTES = 1 << 20
_MAX_BOXES = 10_000


def box(name: bytes, content: bytes) -> bytes:
    """Return a box: length, four-character name, content."""
    return struct.pack(">I4s", 8 + len(content), name) + content


def read_box(path: Path, names: Sequence[bytes]) -> bytes | None:
    """Return the content of a nested box.

    Parameters
    ----------
    path : Path
    names : sequence of bytes
        From the outermost box: ``(b"moov", b"udta", b"stem")``.

    Returns
    -------
    bytes or None
        None: no such box, nothing or more than 1 MiB in it, or not an mp4 file.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        start, end = find_box(file, names) or (0, 0)
        file.seek(start)
        return file.read(end - start) if 0 < end - start <= _MAX_CONTENT_BYTES else None


def find_box(file: IO[bytes], names: Sequence[bytes]) -> tuple[int, int] | None:
    """Return start and end of the content of a nested box; see `read_box`."""
    start, end = 0, file.seek(0, 2)
    for wanted in names:
        for found, content, next_box in boxes(file, start, end):
            if found == wanted:
                # In "meta", a version and flags precede the boxes.
                start, end = content + (4 if wanted == b"meta" else 0), next_box
                break
        else:
            return None
    return start, end


def set_user_data(path: Path, contents: Mapping[bytes, bytes]) -> None:
    """Set boxes of ``moov/udta`` in a finished file that FFmpeg wrote.

    In such files ``moov`` is the last box. No offsets refer to what is behind the change, so that
    only the lengths of the enclosing boxes change.

    Parameters
    ----------
    path : Path
        Changed in place.
    contents : mapping of bytes to bytes
        Name → content; other boxes of ``udta`` stay.
    """
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        start = 0
        for found, _, next_box in boxes(file, 0, end):
            if found == b"moov" and next_box == end:
                break
            start = next_box
        else:
            raise ValueError("moov is not the last box")
        file.seek(start)
        moov = _split(file.read()[8:])
        udta = dict(_split(b"".join(content for name, content in moov if name == b"udta")))
        udta |= contents
        kept = b"".join(box(name, content) for name, content in moov if name != b"udta")
        user_data = b"".join(box(name, content) for name, content in udta.items())
        file.seek(start)
        file.write(box(b"moov", kept + box(b"udta", user_data)))
        file.truncate()


def _split(content: bytes) -> list[tuple[bytes, bytes]]:
    boxes, position = [], 0
    while position + 8 <= len(content):
        (length,) = struct.unpack(">I", content[position : position + 4])
        boxes.append((content[position + 4 : position + 8], content[position + 8 :][: length - 8]))
        position += length
    return boxes


def boxes(file: IO[bytes], start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start of the content and end of the boxes between two positions."""
    for _ in range(_MAX_BOXES):
        file.seek(start)
        header = file.read(16)
        if start + 8 > end or len(header) < 8:
            return
        size, name = struct.unpack(">I4s", header[:8])
        content = start + 8
        if size == 1 and len(header) == 16:  # a 64-bit length follows
            (size,) = struct.unpack(">Q", header[8:])
            content = start + 16
        elif size == 0:  # to the end of the file
            size = end - start
        if start + size > end or start + size < content:
            return
        yield name, content, start + size
        start += size
