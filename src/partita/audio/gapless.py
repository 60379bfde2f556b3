"""What lossy files say about the padding that their codecs add at both ends."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from partita.audio.tag_names import GAPLESS
from partita.audio.tags import Tags

_AAC_FRAME = _AAC_PRIMING = 1024  # of FFmpeg's encoder
_ITUNES = re.compile(r"\s*[0-9A-F]{8} [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{16})\b", re.I)
_XING = re.compile(rb"Xing|Info")
_HEAD_BYTES = 512
_FLAGS = b"\0\0\0\x0f"  # all fields are there
_LAME_DELAY = 576
_TO_PADDING, _TO_CRC = 141, 154  # from "Xing"


def with_aac_padding(tags: Tags, frames: int) -> Tags:
    """Return tags that state the padding of an AAC file, as iTunes does.

    Parameters
    ----------
    tags : Tags
    frames : int
        Samples of the sound in each channel.
    """
    padding = -(frames + _AAC_PRIMING) % _AAC_FRAME
    fields = [f"{0:08X}", f"{_AAC_PRIMING:08X}", f"{padding:08X}", f"{frames:016X}"]
    text = " ".join(["", *fields, *8 * [f"{0:08X}"]])
    return replace(tags, text={**tags.text, GAPLESS: text})


def stated_by_itunes(text: str) -> int | None:
    """Return the samples of the sound that iTunes' tag states; None: it is no such tag."""
    match = _ITUNES.match(text)
    return int(match[1], 16) if match else None


def correct_mp3_padding(path: Path, frames: int) -> None:
    """Correct the padding that an mp3 file without ID3 tag states in its first frame.

    FFmpeg counts the padding of the last packet only, which is up to 47 samples too little where
    the padding begins in the packet before.

    Parameters
    ----------
    path : Path
        Changed in place; files without such a frame stay as they are.
    frames : int
        Samples of the sound in each channel.
    """
    with path.open("r+b") as file:
        head = bytearray(file.read(_HEAD_BYTES))
        match = _XING.search(head)
        if match is None or head[match.end() : match.end() + 4] != _FLAGS:
            return
        at, crc_at = match.start() + _TO_PADDING, match.start() + _TO_CRC
        count = int.from_bytes(head[match.end() + 4 : match.end() + 8], "big")
        is_mpeg_1 = head[1] >> 3 & 3 == 3
        padding = count * (1152 if is_mpeg_1 else 576) - _LAME_DELAY - frames
        if not 0 <= padding < 1 << 12:
            return
        head[at : at + 3] = (_LAME_DELAY << 12 | padding).to_bytes(3, "big")
        head[crc_at : crc_at + 2] = _crc_16(bytes(head[:crc_at])).to_bytes(2, "big")
        file.seek(0)
        file.write(head)


def _crc_16(data: bytes) -> int:
    """Return the CRC-16 (ARC) that LAME's tag has."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
