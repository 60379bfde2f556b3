"""APEv2 tags at the end of files, which FFmpeg reads in a few formats only."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from partita.audio.tag_limits import MAX_PICTURE_BYTES

_MARK = b"APETAGEX"
_FOOTER_BYTES, _ID3V1_BYTES = 32, 128
_MAX_ITEMS = 1_000
_MAX_BYTES = MAX_PICTURE_BYTES + (1 << 20)
_MAX_TEXT_BYTES = 1_000_000
_COVERS = ("cover art (front)", "cover art")


class ApeTags(NamedTuple):
    """Texts by key, with NULs between several values, and the front cover."""

    text: dict[str, str]
    cover: bytes


def read_ape_tags(path: Path) -> ApeTags:
    """Return the tags at the end of a file; empty if there are none.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    tags = ApeTags({}, b"")
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - _ID3V1_BYTES))
        if file.read(3) == b"TAG":
            end -= _ID3V1_BYTES
        file.seek(max(0, end - _FOOTER_BYTES))
        footer = file.read(_FOOTER_BYTES)
        size = int.from_bytes(footer[12:16], "little")
        is_sane = _FOOTER_BYTES <= size <= min(end, _MAX_BYTES)
        if not footer.startswith(_MARK) or not is_sane:
            return tags
        file.seek(end - size)
        data = file.read(size - _FOOTER_BYTES)
    return _read_items(data, int.from_bytes(footer[16:20], "little"))


def _read_items(data: bytes, count: int) -> ApeTags:
    text: dict[str, str] = {}
    covers: dict[str, bytes] = {}
    at = 0
    for _ in range(min(count, _MAX_ITEMS)):
        size, flags = (int.from_bytes(data[at + k : at + k + 4], "little") for k in (0, 4))
        key_end = data.find(b"\0", at + 8, at + 8 + 256)
        if key_end < 0 or key_end + 1 + size > len(data):
            break
        key = data[at + 8 : key_end].decode("latin-1").lower()
        at = key_end + 1 + size
        value = data[key_end + 1 : at]
        kind = flags >> 1 & 3  # text, binary, or a link
        if kind == 0 and size <= _MAX_TEXT_BYTES and key:
            text[key] = value.decode("utf-8", "replace").strip("\0")
        elif kind == 1 and key in _COVERS:
            # A file name precedes the picture.
            covers[key] = value.partition(b"\0")[2]
    cover = next((covers[key] for key in _COVERS if key in covers), b"")
    return ApeTags({key: value for key, value in text.items() if value}, cover)
