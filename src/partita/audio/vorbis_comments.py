"""Vorbis comments and pictures in finished flac, ogg and opus files."""

from __future__ import annotations

import base64
import itertools
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from partita.audio.tag_names import SEPARATOR, tag_name

#: Limits of what is read.
_MAX_COMMENT_BYTES = 1 << 20
_MAX_FIELDS = 10_000
_MAX_BLOCKS = 100

_PADDING, _COMMENTS, _PICTURE = 1, 4, 6
_MAX_BLOCK_BYTES = (1 << 24) - 1
_PAGE_HEAD = "<4sBBQIIIB"
_PAGE_BYTES = struct.calcsize(_PAGE_HEAD)
_WHOLE = 255  # length of segments that do not end a packet, and most segments of a page
_NO_PACKET_ENDS = (1 << 64) - 1
_CONTINUED = 1
#: zlib's checksum has the same polynomial with the bits of each byte reversed.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def read_comments(file: IO[bytes]) -> list[tuple[str, str]]:
    """Return names and values of the comments of a FLAC or Ogg file; none if it is damaged.

    At most 1 MB is read.
    """
    try:
        block = _flac_comments(file) if file.read(4) == b"fLaC" else _ogg_comments(file)
        (length,) = struct.unpack_from("<I", block)
        (count,) = struct.unpack_from("<I", block, 4 + length)
        position = 8 + length
        fields = []
        for _ in range(min(count, _MAX_FIELDS)):
            (length,) = struct.unpack_from("<I", block, position)
            field = block[position + 4 : position + 4 + length].decode("utf-8", "replace")
            position += 4 + length
            name, is_field, value = field.partition("=")
            if is_field and value:
                fields.append((name, value))
    except struct.error:
        return []
    return fields


def _flac_comments(file: IO[bytes]) -> bytes:
    for _ in range(_MAX_BLOCKS):
        (header,) = struct.unpack(">I", file.read(4))
        length = header & _MAX_BLOCK_BYTES
        if header >> 24 & 127 == _COMMENTS:
            return file.read(min(length, _MAX_COMMENT_BYTES))
        if header >> 31:
            break
        file.seek(length, 1)
    return b""


def _ogg_comments(file: IO[bytes]) -> bytes:
    file.seek(0)
    pages = itertools.islice(_read_pages(file), _MAX_COMMENT_BYTES >> 16)
    try:
        next(pages)
        (comments,) = _packets(pages, 1)
    except StopIteration:
        return b""
    for magic in (b"OpusTags", b"\x03vorbis"):
        if comments.startswith(magic):
            return comments[len(magic) :]
    return b""


def write_flac_tags(path: Path, text: Mapping[str, str], picture: bytes | None) -> None:
    """Replace the comments and pictures of a FLAC file.

    Parameters
    ----------
    path : Path
    text : mapping of str to str
        By the names of `partita.audio.tag_names`.
    picture : bytes or None
        Content of a FLAC picture block.
    """
    with path.open("rb") as file:
        file.seek(4)  # "fLaC"
        kept, vendor, is_last = [], b"", False
        while not is_last:
            (header,) = struct.unpack(">I", file.read(4))
            is_last, kind = bool(header >> 31), header >> 24 & 127
            content = file.read(header & _MAX_BLOCK_BYTES)
            if kind == _COMMENTS:
                vendor = content[4:][: int.from_bytes(content[:4], "little")]
            elif kind not in (_PADDING, _PICTURE):
                kept.append((kind, content))
        end = file.tell()
    kept.append((_COMMENTS, _comment_block(vendor, _fields(text))))
    if picture is not None:
        kept.append((_PICTURE, picture))
    head = b"fLaC" + b"".join(
        _block(kind, content) for kind, content in kept if len(content) <= _MAX_BLOCK_BYTES
    )
    room = end - len(head) - 4
    fits = 0 <= room <= _MAX_BLOCK_BYTES
    head += _block(_PADDING | 0x80, bytes(room if fits else 0))
    if fits:
        with path.open("r+b") as file:
            file.write(head)
    else:
        replace_head(path, end, head)


