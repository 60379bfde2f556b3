"""Files with too many tags: FFmpeg's time grows with the square of their number.

Tags are counted without FFmpeg. If there are too many, the file is read with their headers
replaced, so that its sound can be decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from partita.audio.formats import CHUNKS, CHUNKS_BIG_ENDIAN
from partita.audio.ogg_pages import page_checksum

#: Songs have some dozens.
MAX_TAGS = 2_000
MAX_PICTURE_BYTES = 20_000_000
#: Comments of Ogg streams and headers of ASF are searched in so many bytes.
_SEARCH_BYTES = 1 << 20
_MAX_BOXES = 10_000
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11")
_ASF_TAGS = (
    bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850"),  # extended content description
    bytes.fromhex("eacbf8c5af5b77488467aa8c44fa4cca"),  # metadata
    bytes.fromhex("941c23449894d149a1411d134e457054"),  # metadata library
)
_MATROSKA_SEGMENT, _MATROSKA_TAGS, _SIMPLE_TAG = 0x18538067, 0x1254C367, b"\x67\xc8"

#: Number of tags; offset and bytes of the replacement that hides them.
Found = tuple[int, int, bytes]


def excess_patches(path: Path) -> dict[int, bytes]:
    """Return replacements ``{offset: bytes}`` that hide too many tags; empty for most files."""
    try:
        with path.open("rb") as file:
            if not file.seekable():
                return {}
            return {offset: data for count, offset, data in _tags(file) if count > MAX_TAGS}
    except (OSError, ValueError, struct.error, IndexError):
        return {}


def _tags(file: IO[bytes]) -> Iterator[Found]:
    head = _at(file, 0, 16)
    size = file.seek(0, 2)
    if head.startswith(b"ID3"):
        yield from _id3(file, 0)
        head = _at(file, _id3_end(head), 16)
    yield from _ape(file, size)
    if head.startswith(b"fLaC"):
        yield from _flac(file)
    elif head.startswith(b"OggS"):
        yield from _ogg(file)
    elif head.startswith(CHUNKS):
        order = ">" if head.startswith(CHUNKS_BIG_ENDIAN) else "<"
        yield from _chunks(file, 12, size, order)
    elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        yield from _boxes(file, 0, size)
    elif head.startswith(b"\x1a\x45\xdf\xa3"):
        yield from _matroska(file, size)
    elif head.startswith(_ASF_HEADER):
        yield from _asf(file)


def _at(file: IO[bytes], offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _id3_end(head: bytes) -> int:
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 127
    return 10 + size


def _id3(file: IO[bytes], at: int) -> Iterator[Found]:
    head = _at(file, at, 10)
    if len(head) < 10:
        return
    length = _id3_end(head) - 10
    name_bytes = 3 if head[3] == 2 else 4
    data = file.read(min(length, MAX_PICTURE_BYTES * 4))
    count = position = 0
    while position + 10 <= len(data) and data[position]:
        size = int.from_bytes(data[position + name_bytes : position + 2 * name_bytes], "big")
        if head[3] == 4:
            size = _id3_end(b"\0\0" + data[position : position + 8]) - 10
        position += (6 if name_bytes == 3 else 10) + size
        count += 1
    # Frames without a name are padding.
    yield count, at + 10, bytes(name_bytes)


def _ape(file: IO[bytes], size: int) -> Iterator[Found]:
    for end in (size, size - 128):
        footer = _at(file, max(0, end - 32), 32)
        if footer.startswith(b"APETAGEX") and len(footer) == 32:
            yield int.from_bytes(footer[16:20], "little"), end - 32, b"\0" * 8


def _flac(file: IO[bytes]) -> Iterator[Found]:
    at = 4 if _at(file, 0, 4) == b"fLaC" else _id3_end(_at(file, 0, 10)) + 4
    for _ in range(_MAX_BOXES):
        head = _at(file, at, 8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[1:4], "big")
        if head[0] & 127 == 4:
            vendor = int.from_bytes(head[4:8], "little")
            (count,) = struct.unpack("<I", _at(file, at + 8 + vendor, 4))
            yield count, at, bytes([head[0] & 128 | 1])  # as padding
        if head[0] & 128:
            return
        at += 4 + size


def _ogg(file: IO[bytes]) -> Iterator[Found]:
    data = _at(file, 0, _SEARCH_BYTES)
    for mark in (b"\x03vorbis", b"OpusTags"):
        at = data.find(mark)
        if at < 0:
            continue
        at += len(mark)
        (vendor,) = struct.unpack_from("<I", data, at)
        at += 4 + vendor
        (count,) = struct.unpack_from("<I", data, at)
        page = data.rfind(b"OggS", 0, at)
        body = page + 27 + data[page + 26]
        end = body + sum(data[page + 27 : body])
        if count > MAX_TAGS and page >= 0 and at + 4 <= end <= len(data):
            whole = bytearray(data[page:end])
            whole[at - page : at - page + 4] = bytes(4)
            whole[22:26] = bytes(4)
            yield count, at, bytes(4)
            yield count, page + 22, struct.pack("<I", page_checksum(whole))


def _chunks(file: IO[bytes], at: int, end: int, order: str) -> Iterator[Found]:
    """Count tags in the chunks of RIFF and AIFF files."""
    for _ in range(_MAX_BOXES):
        head = _at(file, at, 12)
        if len(head) < 8 or at >= end:
            return
        (size,) = struct.unpack(f"{order}I", head[4:8])
        if head[:4] == b"LIST" and head[8:12] == b"INFO":
            yield _count_chunks(file, at + 12, min(end, at + 8 + size), order), at, b"JUNK"
            if at + 8 + size > end:  # FFmpeg allocates memory for tags of any size
                yield MAX_TAGS + 1, at + 4, struct.pack(f"{order}I", end - at - 8)
        elif head[:4] in (b"id3 ", b"ID3 "):
            yield from _id3(file, at + 8)
        at += 8 + size + size % 2


def _count_chunks(file: IO[bytes], at: int, end: int, order: str) -> int:
    data = _at(file, at, min(end - at, MAX_PICTURE_BYTES))
    count = position = 0
    while position + 8 <= len(data):
        (size,) = struct.unpack_from(f"{order}I", data, position + 4)
        position += 8 + size + size % 2
        count += 1
    return count


def _boxes(file: IO[bytes], at: int, end: int) -> Iterator[Found]:
    """Count tags in the boxes of mp4 files."""
    for _ in range(_MAX_BOXES):
        head = _at(file, at, 16)
        if len(head) < 8 or at >= end:
            return
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size < 8:
            return
        if kind in (b"moov", b"udta"):
            yield from _boxes(file, at + 8, min(end, at + size))
        elif kind == b"meta":  # a full box, but not in QuickTime files
            inside = at + 8 if head[12:16] in (b"hdlr", b"keys", b"ilst") else at + 12
            yield from _boxes(file, inside, min(end, at + size))
        elif kind == b"ilst":
            yield _count_boxes(file, at + 8, min(end, at + size)), at + 4, b"free"
        elif kind == b"keys":
            (count,) = struct.unpack(">I", _at(file, at + 12, 4))
            yield count, at + 4, b"free"
        at += size


def _count_boxes(file: IO[bytes], at: int, end: int) -> int:
    data = _at(file, at, min(end - at, MAX_PICTURE_BYTES * 4))
    count = position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        position += max(size, 8)
        count += 1
    return count


def _matroska(file: IO[bytes], end: int) -> Iterator[Found]:
    at = 0
    for _ in range(_MAX_BOXES * 10):
        head = _at(file, at, 12)
        if len(head) < 12 or at >= end:
            return
        id_bytes, size_bytes = 9 - head[0].bit_length(), 0
        kind = int.from_bytes(head[:id_bytes], "big")
        first = head[id_bytes]
        size_bytes = 9 - first.bit_length()
        size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big")
        size &= (1 << (7 * size_bytes)) - 1
        body = at + id_bytes + size_bytes
        if kind == _MATROSKA_TAGS:
            data = _at(file, body, min(size, MAX_PICTURE_BYTES))
            yield data.count(_SIMPLE_TAG), at, b"\x12\x54\xc3\x68"  # an unknown element
        # Descend into the segment and into elements of unknown length.
        is_open = kind == _MATROSKA_SEGMENT or size == (1 << (7 * size_bytes)) - 1
        at = body if is_open else body + size


def _asf(file: IO[bytes]) -> Iterator[Found]:
    data = _at(file, 0, _SEARCH_BYTES * 8)
    for mark in _ASF_TAGS:
        at = data.find(mark)
        if at >= 0:
            (count,) = struct.unpack_from("<H", data, at + 24)
            yield count, at, bytes(16)
