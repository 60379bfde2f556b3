"""Pages of Ogg files (RFC 3533)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

_MARK = b"OggS\0"
_HEADER_BYTES = 27
#: Headers with cover art may take many pages.
_MAX_PAGES = 1_000
_PAGE_BYTES = 65_307  # of the largest page


def _checksum_table() -> tuple[int, ...]:
    table = []
    for index in range(256):
        value = index << 24
        for _ in range(8):
            value = (value << 1 ^ 0x104C11DB7) if value >> 31 else value << 1
        table.append(value)
    return tuple(table)


_TABLE = _checksum_table()


def page_checksum(page: bytes | bytearray) -> int:
    """Return the checksum of a page whose checksum field is zero."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value


@dataclass(frozen=True)
class DamagedEnd:
    """The last page of a file that is damaged there or just before.

    Attributes
    ----------
    offset : int
        Offset of the page in bytes.
    samples : int
        End of the sound by the page's header, in samples of the codec.
    """

    offset: int
    samples: int


def begins_damaged(file: IO[bytes] | Any) -> bool:
    """Return whether a page up to the first one with sound is damaged, so that sound is lost."""
    file.seek(0)
    for _ in range(_MAX_PAGES):
        head = file.read(_HEADER_BYTES)
        if len(head) < _HEADER_BYTES or not head.startswith(b"OggS"):
            return True
        table = file.read(head[26])
        if not is_whole(head + table + file.read(sum(table))):
            return True
        if _samples(head) > 0:
            return False
    return False


def damaged_end(file: IO[bytes] | Any) -> DamagedEnd | None:
    """Return the last page; None: it and the page before it are undamaged.

    FFmpeg omits damaged pages. It places pages before the last one by the last one's header, but
    cannot place the last one itself.
    """
    size = file.seek(0, 2)
    begin = file.seek(max(0, size - 2 * _PAGE_BYTES))
    data = file.read()
    last = data.rfind(_MARK)
    head = data[max(last, 0) : last + _HEADER_BYTES]
    if last < 0 or len(head) < _HEADER_BYTES:
        return None
    before = data.rfind(_MARK, 0, last)
    if is_whole(data[last:]) and (before < 0 or is_whole(data[before:last])):
        return None
    return DamagedEnd(begin + last, _samples(head))


def is_whole(page: bytes) -> bool:
    """Return whether a page's checksum is right."""
    blank = page[:22] + bytes(4) + page[26:]
    return page_checksum(blank) == int.from_bytes(page[22:26], "little")


def _samples(head: bytes) -> int:
    return int.from_bytes(head[6:14], "little", signed=True)


def with_serial(pages: bytes, serial: int) -> bytes:
    """Return pages with another serial number."""
    changed, at = bytearray(pages), 0
    while at < len(changed):
        table = changed[at + 27 : at + 27 + changed[at + 26]]
        end = at + _HEADER_BYTES + len(table) + sum(table)
        changed[at + 14 : at + 18] = serial.to_bytes(4, "little")
        changed[at + 22 : at + 26] = bytes(4)
        changed[at + 22 : at + 26] = page_checksum(changed[at:end]).to_bytes(4, "little")
        at = end
    return bytes(changed)
