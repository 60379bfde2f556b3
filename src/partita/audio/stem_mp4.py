"""Native Instruments' ``.stem.mp4``: a mixture and four stems in one file for DJ programs."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from partita.audio.encode import AvWriter
from partita.audio.formats import StemFormat
from partita.audio.tags import Tags
from partita.errors import UsageError

Samples = npt.NDArray[np.float32]

STEM_COUNT = 4
_COLORS = ("#009E73", "#D55E00", "#CC79A7", "#56B4E9")
#: Players want these blocks; both processors are switched off, so the stems sound as they are.
_MASTERING = {
    "compressor": {
        "enabled": False,
        "ratio": 3,
        "output_gain": 0.5,
        "release": 0.3,
        "attack": 0.003,
        "input_gain": 0.5,
        "threshold": 0,
        "hp_cutoff": 300,
        "dry_wet": 50,
    },
    "limiter": {"enabled": False, "release": 0.05, "threshold": 0, "ceiling": -0.35},
}


def check_stem_count(count: int) -> None:
    """Raise `UsageError` where a ``.stem.mp4`` cannot hold that many stems."""
    if count > STEM_COUNT:
        raise UsageError(
            f".stem.mp4 holds {STEM_COUNT} stems, not {count}: choose some with --stems"
        )


def encode_stem_mp4(
    path: Path,
    mixture: Iterable[Samples],
    stems: Mapping[str, Iterable[Samples]],
    form: StemFormat,
    *,
    sample_rate: int,
    channels: int,
    tags: Tags,
) -> None:
    """Write mixture and stems as AAC streams and add the ``stem`` box that players look for.

    Parameters
    ----------
    path : Path
    mixture : iterable of ndarray ``[channels, samples]``
        Becomes stream 0, what an ordinary player plays.
    stems : mapping of str to iterable of ndarray
        At most four, in the same blocks as the mixture; silent streams fill up to four, since
        players expect exactly that many.
    form, sample_rate, channels, tags
        As for `partita.audio.encode.encode_file`.
    """
    check_stem_count(len(stems))
    names = [*stems, *["empty"] * (STEM_COUNT - len(stems))]
    writer = AvWriter(
        path, form, sample_rate, [channels] * (1 + STEM_COUNT), tags, ["mixture", *names]
    )
    with contextlib.closing(writer):
        streams = [writer.convert(mixture, sample_rate, channels)]
        streams += [writer.convert(stem, sample_rate, channels) for stem in stems.values()]
        for blocks in zip(*streams, strict=True):
            for index in range(1 + STEM_COUNT):
                block = blocks[index] if index < len(blocks) else np.zeros_like(blocks[0])
                writer.write(index, block)
        writer.flush()
    _append_stem_box(path, names)


def _append_stem_box(path: Path, names: list[str]) -> None:
    """Add ``moov/udta/stem`` to a finished mp4 whose ``moov`` is the last box, as FFmpeg puts it.

    Nothing behind the inserted bytes holds file offsets, so only the sizes of the two boxes
    around them change.
    """
    stems = [{"name": name, "color": color} for name, color in zip(names, _COLORS, strict=True)]
    content = {"mastering_dsp": _MASTERING, "version": 1, "stems": stems}
    stem_box = _box(b"stem", json.dumps(content).encode())
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        start, size = _find_box(file, b"moov", 0, end)
        if start + size != end:
            raise ValueError("moov is not the last box")
        file.seek(start)
        moov = file.read(size)
        children, udta = [], b""
        position = 8
        while position < len(moov):
            (length,) = struct.unpack(">I", moov[position : position + 4])
            child = moov[position : position + length]
            if child[4:8] == b"udta":
                udta = child[8:]
            else:
                children.append(child)
            position += length
        children.append(_box(b"udta", udta + stem_box))
        file.seek(start)
        file.write(_box(b"moov", b"".join(children)))


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _find_box(file: IO[bytes], name: bytes, start: int, end: int) -> tuple[int, int]:
    while start < end:
        file.seek(start)
        size, found = struct.unpack(">I4s", file.read(8))
        if size == 1:  # a 64-bit length follows
            (size,) = struct.unpack(">Q", file.read(8))
        if found == name:
            return start, size
        start += size
    raise ValueError(f"no {name.decode()} box")
