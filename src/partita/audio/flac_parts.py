"""Where the parts of joined FLAC files begin, even if a part's header is damaged.

Frames are numbered from zero in every part. If the numbers restart without a header, one is made
from the frames.
"""

from __future__ import annotations

import heapq
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from partita.audio.flac_frames import HEADER_BYTES, FrameHeader, read_frame_header
from partita.audio.slices import FilePart

_MARK = b"fLaC"
_INFO_HEAD = b"\x80\x00\x00\x22"  # STREAMINFO, the only block
_INFO_BYTES = 34
#: First bytes of a frame and of a part; most false matches fail here already. Two expressions that
#: begin with one byte are found several times as fast as one for both.
_FRAME = re.compile(rb"\xff[\xf8\xf9][\x10-\xff][\x00-\xae]", re.S)
_PART = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22", re.S)


class StreamInfo(NamedTuple):
    """The header of a part; `samples` is 0 if it does not state them."""

    least_block: int
    most_block: int
    rate: int
    channels: int
    bits: int
    samples: int

    def to_bytes(self) -> bytes:
        """Return it as the beginning of a FLAC file."""
        facts = self.rate << 44 | self.channels - 1 << 41 | self.bits - 1 << 36 | self.samples
        info = self.least_block.to_bytes(2, "big") + self.most_block.to_bytes(2, "big")
        info += bytes(6) + facts.to_bytes(8, "big") + bytes(16)  # no frame sizes, no MD5
        return _MARK + _INFO_HEAD + info


@dataclass
class _Run:
    """The frames of one part: where it begins, its header, where its frames are."""

    start: int
    info: StreamInfo | None
    first: FrameHeader | None = None
    last: FrameHeader | None = None
    first_at: int = 0

    def takes(self, header: FrameHeader) -> bool:
        """Return whether a frame that does not follow the last one may still be a later one."""
        if self.last is None:
            return True
        if header.is_variable != self.last.is_variable or header.number < self.last.following:
            return False
        total = self.info.samples if self.info else 0
        size = 1 if header.is_variable else self.block_samples
        is_complete = 0 < total == self.last.number * size + self.last.block_samples
        return not (is_complete and header.number * size >= total)

    @property
    def block_samples(self) -> int:
        """Length of all frames but the last."""
        found = max(header.block_samples for header in (self.first, self.last) if header)
        return max(found, self.info.least_block) if self.info else found


def flac_parts(data: mmap.mmap) -> list[FilePart]:
    """Return the parts of a file that begins like FLAC.

    Parameters
    ----------
    data : mmap
        The whole file.
    """
    runs = _runs(data)
    ends = [following.start for following in runs[1:]]
    if len(runs) == 1:
        return [FilePart(0)]
    parts: list[FilePart] = []
    before: StreamInfo | None = None
    for run, end in zip(runs, [*ends, None], strict=True):
        part = FilePart(run.start, end)
        info = run.info
        if run.first is not None and (info is None or not _agree(info, run.first)):
            made = _made_info(run, info or before)
            if made is not None:
                info, part = made, FilePart(run.first_at, end, made.to_bytes())
        before = info or before
        parts.append(part)
    return parts


def _runs(data: mmap.mmap) -> list[_Run]:
    runs = [_Run(0, _read_info(data, 0))]
    pending: tuple[int, FrameHeader] | None = None
    for at, header in _headers(data):
        run = runs[-1]
        if header is None:
            runs.append(_Run(at, _read_info(data, at)))
            pending = None
        elif run.last is not None and _follows(run.last, header):
            run.last, pending = header, None
        elif pending is not None and _follows(pending[1], header):
            # Two in a row are no coincidence.
            pending_at, before = pending
            if not run.takes(before):
                runs.append(_Run(pending_at, None))
                run = runs[-1]
            if run.first is None:
                run.first, run.first_at = before, pending_at
            run.last, pending = header, None
        else:
            pending = at, header
    return [run for run in runs if run.start == 0 or run.info or run.first]


def _headers(data: mmap.mmap) -> Iterator[tuple[int, FrameHeader | None]]:
    """Yield offsets and headers of frames; None for the beginning of a part."""
    found = ((match.start() for match in each.finditer(data)) for each in (_FRAME, _PART))
    for at in heapq.merge(*found):
        if data[at] == _MARK[0]:
            if at and _read_info(data, at):
                yield at, None
        elif (header := read_frame_header(data[at : at + HEADER_BYTES])) is not None:
            yield at, header


def _follows(before: FrameHeader, header: FrameHeader) -> bool:
    return before.is_variable == header.is_variable and before.following == header.number


def _read_info(data: mmap.mmap, at: int) -> StreamInfo | None:
    """Return a part's header; None: its block sizes are impossible."""
    info = data[at + 8 : at + 8 + _INFO_BYTES]
    least, most = int.from_bytes(info[:2], "big"), int.from_bytes(info[2:4], "big")
    if len(info) < _INFO_BYTES or not (16 <= least <= most):
        return None
    facts = int.from_bytes(info[10:18], "big")
    channels, bits = (facts >> 41 & 7) + 1, (facts >> 36 & 31) + 1
    return StreamInfo(least, most, facts >> 44, channels, bits, facts & (1 << 36) - 1)


def _agree(info: StreamInfo, header: FrameHeader) -> bool:
    """Return whether a header can be that of a frame."""
    return (
        header.rate in (0, info.rate)
        and header.bits in (0, info.bits)
        and header.channels == info.channels
    )


def _made_info(run: _Run, model: StreamInfo | None) -> StreamInfo | None:
    """Return a header made from frames; fields that frames lack come from another header."""
    first, last = run.first, run.last
    if first is None or last is None:
        return None
    rate = first.rate or (model.rate if model else 0)
    bits = first.bits or (model.bits if model else 0)
    if not rate or not bits:
        return None
    size = 1 if first.is_variable else first.block_samples
    blocks = (16, 65535) if first.is_variable else (size, size)
    samples = last.number * size + last.block_samples
    return StreamInfo(*blocks, rate, first.channels, bits, samples)
