"""Offset of each frame of a raw mp3, AAC, AC-3, DTS, … file, from the frames' headers.

FFmpeg gets the time in such files by counting frames, and is early behind damage. The table has the
duration of damaged bytes, and the sample rates and channel counts of the file, without decoding.
"""

from __future__ import annotations

import bisect
import mmap
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from partita.audio.frame_headers import HEADER_BYTES, KINDS, Header, ReadHeader

#: FFmpeg's codecs in wav files → the kind of their headers.
_IN_WAV = {
    **dict.fromkeys(("mp3", "mp3float", "mp2", "mp2float"), "mp3"),
    **{"ac3": "ac3", "eac3": "eac3", "dca": "dts"},
}
#: Changes of sample rate or channels for less than this are damage.
_MIN_SHAPE_S = 0.5
#: Largest offset of a Xing header.
_XING_BYTES = 64
#: Bytes that identify a packet, and number of frames in which a lost packet is searched.
_HEAD_BYTES, _MAX_SEARCH = 24, 2_000
#: Rounding error of sums of frame lengths.
_MIN_DAMAGE_S = 1e-3
#: Offsets that are tried as beginnings of frames; only noise needs more.
_MAX_TRIES = 200_000


@dataclass
class FrameTable:
    """The frames of a file.

    Attributes
    ----------
    read_header : callable
        Reads a frame's header.
    offsets : array of int
        Offsets of the frames in bytes.
    times_s : array of float
        Times of the frames in seconds from the first one, damage included.
    shapes : dict of (int, int) to float
        Duration in seconds of each ``(rate, channels)``.
    length_s : float
        In seconds.
    announced_s : float or None
        Length by the file's Xing header.
    end : int
        Where the last frame ends, in bytes.
    """

    read_header: ReadHeader
    offsets: array[int] = field(default_factory=lambda: array("q"))
    times_s: array[float] = field(default_factory=lambda: array("d"))
    shapes: dict[tuple[int, int], float] = field(default_factory=dict)
    length_s: float = 0.0
    announced_s: float | None = None
    end: int = 0

    def frame_length_s(self, packet: bytes) -> float:
        """Return the length of a frame; 0: its header cannot be read."""
        header = self.read_header(packet[:HEADER_BYTES])
        return header[1] / header[2] if header and header[1] else 0.0

    def time_s(self, offset: int) -> float:
        """Return the time at an offset; within damage it is interpolated."""
        index = max(0, bisect.bisect_right(self.offsets, offset) - 1)
        start, start_s = self.offsets[index], self.times_s[index]
        if offset <= start:
            return start_s
        if index + 1 == len(self.offsets):
            return self.length_s
        share = (offset - start) / (self.offsets[index + 1] - start)
        return start_s + share * (self.times_s[index + 1] - start_s)

    @property
    def is_whole(self) -> bool:
        """Whether the file has no gaps between its frames."""
        return self.length_s - sum(self.shapes.values()) < _MIN_DAMAGE_S

    @property
    def first_rate(self) -> int:
        """The sample rate at the beginning."""
        return next(iter(self.shapes))[0]

    @property
    def rate(self) -> int:
        """The sample rate at the beginning, unless another lasts twice as long."""
        rates: dict[int, float] = {}
        for (rate, _), length_s in self.shapes.items():
            rates[rate] = rates.get(rate, 0.0) + length_s
        most = max(rates, key=lambda rate: rates[rate])
        return most if rates[self.first_rate] < rates[most] / 2 else self.first_rate

    @property
    def channels(self) -> int:
        """The largest channel count that lasts longer than `_MIN_SHAPE_S`."""
        least_s = min(_MIN_SHAPE_S, *self.shapes.values())
        return max(count for (_, count), held_s in self.shapes.items() if held_s >= least_s)


class FrameFinder:
    """Finds packets in a damaged file, because FFmpeg's offsets are wrong behind skipped bytes.

    Parameters
    ----------
    path : Path
    table : FrameTable
        The file's frames.
    """

    def __init__(self, path: Path, table: FrameTable) -> None:
        self._path, self._table = path, table
        self._shift = self._last = 0

    def offset(self, stated: int, packet: bytes) -> int:
        """Return where a packet is that FFmpeg states to be at `stated`."""
        head = packet[:_HEAD_BYTES]
        with self._path.open("rb") as file:

            def is_at(offset: int) -> bool:
                file.seek(offset)
                return file.read(len(head)) == head

            if not is_at(stated + self._shift):
                begin = bisect.bisect_left(self._table.offsets, self._last)
                for offset in self._table.offsets[begin : begin + _MAX_SEARCH]:
                    if is_at(offset):
                        self._shift = offset - stated
                        break
        self._last = stated + self._shift
        return self._last


