"""Where FLAC frames belong, by the numbers in their own headers (RFC 9639, section 9.1).

FFmpeg's parser gives wrong times to the frames around a damaged one.
"""

from __future__ import annotations

from pathlib import Path

from partita.audio.container import open_container

#: Long enough for a frame's header.
HEADER_BYTES = 24


def frame_position(packet: bytes, block_samples: int) -> int | None:
    """Return a frame's first sample, None if there is no sound header at its beginning.

    Parameters
    ----------
    packet : bytes
        A frame, its header at least.
    block_samples : int
        Length of all frames but the last, where that is fixed.
    """
    if len(packet) < 6 or packet[0] != 0xFF or packet[1] & 0xFE != 0xF8:
        return None
    is_variable = packet[1] & 1
    # The number is coded like a character of UTF-8, with up to seven bytes.
    first = packet[4]
    count = 1 if first < 0x80 else 8 - (first ^ 0xFF).bit_length()
    number = first if first < 0x80 else first & (0x7F >> count)
    if (count == 1 and first >= 0x80) or count > 7:
        return None
    for byte in packet[5 : 4 + count]:
        number = number << 6 | byte & 0x3F
    end = 4 + count
    end += {6: 1, 7: 2}.get(packet[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(packet[2] & 15, 0)
    if len(packet) <= end or _checksum(packet[:end]) != packet[end]:
        return None
    return number if is_variable else number * block_samples


def flac_gaps(path: Path, rate: int) -> list[tuple[float, float]]:
    """Return from when to when frames are missing in a file, without decoding it."""
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


def _checksum(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x107) if value & 0x80 else value << 1
    return value
