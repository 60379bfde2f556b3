"""Tags that FFmpeg does not read: several values of a tag, the BPM of mp4 files."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal

from partita.audio.formats import CHUNKS, CHUNKS_BIG_ENDIAN
from partita.audio.mp4_boxes import boxes, find_box
from partita.audio.tag_names import SEPARATOR, our_name
from partita.audio.vorbis_comments import read_comments

_MAX_FRAMES = 1000
_MAX_TEXT_BYTES = 1 << 16
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
_ITEMS = (b"moov", b"udta", b"meta", b"ilst")
_BPM = "tmpo"
_UTF_8 = bytes([0, 0, 0, 1])  # type of an item's data


def read_more_tags(path: Path) -> dict[str, str]:
    """Return the tags that FFmpeg does not read, by our names.

    Little more than the text is read, whatever sizes the file states.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head.startswith((b"fLaC", b"OggS")):
            file.seek(0)
            return _several(read_comments(file))
        if head.startswith(CHUNKS):
            _seek_id3_chunk(file, "big" if head.startswith(CHUNKS_BIG_ENDIAN) else "little")
        else:
            file.seek(0)
        if head[:4] == b"ID3\x02":
            return _id3v22_texts(file)
        if head[4:8] != b"ftyp":
            return _several(_id3_texts(file))
        fields = list(_mp4_texts(file))
        # 0 means unknown.
        bpm = [("bpm", value) for name, value in fields if name == _BPM and value != "0"]
        return {**_several(fields), **dict(bpm)}


def _several(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the fields with several values, joined."""
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value)
    return {
        our_name(name): SEPARATOR.join(dict.fromkeys(texts))
        for name, texts in values.items()
        if len(texts) > 1
    }


def _seek_id3_chunk(file: IO[bytes], order: Literal["little", "big"]) -> None:
    """Go to the content of the ID3 chunk of a wav or AIFF file, or to the end."""
    for _ in range(_MAX_FRAMES):
        head = file.read(8)
        if len(head) < 8 or head[:4].upper() == b"ID3 ":
            return
        size = int.from_bytes(head[4:], order)
        file.seek(size + size % 2, 1)


def _id3_texts(file: IO[bytes]) -> list[tuple[str, str]]:
    """Return the values of ID3v2.3 and ID3v2.4 text frames, where NULs separate values."""
    fields: list[tuple[str, str]] = []
    head = file.read(10)
    # Unsynchronised tags and extended headers are rare and left to FFmpeg.
    if len(head) < 10 or head[:3] != b"ID3" or head[3] not in (3, 4) or head[5] & 0xC0:
        return fields
    end = file.tell() + _seven_bits(head[6:])
    for _ in range(_MAX_FRAMES):
        frame = file.read(10)
        if len(frame) < 10 or file.tell() > end or not frame[:4].isalnum():
            break
        size = _seven_bits(frame[4:8]) if head[3] == 4 else int.from_bytes(frame[4:8])
        if frame[:1] != b"T" or frame[:4] == b"TXXX" or size > _MAX_TEXT_BYTES or frame[9]:
            file.seek(size, 1)
            continue
        content = file.read(size)
        if content[:1] and content[0] < len(_ENCODINGS):
            text = content[1:].decode(_ENCODINGS[content[0]], "replace")
            values = [value.removeprefix("\ufeff") for value in text.split("\0")]
            fields += [(frame[:4].decode(), value) for value in values if value]
    return fields


def _id3v22_texts(file: IO[bytes]) -> dict[str, str]:
    """Return lyrics and comment of an ID3v2.2 tag; FFmpeg reads its other texts."""
    head = file.read(10)
    end = file.tell() + _seven_bits(head[6:])
    found: dict[str, str] = {}
    for _ in range(_MAX_FRAMES if not head[5] & 0xC0 else 0):
        frame = file.read(6)
        size = int.from_bytes(frame[3:6])
        if len(frame) < 6 or file.tell() + size > end or not frame[:3].isalnum():
            break
        name = {b"ULT": "lyrics", b"COM": "comment"}.get(frame[:3])
        content = file.read(size) if name and size <= _MAX_TEXT_BYTES else b""
        if not content:
            file.seek(size, 1)
        elif name and content[0] < 2:
            # Encoding, language, description, text.
            parts = content[4:].decode(_ENCODINGS[content[0]], "replace").split("\0", 1)
            description, text = (
                part.removeprefix("\ufeff").strip("\0")
                for part in parts[:2] + [""] * (2 - len(parts))
            )
            if text and (name == "lyrics" or not description):
                found.setdefault(name, text)
    return found


def _mp4_texts(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield names and values of iTunes items; an item has a box for each value."""
    start, end = find_box(file, _ITEMS) or (0, 0)
    for item, item_start, item_end in boxes(file, start, end):
        if item_end - item_start > _MAX_TEXT_BYTES:  # a cover
            continue
        name = item.decode("latin-1")
        for part, part_start, part_end in boxes(file, item_start, item_end):
            file.seek(part_start)
            content = file.read(part_end - part_start)
            if part == b"name":  # of a free-form item
                name = content[4:].decode("utf-8", "replace")
            elif part == b"data" and name == _BPM:
                yield name, str(int.from_bytes(content[8:10]))
            elif part == b"data" and content[:4] == _UTF_8:
                yield name, content[8:].decode("utf-8", "replace")


def _seven_bits(content: bytes) -> int:
    number = 0
    for byte in struct.unpack("4B", content):
        number = number << 7 | byte & 127
    return number
