"""Where each frame of a raw mp3, aac or ac3 file lies, from the frames' own headers.

FFmpeg counts the frames of such files to get the time. Where bytes are damaged it loses count, and
what follows would be early. The table tells how long the damaged bytes were, and which rates and
channel counts the file holds, without decoding anything.
"""

from __future__ import annotations

import bisect
import mmap
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

#: ``(bytes, samples, rate, channels)`` of a frame.
Header = tuple[int, int, int, int]

_MP3_RATES = (44100, 48000, 32000)
_MP3_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_AAC_RATES = (
    *(96000, 88200, 64000, 48000, 44100, 32000),
    *(24000, 22050, 16000, 12000, 11025, 8000, 7350),
)
_AC3_KBPS = (
    *(32, 40, 48, 56, 64, 80, 96, 112, 128, 160),
    *(192, 224, 256, 320, 384, 448, 512, 576, 640),
)
_AC3_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)
#: A shape that holds for less is damage, not music.
_MIN_SHAPE_S = 0.5
#: Where a Xing header stands at the latest.
_XING_BYTES = 64
#: Bytes that tell one packet from another, and frames among which a lost one is looked for.
_HEAD_BYTES, _MAX_SEARCH = 24, 2_000
#: Sums of frame lengths agree to less than this.
_MIN_DAMAGE_S = 1e-3
#: Places that are tried as beginnings of frames; more are needed for noise only.
_MAX_TRIES = 200_000


def mp3_header(data: bytes) -> Header | None:
    """Read the four bytes in front of an MPEG audio frame; None if they are something else."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = (data[1] >> 3) & 3, 4 - ((data[1] >> 1) & 3)
    kbps_index, rate_index, padding = data[2] >> 4, (data[2] >> 2) & 3, (data[2] >> 1) & 1
    if version == 1 or layer == 4 or rate_index == 3 or kbps_index in (0, 15):
        return None
    rate = _MP3_RATES[rate_index] // {3: 1, 2: 2, 0: 4}[version]
    kbps = _MP3_KBPS[1 if version == 3 else 2, layer][kbps_index - 1]
    channels = 1 if data[3] >> 6 == 3 else 2
    if layer == 1:
        return (12_000 * kbps // rate + padding) * 4, 384, rate, channels
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * 1000 * kbps // rate + padding, samples, rate, channels


def aac_header(data: bytes) -> Header | None:
    """Read an ADTS header; channels are 0 where the frame itself says how many."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    rate_index = (data[2] >> 2) & 15
    size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    if rate_index >= len(_AAC_RATES) or size < 7:
        return None
    channels = (data[2] & 1) << 2 | data[3] >> 6
    samples = 1024 * ((data[6] & 3) + 1)
    return size, samples, _AAC_RATES[rate_index], 8 if channels == 7 else channels


