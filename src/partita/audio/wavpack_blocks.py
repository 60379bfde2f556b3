"""Blocks of damaged WavPack files, because FFmpeg does not search for the next one."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_MAX_BLOCK_BYTES = 1 << 20


def next_wavpack_block(path: Path, offset: int) -> int | None:
    """Return where the next block with sound begins; None: there is none.

    Its header has its position.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(b"wvpk", offset)
        while 0 <= at <= len(data) - 32:
            size, version = struct.unpack_from("<IH", data, at + 4)
            (samples,) = struct.unpack_from("<I", data, at + 20)
            is_whole = 24 <= size <= _MAX_BLOCK_BYTES and at + 8 + size <= len(data)
            if is_whole and 0x402 <= version <= 0x410 and samples:
                return at
            at = data.find(b"wvpk", at + 1)
    return None
