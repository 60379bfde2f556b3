"""Positions of FLAC frames from the numbers in their headers (RFC 9639, section 9.1).

FFmpeg's parser gives wrong times to the frames around a damaged one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from partita.audio.container import open_container

#: Enough for a frame's header.
HEADER_BYTES = 24
#: Enough for a whole frame of usual settings.
_TAIL_BYTES = 1 << 18


_RATES = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
_BITS = (0, 8, 12, 0, 16, 20, 24, 32)


@dataclass(frozen=True)
class FrameHeader:
    """The header of a frame.

    Attributes
    ----------
    number : int
        Of the frame, or of its first sample if lengths vary (`is_variable`).
    block_samples : int
        Its length.
    rate, bits : int
        0: as in the file's header.
    channels : int
    is_variable : bool
    """

    number: int
    block_samples: int
    rate: int
    bits: int
    channels: int
    is_variable: bool

    @property
    def following(self) -> int:
        """The number of the next frame."""
        return self.number + (self.block_samples if self.is_variable else 1)


def read_frame_header(data: bytes) -> FrameHeader | None:
    """Return the header at the beginning of `data`; None: there is no valid one."""
    if len(data) < 6 or data[0] != 0xFF or data[1] & 0xFE != 0xF8:
        return None
    # The number is encoded like a UTF-8 character of up to seven bytes.
    first = data[4]
    count = 1 if first < 0x80 else 8 - (first ^ 0xFF).bit_length()
    number = first if first < 0x80 else first & (0x7F >> count)
    if (count == 1 and first >= 0x80) or count > 7:
        return None
    for byte in data[5 : 4 + count]:
        number = number << 6 | byte & 0x3F
    size_code, rate_code = data[2] >> 4, data[2] & 15
    size_at = 4 + count
    rate_at = size_at + {6: 1, 7: 2}.get(size_code, 0)
    end = rate_at + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if len(data) <= end or not size_code or _checksum(data[:end]) != data[end]:
        return None
    if size_code in (6, 7):
        samples = int.from_bytes(data[size_at:rate_at], "big") + 1
    else:
        samples = {1: 192}.get(size_code) or (
            576 << size_code - 2 if size_code < 6 else 1 << size_code
        )
    coded_rate = int.from_bytes(data[rate_at:end], "big") * {12: 1000, 14: 10}.get(rate_code, 1)
    rate = coded_rate or (_RATES[rate_code] if rate_code < len(_RATES) else 0)
    layout = data[3] >> 4
    channels = layout + 1 if layout < 8 else 2
    bits = _BITS[data[3] >> 1 & 7]
    return FrameHeader(number, samples, rate, bits, channels, bool(data[1] & 1))


def frame_position(packet: bytes, block_samples: int) -> int | None:
    """Return the position of a frame's first sample; None: its header is not valid.

    Parameters
    ----------
    packet : bytes
        A frame, at least its header.
    block_samples : int
        Length of all frames but the last, if it is fixed.
    """
    header = read_frame_header(packet)
    if header is None:
        return None
    return header.number if header.is_variable else header.number * block_samples


def flac_gaps(path: Path, rate: int) -> list[tuple[float, float]]:
    """Return the times between which frames are missing in a file, without decoding it."""
    gaps: list[tuple[float, float]] = []
    with open_container(path) as container:
        stream = container.streams.audio[0]
        block_samples = int.from_bytes((stream.codec_context.extradata or b"")[:2], "big")
        expected: int | None = None
        for packet in container.demux(stream):
            position = frame_position(bytes(packet)[:HEADER_BYTES], block_samples)
            if position is None:
                continue
            if expected is not None and position > expected:
                gaps.append((expected / rate, position / rate))
            expected = position + round((packet.duration or 0) * stream.time_base * rate)
    return gaps


def last_sample(path: Path, stated: int) -> int | None:
    """Return where the last frame with a valid header ends, in samples.

    Parameters
    ----------
    path : Path
    stated : int
        Length of the file by its header, to recognise false matches.
    """
    with path.open("rb") as file:
        info = file.read(12)
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        data = file.read()
    at = len(data)
    while (at := max(data.rfind(b"\xff\xf8", 0, at), data.rfind(b"\xff\xf9", 0, at))) >= 0:
        header = read_frame_header(data[at : at + HEADER_BYTES])
        if header is not None:
            block = 1 if header.is_variable else int.from_bytes(info[8:10], "big")
            end = header.number * block + header.block_samples
            if end <= stated:
                return end
    return None


def _checksum_table() -> bytes:
    table = bytearray()
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value << 1 ^ 0x107) if value & 0x80 else value << 1
        table.append(value)
    return bytes(table)


_TABLE = _checksum_table()


def _checksum(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _TABLE[value ^ byte]
    return value
