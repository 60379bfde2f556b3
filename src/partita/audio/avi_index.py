"""Positions of the sound in an AVI file, from the index at its end.

FFmpeg gets the time by counting the chunks that it finds. Behind damaged chunks it would be early.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from partita.audio.frame_table import FrameTable

_MAX_CHUNKS = 1_000
#: So many index entries are compared with the chunks they point at, and half have to agree.
_PROBES = 16


class _Sound(NamedTuple):
    """The header of an audio stream."""

    number: int
    tick_s: float
    sample_bytes: int
    block_bytes: int
    rate: int
    channels: int

    def length_s(self, size: int) -> float:
        """Return the duration of a chunk of `size` bytes."""
        if self.sample_bytes:
            return size / self.sample_bytes * self.tick_s
        return -(-size // max(1, self.block_bytes)) * self.tick_s


def read_avi_index(path: Path, number: int) -> FrameTable | None:
    """Return offsets and times of an audio stream's chunks.

    Parameters
    ----------
    path : Path
    number : int
        Of the stream among all.

    Returns
    -------
    FrameTable or None
        None: there is no valid index, or more than one.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _read(data, number)
        except (struct.error, ZeroDivisionError, IndexError):
            return None


def _read(data: mmap.mmap, number: int) -> FrameTable | None:
    movi = index = None
    sound: _Sound | None = None
    for name, start, size in _chunks(data, 12, len(data)):
        if name == b"LIST" and data[start : start + 4] == b"hdrl":
            sound = _read_sound(data, start, start + size, number)
        elif name == b"LIST" and data[start : start + 4] == b"movi":
            movi = start
        elif name == b"idx1":
            index = data[start : start + size]
        elif name == b"RIFF":  # files above 1 GB have indexes of another kind
            return None
    if sound is None or movi is None or not index:
        return None
    mark = b"%02dwb" % number
    entries = [entry[2:] for entry in struct.iter_unpack("<4sIII", index) if entry[0] == mark]
    probes = entries[:: max(1, len(entries) // _PROBES)]
    for base in (movi, 0):
        found = sum(data[base + at : base + at + 4] == mark for at, _ in probes)
        if probes and found * 2 > len(probes):
            return _table(entries, base, sound)
    return None


def _table(entries: list[tuple[int, int]], base: int, sound: _Sound) -> FrameTable:
    table = FrameTable(lambda _: None)
    for at, size in entries:
        table.offsets.append(base + at + 8)
        table.times_s.append(table.length_s)
        table.length_s += sound.length_s(size)
        table.end = base + at + 8 + size
    table.shapes[sound.rate, sound.channels] = table.length_s
    return table


def _read_sound(data: mmap.mmap, start: int, end: int, number: int) -> _Sound | None:
    streams = [
        (at + 4, at + size)
        for name, at, size in _chunks(data, start + 4, end)
        if name == b"LIST" and data[at : at + 4] == b"strl"
    ]
    if number >= len(streams):
        return None
    parts = {name: data[at : at + size] for name, at, size in _chunks(data, *streams[number])}
    head, form = parts.get(b"strh", b""), parts.get(b"strf", b"")
    if not head.startswith(b"auds"):
        return None
    scale, ticks_a_second = struct.unpack_from("<II", head, 20)
    (sample_bytes,) = struct.unpack_from("<I", head, 44)
    channels, rate, _, block_bytes = struct.unpack_from("<HIIH", form, 2)
    return _Sound(number, scale / ticks_a_second, sample_bytes, block_bytes, rate, channels)


def _chunks(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for _ in range(_MAX_CHUNKS):
        head = data[at : at + 8]
        if at + 8 > end or len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little")
        yield head[:4], at + 8, size
        at += 8 + size + size % 2