def read_frame_table(path: Path, kind: str, codec: str = "") -> FrameTable | None:
    """Return the table of a raw file; None: use FFmpeg's timestamps.

    Parameters
    ----------
    path : Path
    kind : str
        FFmpeg's name of the demuxer.
    codec : str
        FFmpeg's name of the codec, for wav files that hold frames.
    """
    frames = _IN_WAV.get(codec, "") if kind == "wav" else kind
    if frames not in KINDS:
        return None
    new_reader, sync, ahead = KINDS[frames]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begin = _data_chunk(data) if kind == "wav" else 0
        return _scan(data, new_reader(), (sync, ahead), begin)


def _data_chunk(data: mmap.mmap) -> int:
    """Return where the sound of a wav file begins."""
    at = 12
    while at < len(data) - 8 and data[at : at + 4] != b"data":
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return at + 8


def _scan(
    data: mmap.mmap, read_header: ReadHeader, sync: tuple[bytes, int], begin: int
) -> FrameTable | None:
    table = FrameTable(read_header)
    decoded_s, decoded_bytes = 0.0, 0
    at, end = begin, len(data)
    tries = _MAX_TRIES
    header = read_header(data[at : at + HEADER_BYTES])
    is_behind_frame = False
    while at < end:
        if header is not None:
            size, samples, rate, channels = header
            following = at + size
            next_header = read_header(data[following : following + HEADER_BYTES])
            # Random bytes can look like a header: a frame is followed by another, a tag or the end.
            if next_header or following >= end or after_tags(data, following) > following:
                if not is_behind_frame and _is_index(data[at : at + _XING_BYTES]):
                    if not table.offsets:
                        table.announced_s = _announced_s(data[at : at + _XING_BYTES], header)
                elif samples:
                    frame_s = samples / rate
                    table.offsets.append(at)
                    table.end = following
                    table.times_s.append(table.length_s)
                    table.length_s += frame_s
                    held_s = table.shapes.get((rate, channels), 0.0)
                    table.shapes[rate, channels] = held_s + frame_s
                    decoded_s += frame_s
                decoded_bytes += size
                at, header, is_behind_frame = following, next_header, True
                continue
        lost_from = after_tags(data, at)
        at, tries = _resync(data, max(at + 1, lost_from), read_header, sync, tries)
        if tries <= 0:
            return None
        if table.offsets and at < end:
            lost_s = (at - lost_from) * decoded_s / decoded_bytes
            frame_s = decoded_s / len(table.offsets)
            table.length_s += round(lost_s / frame_s) * frame_s
        header, is_behind_frame = read_header(data[at : at + HEADER_BYTES]), False
    return table if table.offsets else None


def _is_index(frame: bytes) -> bool:
    """Return whether a frame holds a seek table instead of sound."""
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _announced_s(frame: bytes, header: Header) -> float | None:
    """Return the length that a Xing header states."""
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or len(frame) < at + 12 or not frame[at + 7] & 1:
        return None
    return int.from_bytes(frame[at + 8 : at + 12], "big") * header[1] / header[2]


def _resync(
    data: mmap.mmap, at: int, read_header: ReadHeader, sync: tuple[bytes, int], tries: int
) -> tuple[int, int]:
    """Return where the next two successive frames begin, or the end; and the remaining tries."""
    end, (mark, ahead) = len(data), sync
    while tries > 0:
        at = data.find(mark, at + ahead) - ahead
        if at < 0:
            return end, tries
        tries -= 1
        header = read_header(data[at : at + HEADER_BYTES])
        if header is not None and header[1]:
            following = at + header[0]
            behind = read_header(data[following : following + HEADER_BYTES])
            if following == end or (behind and (behind[2:] == header[2:] or not behind[1])):
                return at, tries
        at += 1
    return end, tries


def after_tags(data: mmap.mmap | bytes, at: int) -> int:
    """Return the end of ID3 and APE tags that begin here."""
    while True:
        head = data[at : at + 16]
        if head.startswith(b"ID3") and len(head) > 9:
            size = sum(
                (byte & 127) << shift
                for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)
            )
            at += 10 + size
        elif head.startswith(b"TAG"):
            at += 128
        elif head.startswith(b"APETAGEX") and len(head) == 16:
            at += 32 + int.from_bytes(head[12:16], "little")
        else:
            return at
