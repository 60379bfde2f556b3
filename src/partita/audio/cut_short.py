"""Truncated files, such as interrupted downloads: shorter than their headers state."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import RawIOBase
from pathlib import Path
from typing import IO

from partita.audio.formats import CHUNKS, CHUNKS_32, CHUNKS_64

Bytes = IO[bytes] | RawIOBase

#: Sizes from here on stand for "not known": sox writes 0x7FFFF000 into pipes, others 0xFFFFFFFF.
UNKNOWN_BYTES = 0x7FFF0000
_MAX_PARTS = 1_000
#: First bytes of other file formats, which are no chunks.
FILE_MARKS = frozenset(
    (
        *CHUNKS,
        b"caff",
        b"fLaC",
        b"OggS",
        b"wvpk",
        b"TTA1",
        b"MAC ",
    )
)
_OGG_PAGE_BYTES = 65_307
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MATROSKA = b"\x1a\x45\xdf\xa3"


def missing_end(path: Path) -> str | None:
    """Describe what is missing at the end of a file; None: nothing."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            head = file.read(32)
            if head.startswith(b"OggS"):
                return None if _has_end_mark(file, size) else "its end mark is missing"
            stated = stated_size(file)
    except OSError:
        return None
    if stated is None or stated <= size:
        return None
    return f"{size:,} of {stated:,} bytes are there"


def stated_size(file: Bytes) -> int | None:
    """Return the size that a file's header states; None: it states none."""
    file.seek(0)
    head = file.read(32) or b""
    try:
        for marks, read_size in _KINDS.items():
            if head.startswith(marks):
                return read_size(file, head)
        return _end_of_boxes(file) if head[4:8] == b"ftyp" else None
    except (OSError, ValueError, ArithmeticError, struct.error, IndexError):
        return None  # for example sizes above what file systems support


def _end_of_riff(_: Bytes, head: bytes) -> int | None:
    size = int.from_bytes(head[4:8], "little" if head.startswith(b"RIFF") else "big")
    return size + 8 if 0 < size < UNKNOWN_BYTES else None


def _end_of_rf64(file: Bytes, _: bytes) -> int | None:
    file.seek(12)
    chunk = file.read(16)
    size = int.from_bytes(chunk[8:16], "little")
    # Written into pipes, like the 32-bit placeholder.
    is_known = 0 < size < 1 << 62 and size | 0xFFFF not in (0x7FFFFFFF, 0xFFFFFFFF)
    return size + 8 if chunk.startswith(b"ds64") and is_known else None


def _end_of_tta(file: Bytes, head: bytes) -> int | None:
    rate, samples = struct.unpack("<II", head[10:18])
    frames = -(-samples // (256 * rate // 245))
    file.seek(22)
    table = file.read(4 * frames) if frames < 1 << 24 else b""
    sizes = struct.unpack(f"<{frames}I", table)
    return 22 + len(table) + 4 + int(sum(sizes))


def _end_of_ape(_: Bytes, head: bytes) -> int | None:
    # Before version 3.98 the header does not state it.
    version = int.from_bytes(head[4:6], "little")
    return int(sum(struct.unpack("<6I", head[8:32]))) if version >= 3980 else None


def _end_of_dsf(_: Bytes, head: bytes) -> int | None:
    return int.from_bytes(head[12:20], "little")


def _end_of_dff(_: Bytes, head: bytes) -> int | None:
    return int.from_bytes(head[4:12], "big") + 12


def _end_of_au(_: Bytes, head: bytes) -> int | None:
    offset, size = struct.unpack(">II", head[4:12])
    return offset + size if 0 < size < UNKNOWN_BYTES else None


def _end_of_w64(_: Bytes, head: bytes) -> int | None:
    size = int.from_bytes(head[16:24], "little")
    return size if size < 1 << 62 else None


def _end_of_asf(file: Bytes, _: bytes) -> int | None:
    file.seek(0)
    data = file.read(1 << 16)
    at = data.find(_ASF_FILE)
    if at >= 0 and data[at + 88] & 1:  # a broadcast
        return None
    return int.from_bytes(data[at + 40 : at + 48], "little") if at >= 0 else None


def _has_end_mark(file: Bytes, size: int) -> bool:
    """Return whether the last page is complete and marked as the end of its stream."""
    file.seek(max(0, size - 2 * _OGG_PAGE_BYTES))
    data = file.read()
    at = data.rfind(b"OggS\0")
    if at < 0 or at + 27 > len(data):
        return False
    body = at + 27 + data[at + 26]
    return bool(data[at + 5] & 4) and body + sum(data[at + 27 : body]) <= len(data)


def is_chunk(head: bytes, size: int, left: int) -> bool:
    """Return whether `head` begins a chunk of `size` bytes, with `left` bytes in the file."""
    is_named = len(head) > 7 and head[:4].strip().isalnum() and head[:4] not in FILE_MARKS
    return is_named and size <= left


def _end_of_caf(file: Bytes, _: bytes) -> int | None:
    at, has_data, end = 8, False, file.seek(0, 2)
    for _part in range(_MAX_PARTS):
        file.seek(at)
        head = file.read(12)
        # Other chunks, like the packet table, may follow the sound.
        if has_data and not is_chunk(head, 12 + int.from_bytes(head[4:], "big"), end - at):
            return at
        kind, size = struct.unpack(">4sq", head)
        if kind == b"data" and size <= 0:
            return None
        has_data |= kind == b"data"
        at += 12 + max(0, size)
    return None


def _end_of_matroska(file: Bytes, _: bytes) -> int | None:
    at = 0
    for _part in ("header", "segment"):
        file.seek(at)
        head = file.read(12)
        size_at = 9 - head[0].bit_length()
        count = 9 - head[size_at].bit_length()
        unknown = (1 << 7 * count) - 1
        size = int.from_bytes(head[size_at : size_at + count], "big") & unknown
        if size == unknown:
            return None
        at += size_at + count + size
    return at


def _end_of_boxes(file: Bytes) -> int | None:
    end, at = file.seek(0, 2), 0
    for _ in range(_MAX_PARTS):
        file.seek(at)
        head = file.read(16)
        is_next_file = at > 0 and head[4:8] == b"ftyp"
        if at >= end or len(head) < 8 or not head[4:8].isalnum() or is_next_file:
            break
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8:  # up to the end
            return None
        at += size
    return at


_KINDS: dict[tuple[bytes, ...], Callable[[Bytes, bytes], int | None]] = {
    CHUNKS_32: _end_of_riff,
    CHUNKS_64: _end_of_rf64,
    (b".snd",): _end_of_au,
    (b"TTA1",): _end_of_tta,
    (b"MAC ",): _end_of_ape,
    (b"DSD ",): _end_of_dsf,
    (b"FRM8",): _end_of_dff,
    (b"riff",): _end_of_w64,
    (b"caff",): _end_of_caf,
    (_MATROSKA,): _end_of_matroska,
    (_ASF_HEADER,): _end_of_asf,
}
