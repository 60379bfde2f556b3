"""Reading with FFmpeg's libraries (PyAV): lossy codecs, videos, damaged files."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from partita.audio.audio_reader import (
    MAX_CHANNELS,
    MAX_RATE,
    MIN_RATE,
    NOT_DECODABLE,
    AudioReader,
    Samples,
    check_bounds,
    read_errors,
    rechunk,
)
from partita.audio.avi_index import read_avi_index
from partita.audio.container import metadata_of, open_container
from partita.audio.frame_table import FrameFinder, FrameTable, read_frame_table
from partita.audio.gapless import stated_by_itunes
from partita.audio.ogg_pages import DamagedEnd, damaged_end
from partita.audio.sample_formats import ToFloat
from partita.audio.slices import FileSlice, SeekableFile
from partita.audio.stream_clock import StreamClock
from partita.audio.stream_length import PADDING_S, STATED, seconds, stream_length_s, videos
from partita.audio.timeline import (
    Frame,
    Timeline,
    counted_s,
    describe_spans,
    ending_at,
    gathered,
    trimmed,
    uniform,
)
from partita.audio.unread import bytes_behind, stated_size_of
from partita.audio.wavpack_blocks import next_wavpack_block
from partita.errors import AudioReadError

#: Decoded before an excerpt and discarded, because lossy codecs depend on earlier frames.
_RUN_UP_S = 0.25
#: Codecs with checksums, which are checked: damage would be noise at full scale.
_CHECKED = frozenset(("flac", "wavpack", "tta", "ape", "mlp", "truehd"))
#: Demuxers whose timestamps may restart within a file, so that they are useless for seeking.
_RESTARTING = frozenset(("mpegts", "mpeg"))
#: Ogg pages that claim to be longer are damaged.
_MAX_PAGE_S = 60.0
_OPUS_RATE = 48_000
_MAX_STREAMS = 200
#: Longer lengths in headers, 30 years, are damage.
_MAX_LENGTH_S = 1e9
#: Successive errors of a demuxer after which reading ends.
_MAX_DEMUX_ERRORS = 50
#: Fewer bytes than this behind the last packet are an index.
_MIN_UNREAD_BYTES = 1 << 16


class FFmpegReader(AudioReader):
    """Reads one audio stream of a file with FFmpeg's libraries.

    Parameters
    ----------
    path : Path
    name : str
        Name of the file in messages.
    stream : int or None
        Number among the audio streams; None: the file's default one.
    start_s, duration_s : float
        The excerpt.
    source : file, optional
        Read instead of `path`.
    shape : (int, int), optional
        Sample rate and channel count of the result; by default the file's.

    Raises
    ------
    AudioReadError
    """

    def __init__(
        self,
        path: Path,
        name: str,
        stream: int | None = None,
        start_s: float = 0.0,
        duration_s: float | None = None,
        *,
        source: SeekableFile | None = None,
        shape: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(path, name, start_s, duration_s)
        #: Where this part of a joined file begins; added to the times in warnings.
        self.shift_s = 0.0
        self._source, self._number = source, stream
        self._stack = contextlib.ExitStack()
        try:
            with read_errors(name):
                self._open()
                self._table = None
                if source is None:
                    self._table = self._read_table()
                finder = None
                if self._table is not None and not self._table.is_whole:
                    finder = FrameFinder(path, self._table)
                self.clock = StreamClock(self._stream, self._table, finder, self._file)
                self._end = self._find_end()
                self.sample_rate, self.channels = shape or self._own_shape()
                check_bounds(self.sample_rate, self.channels, name)
                length, announced = self._length()
                self._sound = self._sound_length(length)
                if self._sound is not None:
                    length = announced = self._sound
        except BaseException:
            self._close()
            raise
        self.frames = None
        if length is not None:
            # An estimated end before the excerpt is of no use.
            self.frames = self.excerpt_of(length) or None
        self.frames_stated = self._table is not None or announced is not None
        if announced is not None:
            self.announced = self.excerpt_of(announced)
        self._failed = self._read_to = 0
        self._lost_s = 0.0

    def _read_table(self) -> FrameTable | None:
        kind, stream = self._container.format.name, self._stream
        if kind == "avi":
            return None if stream.start_time else read_avi_index(self.path, stream.index)
        return read_frame_table(self.path, kind, stream.codec_context.name)

    def _open(self, begin: int = 0) -> None:
        self._begin = begin
        source: Path | SeekableFile = self._source or self.path
        if begin:
            source = self._stack.enter_context(FileSlice(self.path, begin))
        elif self._source is not None:
            self._source.seek(0)
        self._container = self._stack.enter_context(open_container(source))
        self._stream = self._choose(self._number)
        if self._stream.codec_context.name in _CHECKED:
            self._stream.codec_context.options = {"err_detect": "crccheck+explode"}

    def _reopen(self, begin: int = 0) -> None:
        self._stack.close()
        self._open(begin)
        self.clock.stream = self._stream

    def _choose(self, number: int | None) -> Any:
        """Return the audio stream with a number; None: the default one."""
        streams = self._container.streams.audio
        count = len(streams)
        if len(self._container.streams) > _MAX_STREAMS:
            raise AudioReadError(f"{self.name}: has more than {_MAX_STREAMS} streams")
        if not count:
            raise AudioReadError(f"{self.name}: {NOT_DECODABLE}: it has no audio stream")
        if number is None:
            default = [s for s in streams if av.stream.Disposition.default in s.disposition]
            stream = default[0] if default else self._container.streams.best("audio") or streams[0]
        elif 0 <= number < count:
            stream = streams[number]
        else:
            has = "1 audio stream" if count == 1 else f"{count} audio streams"
            raise AudioReadError(
                f"{self.name}: has {has}, stream {number} was asked for; they count from 0"
            )
        if stream.codec_context is None:
            raise AudioReadError(f"{self.name}: {NOT_DECODABLE}: its audio codec is not known")
        return stream

    def _own_shape(self) -> tuple[int, int]:
        rate, channels = self._stream.rate or 0, self._stream.channels or 0
        if self._table is not None and len(self._table.shapes) > 1 and rate:
            channels = max(channels, self._table.channels)
            if len({rate for rate, _ in self._table.shapes}) > 1:
                rate = self._table.rate
        return rate, channels

    def _length(self) -> tuple[int | None, int | None]:
        """Return the length of the stream, and the length that the file promises, in samples."""
        length_s, announced_s = stream_length_s(
            self._container, self._stream, self._table, self.clock.late_s()
        )
        return self._samples_of(length_s), self._samples_of(announced_s)

    def _sound_length(self, length: int | None) -> int | None:
        """Return the samples of the sound that an AAC file states; None: it states none."""
        if self._container.format.name not in STATED or length is None:
            return None
        text = metadata_of(self._container).get("iTunSMPB", "")
        sound = stated_by_itunes(text)
        is_sane = sound is not None and abs(sound - length) < PADDING_S * self.sample_rate
        return sound if is_sane else None

    def _samples_of(self, length_s: float | None) -> int | None:
        is_sane = length_s is not None and 0 <= length_s < _MAX_LENGTH_S
        return round(length_s * self.sample_rate) if length_s is not None and is_sane else None

    def samples(self, block_samples: int) -> Generator[Samples, None, None]:
        """Yield the excerpt in blocks."""
        frames = self._frames()
        others = len(self._container.streams.audio) - 1 + len(videos(self._container))
        timeline = Timeline(self.clock.stated_end_s, may_begin_late=others > 0)
        if self.start_s > _RUN_UP_S:
            frames, timeline.position_s = self._from_excerpt(frames)
        skip = self.start - round(timeline.position_s * self.sample_rate)
        limit = self.limit if self._sound is None else self.excerpt_of(self._sound)
        wanted_s = None if limit is None else (skip + limit) / self.sample_rate
        pieces = gathered(self._pieces(frames, timeline), block_samples, wanted_s)
        blocks = uniform(pieces, self.channels, self.sample_rate)
        try:
            yield from rechunk(trimmed(blocks, skip, limit), block_samples)
            if self._source is None and not self.unread:
                self.unread = self._bytes_unread()
        finally:
            self._report(timeline)

    def _bytes_unread(self) -> int:
        """Return how many bytes follow the last packet; 0 if they may be another stream's."""
        end = self._table.end if self._table is not None else self._read_to
        if not end or len(self._container.streams) > 1 or stated_size_of(self.path) is not None:
            return 0
        # Indexes are there as well.
        left = bytes_behind(self.path, end)
        return left if left > max(_MIN_UNREAD_BYTES, self.path.stat().st_size // 20) else 0

    def _pieces(self, frames: Iterator[Frame], timeline: Timeline) -> Iterator[tuple[Samples, int]]:
        yield from timeline.pieces(frames)
        # If packets are lost at the end, the song is as long as the header states.
        end_s = None if self._end is None else self._end_s(self._end)
        if self._lost_s and self._container.format.name in STATED and self._stream.duration:
            end_s = float(self._stream.duration * self._stream.time_base) + self.clock.late_s()
            end_s = end_s if timeline.position_s + self._lost_s >= end_s - 1e-3 else None
        if end_s is not None and end_s <= timeline.position_s + _MAX_PAGE_S:
            yield from timeline.fill_to(end_s, self.channels, self.sample_rate)

    def _find_end(self) -> DamagedEnd | None:
        if self._container.format.name != "ogg" or len(self._container.streams) > 1:
            return None
        with self._file() as file:
            return damaged_end(file)

    def _end_s(self, end: DamagedEnd) -> float:
        context = self._stream.codec_context
        if context.name != "opus":
            return end.samples / int(self._stream.rate)
        padding = int.from_bytes(context.extradata[10:12], "little")
        return (end.samples - padding) / _OPUS_RATE

    def _from_excerpt(self, frames: Iterator[Frame]) -> tuple[Iterator[Frame], float]:
        """Seek to shortly before the excerpt; return the frames, and when they begin."""
        first = next(frames, None)
        if first is None or first.stamp_s is None or first.stamp_s >= self.start_s:
            return _put_back(first, frames), 0.0
        if self._may_seek():
            with contextlib.suppress(av.FFmpegError):
                # The first timestamp is rarely zero, because codecs begin with padding.
                at_s = self.start_s - _RUN_UP_S + (self.clock.origin_s or 0.0)
                ticks = round(at_s / (self._stream.time_base or Fraction(1, self.sample_rate)))
                self._container.seek(ticks, stream=self._stream)
                frames = self._frames()
                found = next(frames, None)
                began_s = None if found is None else counted_s(first, found)
                if began_s is not None and began_s <= self.start_s:
                    return _put_back(found, frames), began_s
        # Some files cannot be seeked: read from the beginning.
        self._reopen()
        return self._frames(), 0.0

    def _may_seek(self) -> bool:
        if self._table is not None:
            return self._table.is_whole and len(self._table.shapes) == 1
        return self._container.format.name not in _RESTARTING

    def _frames(self) -> Iterator[Frame]:
        """Yield decoded frames from the current position on."""
        to_float = ToFloat()
        self._lost_s = 0.0
        self.clock.restart()
        is_lost = False
        last: list[Frame] = []  # of the page behind a damaged one, whose end is known
        first_failed_s: float | None = None
        for packet in self._packets():
            try:
                decoded = packet.decode() if packet is not None else ()
            except av.FFmpegError:
                decoded = None
            usable = [frame for frame in decoded or () if _is_usable(frame)]
            if packet is None or decoded is None or len(usable) < len(decoded):
                self._failed += 1
                is_lost = True
                self._lost_s += seconds(packet, "duration") or 0.0
                if first_failed_s is None:
                    first_failed_s = seconds(packet, "pts")
            for frame in usable:
                made = Frame(
                    to_float(frame),
                    frame.sample_rate,
                    self.clock.time_s(frame, packet, first_failed_s),
                    self.clock.tick_s,
                    is_lost,
                    self._lost_s,
                )
                if last or (self._end and (packet.pos or 0) >= self._end.offset):
                    last.append(made)
                else:
                    yield made
                is_lost, self._lost_s = False, 0.0
        if self._end is not None:
            yield from ending_at(self._end_s(self._end), last)

    def _packets(self) -> Iterator[Any]:
        """Yield packets, and None for each error of the demuxer."""
        errors, offset = 0, 0
        while errors < _MAX_DEMUX_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    errors = 0
                    if packet.pos is not None:
                        offset = self._begin + packet.pos + 1
                        self._read_to = max(self._read_to, offset - 1 + packet.size)
                    yield packet
                return
            except av.FFmpegError:
                errors += 1
            yield None
            if self._container.format.name == "wv" and self._source is None:
                found = next_wavpack_block(self.path, offset)
                if found is None:
                    return
                self._reopen(found)
                offset = found + 1

    def _file(self) -> contextlib.AbstractContextManager[Any]:
        return self._source.again() if self._source else self.path.open("rb")

    def _report(self, timeline: Timeline) -> None:
        until_s = float("inf") if self.limit_s is None else self.start_s + self.limit_s
        silent = [
            (max(from_s, self.start_s) + self.shift_s, min(to_s, until_s) + self.shift_s)
            for from_s, to_s in timeline.silences
            if to_s > self.start_s and from_s < until_s
        ]
        if silent:
            self.warnings.append(
                f"{self.name}: silence from {describe_spans(silent)}, "
                "where the file holds nothing that can be decoded"
            )
        elif self._failed and not self._is_complete(timeline):
            if not self._lost_s:
                self.warnings.append(
                    f"{self.name}: {self._failed} damaged packets; "
                    "by the file's own time nothing between them is missing"
                )
            elif self.announced is None:  # otherwise the length shows it
                self.warnings.append(f"{self.name}: damaged or cut short at its end")
        if timeline.ignored:
            at = ", ".join(f"{at_s + self.shift_s:.3f} s" for at_s in timeline.ignored[:5])
            self.warnings.append(f"{self.name}: broken timestamps at {at} were ignored")

    def _is_complete(self, timeline: Timeline) -> bool:
        """Return whether the sound is as long as it should be in spite of damaged packets."""
        if self._table is not None:
            return self._table.is_whole
        stated_s = seconds(self._stream, "duration")
        is_stated = self._container.format.name in STATED and stated_s is not None
        return is_stated and timeline.position_s >= (stated_s or 0.0) - 1e-3

    def _close(self) -> None:
        self._stack.close()
        if self._source is not None:
            self._source.close()


def _is_usable(frame: Any) -> bool:
    return bool(
        frame.samples > 0
        and 0 < frame.layout.nb_channels <= MAX_CHANNELS
        and MIN_RATE <= frame.sample_rate <= MAX_RATE
    )


def _put_back(first: Frame | None, frames: Iterator[Frame]) -> Iterator[Frame]:
    if first is not None:
        yield first
    yield from frames
