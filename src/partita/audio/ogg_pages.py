"""Pages of Ogg files (RFC 3533)."""

from __future__ import annotations

from typing import IO, Any

_HEADER_BYTES = 27
#: Headers with cover art may fill many pages.
_MAX_PAGES = 1_000


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
    """Return the checksum of a page whose own field for it is zero."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value


def begins_damaged(file: IO[bytes] | Any) -> bool:
    """Tell whether pages up to the first one with sound are broken: what comes later is late."""
    file.seek(0)
    for _ in range(_MAX_PAGES):
        head = file.read(_HEADER_BYTES)
        if len(head) < _HEADER_BYTES or not head.startswith(b"OggS"):
            return True
        table = file.read(head[26])
        body = file.read(sum(table))
        blank = head[:22] + bytes(4) + head[26:]
        if page_checksum(blank + table + body) != int.from_bytes(head[22:26], "little"):
            return True
        has_sound = int.from_bytes(head[6:14], "little", signed=True) > 0
        if has_sound:
            return False
    return False
