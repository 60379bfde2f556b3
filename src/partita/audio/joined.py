"""Concatenated files: chained Ogg, and most other formats."""

from __future__ import annotations

import contextlib
import mmap
import re
from collections.abc import Generator, Iterator
from pathlib import Path

from partita.audio.audio_reader import AudioReader, Samples, rechunk
from partita.audio.cut_short import stated_size
from partita.audio.ffmpeg import FFmpegReader
from partita.audio.flac_parts import flac_parts
from partita.audio.formats import CHUNKS
from partita.audio.frame_table import after_tags
from partita.audio.ogg_parts import ogg_parts
from partita.audio.slices import FilePart, FileSlice
from partita.audio.timeline import describe_spans, silence, trimmed, uniform
from partita.errors import AudioReadError

_MAX_PARTS = 10_000
#: Largest tags between two files; covers are at the beginning of files.
_TAG_BYTES = 1 << 16
#: Flash video does not state its length.
_FLV_START = re.compile(rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09\x00\x00\x00\x00")
#: A part may be shorter than stated by this much, because of rounding and padding.
_MIN_LOST_S = 0.1


class JoinedReader(AudioReader):
    """Reads the parts of a file, with their own sample rates and channel counts, as one song.

    FFmpeg's demuxers read such files as one, and fail or lose time if the parts differ.

    Parameters
    ----------
    parts : list of FilePart
    stream : int or None
        Number among the audio streams of each part; None: its default one.

    Raises
    ------
    AudioReadError
        A part that is not the last one cannot be decoded, and its length is unknown.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        parts: list[FilePart],
        stream: int | None,
        start_s: float,
        duration_s: float | None,
    ) -> None:
        super().__init__(path, name, start_s, duration_s)
        self._number, self._parts = stream, parts
        self.last_part_at = parts[-1].start
        self._broken: set[int] = set()
        rates: dict[int, float] = {}
        self.channels = 1
        total_s: float | None = 0.0
        is_stated = True
        first_error: AudioReadError | None = None
        lost: AudioReadError | None = None
        for number, part in enumerate(parts):
            try:
                with self._part(number) as reader:
                    rate, channels = reader.sample_rate, reader.channels
                    length_s = reader.duration_s
                    is_stated &= reader.frames_stated
            except AudioReadError as error:
                first_error = first_error or error
                self._broken.add(number)
                if part.length_s is None:
                    # Its length is unknown: only the last part may be lost without shifting others.
                    lost = lost or error
                else:
                    total_s = None if total_s is None else total_s + part.length_s
                continue
            if lost is not None:
                raise lost
            total_s = None if total_s is None or length_s is None else total_s + length_s
            rates[rate] = rates.get(rate, 0.0) + (length_s or 0.0)
            self.channels = max(self.channels, channels)
        if first_error is not None and not rates:
            raise first_error
        if lost is not None:
            self.warnings.append(f"{lost}: it was left out")
        self.sample_rate = max(rates, key=lambda rate: rates[rate])
        self.frames_stated = is_stated and lost is None
        self.frames = None
        if total_s is not None:
            self.frames = self.excerpt_of(round(total_s * self.sample_rate)) or None

    @contextlib.contextmanager
    def _part(self, number: int) -> Iterator[FFmpegReader]:
        part = self._parts[number]
        name = self.name
        if len(self._parts) > 1:
            name += f" (part {number + 1} of {len(self._parts)})"
        with (
            FileSlice(self.path, part.start, part.end, prefix=part.prefix) as source,
            FFmpegReader(self.path, name, self._number, source=source) as reader,
        ):
            yield reader

    def samples(self, block_samples: int) -> Generator[Samples, None, None]:
        """Yield the excerpt in blocks; decodes from the beginning."""
        blocks = uniform(self._pieces(), self.channels, self.sample_rate)
        return rechunk(trimmed(blocks, self.start, self.limit), block_samples)

    def _pieces(self) -> Iterator[tuple[Samples, int]]:
        began_s = 0.0
        for number, part in enumerate(self._parts):
            got_s, rate = 0.0, self.sample_rate
            if number not in self._broken:
                with self._part(number) as reader:
                    reader.shift_s, rate = began_s, reader.sample_rate
                    reader.clock.is_from_zero = bool(part.prefix)
                    for block in reader.samples(1 << 16):
                        yield block, rate
                        got_s += block.shape[1] / rate
                    self.warnings += reader.warnings
            if part.length_s is not None and part.length_s - got_s > _MIN_LOST_S:
                span = (began_s + got_s, began_s + part.length_s)
                self._warn_of_silence(span, number)
                missing = round((part.length_s - got_s) * rate)
                yield from silence(self.channels, missing, rate)
                got_s = part.length_s
            began_s += got_s

    def _warn_of_silence(self, span: tuple[float, float], number: int) -> None:
        until_s = float("inf") if self.limit_s is None else self.start_s + self.limit_s
        span = max(span[0], self.start_s), min(span[1], until_s)
        if span[0] < span[1]:
            self.warnings.append(
                f"{self.name} (part {number + 1} of {len(self._parts)}): silence from "
                f"{describe_spans([span])}, where the file holds nothing that can be decoded"
            )

    def _close(self) -> None:
        pass


def find_parts(path: Path, head: bytes) -> list[FilePart]:
    """Return the parts of a file; usually one.

    Parameters
    ----------
    path : Path
    head : bytes
        The file's first bytes.
    """
    if not head.startswith((b"fLaC", b"OggS", b"FLV")):
        return _whole_files(path, head)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if head.startswith(b"FLV"):
            following = (match.start() for match in _FLV_START.finditer(data, 1))
            parts = _between([0, *following])
        else:
            parts = flac_parts(data) if head.startswith(b"fLaC") else ogg_parts(data)
    return parts[:_MAX_PARTS]


def _whole_files(path: Path, head: bytes) -> list[FilePart]:
    """Return the parts of concatenated files that state their own size."""
    starts: list[int] = []
    following: int | None = 0
    while following is not None and len(starts) < _MAX_PARTS:
        starts.append(following)
        with FileSlice(path, following) as rest:
            following = _next_file(rest, head, following)
    return _between(starts)


def _between(starts: list[int]) -> list[FilePart]:
    ends: list[int | None] = [*starts[1:], None]
    return [FilePart(start, end) for start, end in zip(starts, ends, strict=True)]


def _next_file(file: FileSlice, head: bytes, begin: int) -> int | None:
    """Return where another file of the same kind follows the first one of `file`."""
    size = stated_size(file)
    for end in () if not size else (size, size + size % 2):
        file.seek(end)
        # There may be tags between two files.
        behind = end + after_tags(file.read(_TAG_BYTES) or b"", 0)
        file.seek(behind)
        if _begins_alike(file.read(16) or b"", head):
            return begin + behind
    return None


def _begins_alike(found: bytes, head: bytes) -> bool:
    if found[4:8] == b"ftyp":
        return head[4:8] == b"ftyp"
    # The form type of RIFF follows its size: long AVI files continue in chunks of another type.
    kind = slice(8, 12) if head.startswith(CHUNKS) else slice(0, 4)
    return len(found) == 16 and found[:4] == head[:4] and found[kind] == head[kind]