def write_ogg_tags(path: Path, text: Mapping[str, str], picture: bytes | None) -> None:
    """Replace the comments of an Ogg file that holds one Vorbis or Opus stream.

    Parameters are those of `write_flac_tags`.
    """
    fields = _fields(text)
    if picture is not None:
        fields.append(b"METADATA_BLOCK_PICTURE=" + base64.b64encode(picture))
    retagged = path.with_name(f"{path.name}.tagged")
    with path.open("rb") as file, retagged.open("wb") as out:
        pages = _read_pages(file)
        first = next(pages)
        is_opus = first.body.startswith(b"OpusHead")
        magic, tail = (b"OpusTags", b"") if is_opus else (b"\x03vorbis", b"\x01")
        old, *setup = _packets(pages, 1 if is_opus else 2)
        vendor = old[len(magic) + 4 :][: int.from_bytes(old[len(magic) :][:4], "little")]
        comments = magic + _comment_block(vendor, fields) + tail
        headers = _pages_of([comments, *setup], first.serial)
        for number, page in enumerate(itertools.chain([first], headers, pages)):
            out.write(page.as_bytes(number))
    retagged.replace(path)


def replace_head(path: Path, end: int, head: bytes) -> None:
    """Replace the first `end` bytes of a file by `head`."""
    changed = path.with_name(f"{path.name}.tagged")
    with path.open("rb") as file, changed.open("wb") as out:
        out.write(head)
        file.seek(end)
        shutil.copyfileobj(file, out, 1 << 20)
    changed.replace(path)


def _fields(text: Mapping[str, str]) -> list[bytes]:
    return [
        f"{tag_name(name).vorbis}={value}".encode()
        for name, values in text.items()
        for value in values.split(SEPARATOR)
    ]


def _comment_block(vendor: bytes, fields: Sequence[bytes]) -> bytes:
    return _counted(vendor) + struct.pack("<I", len(fields)) + b"".join(map(_counted, fields))


def _counted(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


def _block(kind: int, content: bytes) -> bytes:
    return struct.pack(">I", kind << 24 | len(content)) + content


@dataclass(frozen=True)
class _Page:
    """A page of an Ogg stream; a segment shorter than 255 bytes ends a packet."""

    flags: int
    position: int
    serial: int
    segments: bytes  # their lengths
    body: bytes

    def as_bytes(self, number: int) -> bytes:
        head = (b"OggS", 0, self.flags, self.position, self.serial, number)
        count = len(self.segments)
        page = struct.pack(_PAGE_HEAD, *head, 0, count) + self.segments + self.body
        return struct.pack(_PAGE_HEAD, *head, _checksum(page), count) + page[_PAGE_BYTES:]


def _read_pages(file: IO[bytes]) -> Iterator[_Page]:
    while head := file.read(_PAGE_BYTES):
        _, _, flags, position, serial, _, _, count = struct.unpack(_PAGE_HEAD, head)
        segments = file.read(count)
        yield _Page(flags, position, serial, segments, file.read(sum(segments)))


def _packets(pages: Iterator[_Page], count: int) -> list[bytes]:
    """Read pages until so many packets are complete; headers end with a page."""
    packets = [b""]
    while len(packets) <= count:
        page = next(pages)
        start = 0
        for length in page.segments:
            packets[-1] += page.body[start : start + length]
            start += length
            if length < _WHOLE:
                packets.append(b"")
    return packets[:count]


def _pages_of(packets: Iterable[bytes], serial: int) -> Iterator[_Page]:
    segments, body = b"", b""
    for packet in packets:
        segments += bytes([_WHOLE]) * (len(packet) // _WHOLE) + bytes([len(packet) % _WHOLE])
        body += packet
    start, is_continued = 0, False
    for index in range(0, len(segments), _WHOLE):
        lengths = segments[index : index + _WHOLE]
        content = body[start : start + sum(lengths)]
        ends = any(length < _WHOLE for length in lengths)
        position = 0 if ends else _NO_PACKET_ENDS
        yield _Page(_CONTINUED if is_continued else 0, position, serial, lengths, content)
        start += len(content)
        is_continued = lengths[-1] == _WHOLE


def _checksum(page: bytes) -> int:
    reversed_sum = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reversed_sum:032b}"[::-1], 2)
