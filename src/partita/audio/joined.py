"""Files that are several files one behind the other: chained Ogg, and any others, joined."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Generator, Iterator
from pathlib import Path

from partita.audio.audio_reader import AudioReader, Samples, rechunk
from partita.audio.cut_short import stated_size
from partita.audio.ffmpeg import FFmpegReader
from partita.audio.slices import FileSlice
from partita.audio.timeline import trimmed, uniform
from partita.errors import AudioReadError

_FLAC_START = b"fLaC\x00\x00\x00\x22"
_OGG_CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
_MAX_PARTS = 10_000


class JoinedReader(AudioReader):
    """Parts of a file, each with its own rate and channel count, as one song.

    FFmpeg's demuxers read such files as one, and fail or lose time where the parts differ.

    Parameters
    ----------
    offsets : list of int
        Where the parts begin, in bytes.
    stream : int or None
        Number among the audio streams of each part; None: its default one.

    Raises
    ------
    AudioReadError
        A part that others follow cannot be decoded.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        offsets: list[int],
        stream: int | None,
        start_s: float,
        duration_s: float | None,
    ) -> None:
        super().__init__(path, name, start_s, duration_s)
        self._number = stream
        ends: list[int | None] = [*offsets[1:], None]
        self._spans = list(zip(offsets, ends, strict=True))
        rates: dict[int, float] = {}
        self.channels = 1
        total_s: float | None = 0.0
        self._count = self._readable = len(self._spans)
        broken: AudioReadError | None = None
        for part in range(self._count):
            try:
                with self._part(part) as reader:
                    rate, channels = reader.sample_rate, reader.channels
                    length_s = reader.duration_s
            except AudioReadError as error:
                # How long it was is not known: only at the end it moves nothing.
                self._readable = min(self._readable, part)
                broken = broken or error
                continue
            if broken is not None:
                raise broken
            total_s = None if total_s is None or length_s is None else total_s + length_s
            rates[rate] = rates.get(rate, 0.0) + (length_s or 0.0)
            self.channels = max(self.channels, channels)
        if broken is not None:
            if not rates:
                raise broken
            self.warnings.append(f"{broken}: it was left out")
        self.sample_rate = max(rates, key=lambda rate: rates[rate])
        self.frames = None
        if total_s is not None:
            self.frames = self.excerpt_of(round(total_s * self.sample_rate)) or None

    @contextlib.contextmanager
    def _part(self, number: int) -> Iterator[FFmpegReader]:
        start, end = self._spans[number]
        name = f"{self.name} (part {number + 1} of {self._count})"
        with (
            FileSlice(self.path, start, end) as source,
            FFmpegReader(self.path, name, self._number, source=source) as reader,
        ):
            yield reader

    def samples(self, block_samples: int) -> Generator[Samples, None, None]:
        """Yield the excerpt in blocks, found by decoding from the beginning."""
        blocks = uniform(self._pieces(), self.channels, self.sample_rate)
        return rechunk(trimmed(blocks, self.start, self.limit), block_samples)

    def _pieces(self) -> Iterator[tuple[Samples, int]]:
        for number in range(self._readable):
            with self._part(number) as reader:
                for block in reader.samples(1 << 16):
                    yield block, reader.sample_rate
                self.warnings += reader.warnings

    def _close(self) -> None:
        pass


def find_parts(path: Path, head: bytes) -> list[int]:
    """Return where the parts of a file begin; one offset means that it is one piece.

    Parameters
    ----------
    path : Path
    head : bytes
        The file's first bytes.
    """
    if not head.startswith((b"fLaC", b"OggS")):
        return _whole_files(path, head)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        parts = _flac_parts(data) if head.startswith(b"fLaC") else _ogg_parts(data)
    return parts[:_MAX_PARTS]


def _whole_files(path: Path, head: bytes) -> list[int]:
    """Return where files begin of which each says how long it is."""
    parts: list[int] = []
    following: int | None = 0
    while following is not None and len(parts) < _MAX_PARTS:
        parts.append(following)
        with FileSlice(path, following) as rest:
            following = _next_file(rest, head, following)
    return parts


def _next_file(file: FileSlice, head: bytes, begin: int) -> int | None:
    """Return where a file of the same kind follows on the one that `file` begins with."""
    size = stated_size(file)
    for end in () if not size else (size, size + size % 2):
        file.seek(end)
        if _begins_alike(file.read(16) or b"", head):
            return begin + end
    return None


def _begins_alike(found: bytes, head: bytes) -> bool:
    if found[4:8] == b"ftyp":
        return head[4:8] == b"ftyp"
    # RIFF's kind follows its size: AVI files go on in chunks of another kind.
    kind = slice(8, 12) if head.startswith((b"RIFF", b"RIFX", b"FORM")) else slice(0, 4)
    return len(found) == 16 and found[:4] == head[:4] and found[kind] == head[kind]


def _flac_parts(data: mmap.mmap) -> list[int]:
    parts = [0]
    at = data.find(_FLAC_START, 4)
    while at >= 0:
        # STREAMINFO: block sizes of 16 at least, the smallest not above the largest.
        least = int.from_bytes(data[at + 8 : at + 10], "big")
        if 16 <= least <= int.from_bytes(data[at + 10 : at + 12], "big"):
            parts.append(at)
        at = data.find(_FLAC_START, at + 4)
    return parts


def _ogg_parts(data: mmap.mmap) -> list[int]:
    """Return where links begin: at the first page of a stream, behind pages with sound."""
    parts, at, is_in_headers = [0], 0, True
    while 0 <= at < len(data) - 27:
        if data[at : at + 5] != b"OggS\x00":
            at = data.find(b"OggS\x00", at + 1)
            continue
        is_first, count = data[at + 5] & 2, data[at + 26]
        body = at + 27 + count
        if is_first and not is_in_headers:
            is_numbered = data[at + 6 : at + 14] == bytes(8) == data[at + 18 : at + 22] + bytes(4)
            if is_numbered and data[body : body + 8].startswith(_OGG_CODECS):
                parts.append(at)
                is_in_headers = True
        elif not is_first:
            is_in_headers = False
        at = body + sum(data[at + 27 : body])
    return parts