def ac3_header(data: bytes) -> Header | None:
    """Read the head of an AC-3 frame (not E-AC-3)."""
    if len(data) < 8 or data[:2] != b"\x0b\x77" or data[5] >> 3 > 10:
        return None
    rate_index, size_index = data[4] >> 6, data[4] & 63
    if rate_index == 3 or size_index >= 38:
        return None
    kbps = _AC3_KBPS[size_index >> 1]
    rate = (48000, 44100, 32000)[rate_index]
    words = {48000: 2 * kbps, 44100: 320 * kbps // 147 + (size_index & 1), 32000: 3 * kbps}[rate]
    mode = data[6] >> 5
    bits = data[6] << 8 | data[7]
    skipped = 3 + 2 * (mode & 1 and mode != 1) + 2 * bool(mode & 4) + 2 * (mode == 2)
    has_lfe = (bits >> (15 - skipped)) & 1
    return 2 * words, 1536, rate, _AC3_CHANNELS[mode] + has_lfe


ReadHeader = Callable[[bytes], Header | None]
#: FFmpeg's demuxer → how its headers are read, and what they begin with.
_KINDS: dict[str, tuple[ReadHeader, bytes]] = {
    "mp3": (mp3_header, b"\xff"),
    "aac": (aac_header, b"\xff"),
    "ac3": (ac3_header, b"\x0b\x77"),
}


@dataclass
class FrameTable:
    """Frames of a file.

    Attributes
    ----------
    offsets : array of int
        Where frames begin, in bytes.
    times_s : array of float
        Where they begin, in seconds from the first frame; damage counts.
    shapes : dict of (int, int) to float
        How many seconds hold for each ``(rate, channels)``.
    length_s : float
        In seconds.
    announced_s : float or None
        Length by the file's Xing header.
    end : int
        Where the last frame ends, in bytes.
    """

    offsets: array[int] = field(default_factory=lambda: array("q"))
    times_s: array[float] = field(default_factory=lambda: array("d"))
    shapes: dict[tuple[int, int], float] = field(default_factory=dict)
    length_s: float = 0.0
    announced_s: float | None = None
    end: int = 0

    def time_s(self, offset: int) -> float:
        """Return when the sound at an offset begins; within damage by its share of the bytes."""
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
        """Tell whether all of the file is frames."""
        return self.length_s - sum(self.shapes.values()) < _MIN_DAMAGE_S

    @property
    def first_rate(self) -> int:
        """The rate at the beginning."""
        return next(iter(self.shapes))[0]

    @property
    def rate(self) -> int:
        """The rate at the beginning, unless another holds twice as long."""
        rates: dict[int, float] = {}
        for (rate, _), length_s in self.shapes.items():
            rates[rate] = rates.get(rate, 0.0) + length_s
        most = max(rates, key=lambda rate: rates[rate])
        return most if rates[self.first_rate] < rates[most] / 2 else self.first_rate

    @property
    def channels(self) -> int:
        """The most channels that hold for longer than damage would."""
        least_s = min(_MIN_SHAPE_S, *self.shapes.values())
        return max(count for (_, count), held_s in self.shapes.items() if held_s >= least_s)


class FrameFinder:
    """Finds packets in a damaged file: behind bytes that it skipped FFmpeg gives wrong offsets.

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
        """Return where a packet begins that is said to be at `stated`."""
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


def read_frame_table(path: Path, kind: str) -> FrameTable | None:
    """Return the table of a raw file, None where FFmpeg's own count has to do.

    Parameters
    ----------
    path : Path
    kind : str
        FFmpeg's name of the demuxer.
    """
    if kind not in _KINDS:
        return None
    read_header, sync = _KINDS[kind]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _scan(data, read_header, sync)


def frame_length_s(packet: bytes, kind: str) -> float:
    """Return how long a whole frame is, 0 where its header cannot be read."""
    header = _KINDS[kind][0](packet[:8])
    return header[1] / header[2] if header else 0.0


def _scan(data: mmap.mmap, read_header: ReadHeader, sync: bytes) -> FrameTable | None:
    table = FrameTable()
    decoded_s, decoded_bytes = 0.0, 0
    at, end = 0, len(data)
    tries = _MAX_TRIES
    header = read_header(data[:8])
    is_behind_frame = False
    while at < end:
        if header is not None:
            size, samples, rate, channels = header
            following = at + size
            next_header = read_header(data[following : following + 8])
            # Chance makes headers too: behind a frame there is another, a tag or the end.
            if next_header or following >= end or after_tags(data, following) > following:
                if not is_behind_frame and _is_index(data[at : at + _XING_BYTES]):
                    if not table.offsets:
                        table.announced_s = _announced_s(data[at : at + _XING_BYTES], header)
                else:
                    frame_s = samples / rate
                    table.offsets.append(at)
                    table.end = following
                    table.times_s.append(table.length_s)
                    table.length_s += frame_s
                    held_s = table.shapes.get((rate, channels), 0.0)
                    table.shapes[rate, channels] = held_s + frame_s
                    decoded_s, decoded_bytes = decoded_s + frame_s, decoded_bytes + size
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
        header, is_behind_frame = read_header(data[at : at + 8]), False
    return table if table.offsets else None


def _is_index(frame: bytes) -> bool:
    """Tell whether a frame holds a table for seeking, and no sound."""
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _announced_s(frame: bytes, header: Header) -> float | None:
    """Return the length that a Xing header states."""
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or len(frame) < at + 12 or not frame[at + 7] & 1:
        return None
    return int.from_bytes(frame[at + 8 : at + 12], "big") * header[1] / header[2]


def _resync(
    data: mmap.mmap, at: int, read_header: ReadHeader, sync: bytes, tries: int
) -> tuple[int, int]:
    """Return where the next two frames in a row begin, or the end; and the tries that are left."""
    end = len(data)
    while tries > 0:
        at = data.find(sync, at)
        if at < 0:
            return end, tries
        tries -= 1
        header = read_header(data[at : at + 8])
        if header is not None:
            following = at + header[0]
            behind = read_header(data[following : following + 8])
            if following == end or (behind and behind[2:] == header[2:]):
                return at, tries
        at += 1
    return end, tries


def after_tags(data: mmap.mmap | bytes, at: int) -> int:
    """Return where the tags end that begin here: ID3 and APE tags are no sound."""
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
