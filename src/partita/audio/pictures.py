"""Sizes of encoded pictures, from their headers."""

from __future__ import annotations

_PNG = b"\x89PNG\r\n\x1a\n"
#: JPEG markers of frames, which are followed by height and width.
_JPEG_FRAMES = frozenset(
    (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
)


def picture_size(data: bytes) -> tuple[str, int, int] | None:
    """Return FFmpeg's name of the codec, width and height; None: neither JPEG nor PNG."""
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        is_whole = width and height and b"IEND" in data  # truncated pictures are not shown
        return ("png", width, height) if is_whole else None
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    return None


def _jpeg_size(data: bytes) -> tuple[str, int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in range(0xD0, 0xD9) or marker == 0x01:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_FRAMES:
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            width = int.from_bytes(data[at + 7 : at + 9], "big")
            return ("mjpeg", width, height) if width and height else None
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None
