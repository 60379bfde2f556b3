"""Streaming readers: any audio file becomes blocks of float32 samples."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

import av
import numpy as np
import numpy.typing as npt
import soundfile

from partita.audio.container import open_container
from partita.audio.tags import Tags, read_tags
from partita.errors import AudioReadError, one_line

Samples = npt.NDArray[np.float32]

#: Extensions that a search through folders takes for audio. A file that is named on its own is
#: judged by its content alone.
AUDIO_EXTENSIONS = frozenset(
    f".{extension}"
    for extension in (
        *("wav", "wave", "flac", "ogg", "oga", "opus", "mp3", "m4a", "m4b", "aac", "wma", "aif"),
        *("aiff", "aifc", "caf", "au", "w64", "rf64", "ape", "wv", "ac3", "mp4", "mov", "mkv"),
        *("mka", "webm", "avi"),
    )
)
MAX_CHANNELS = 8
BLOCK_SAMPLES = 1 << 16


class AudioReader(ABC):
    """A file opened for reading: facts about it, and its samples, once, in blocks.

    Attributes
    ----------
    name : str
        What messages call the file.
    sample_rate : int
        In hertz.
    channels : int
        1 to 8.
    frames : int or None
        Samples in each channel that the excerpt should hold; None where the file does not say.
    warnings : list of str
        What went wrong on the way without stopping it; complete once the blocks are read.
    """

    name: str
    sample_rate: int
    channels: int
    frames: int | None

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.warnings: list[str] = []
        self.spool: IO[bytes] | None = None

    @cached_property
    def tags(self) -> Tags:
        """Tags and cover art of the file."""
        return read_tags(self.path)

    @property
    def duration_s(self) -> float | None:
        """Length of the excerpt in seconds, as the file states it."""
        return None if self.frames is None else self.frames / self.sample_rate

    def blocks(self, block_samples: int = BLOCK_SAMPLES) -> Iterator[Samples]:
        """Yield ``[channels, samples]`` blocks, each of `block_samples` except the last.

        Raises
        ------
        AudioReadError
            No sample could be decoded, or one of them is NaN or infinite.
        """
        done = 0
        for block in self._decode(block_samples):
            # A sum is NaN or infinite as soon as one of its terms is, and far quicker to test.
            if not math.isfinite(float(np.sum(block, dtype=np.float64))):
                bad = int(np.flatnonzero(~np.isfinite(block).all(axis=0))[0])
                at_s = (done + bad) / self.sample_rate
                raise AudioReadError(
                    f"{self.name}: NaN or infinite samples from {at_s:.3f} s on: "
                    "export the file again, or mend them in an audio editor"
                )
            done += block.shape[1]
            yield block
        if done == 0:
            raise AudioReadError(f"{self.name}: holds no audio samples: nothing to separate")
        # Lossy containers state their length to within a couple of codec frames.
        if self.frames is not None and done < self.frames - max(8192, self.frames // 1000):
            self.warnings.append(
                f"{self.name}: ends after {done / self.sample_rate:.1f} s of the "
                f"{self.frames / self.sample_rate:.1f} s that it announces; "
                "what could be decoded was used"
            )

    @abstractmethod
    def _decode(self, block_samples: int) -> Iterator[Samples]:
        """Yield the excerpt's blocks."""

    @abstractmethod
    def _close(self) -> None:
        """Release the decoder."""

    def close(self) -> None:
        """Release the file."""
        self._close()
        if self.spool is not None:
            self.spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _SoundFileReader(AudioReader):
    """libsndfile: wav, flac, aiff and other plain containers, sample-exact seeks."""

    def __init__(
        self, path: Path, name: str, file: Any, start_s: float, duration_s: float | None
    ) -> None:
        super().__init__(path, name)
        self._file = file
        self.sample_rate, self.channels = file.samplerate, file.channels
        start = round(start_s * self.sample_rate)
        available = max(0, file.frames - start)
        self.frames = _limit(available, duration_s, self.sample_rate)
        if start:
            file.seek(min(start, file.frames))
        announced = re.search(r"data : (\d+) \(should be (\d+)\)", file.extra_info)
        if announced and int(announced[2]) < int(announced[1]) < 0xFFFFFFFF:
            self.warnings.append(
                f"{name}: cut short, {announced[2]} of {announced[1]} bytes are there; "
                "what could be decoded was used"
            )

    def _decode(self, block_samples: int) -> Iterator[Samples]:
        left = self.frames or 0
        while left > 0:
            try:
                block = self._file.read(min(block_samples, left), "float32", always_2d=True)
            except soundfile.SoundFileError as error:
                reason = one_line(error).rstrip(".")
                self.warnings.append(f"{self.name}: damaged ({reason}); used up to there")
                return
            if not len(block):
                return
            left -= len(block)
            yield np.ascontiguousarray(block.T)  # [samples, channels] -> [channels, samples]

    def _close(self) -> None:
        self._file.close()


class _PyAvReader(AudioReader):
    """FFmpeg's libraries: everything else, one audio stream of possibly several."""

    #: Decoded before the start of an excerpt and thrown away: lossy codecs need a run-up.
    _RUN_UP_S = 0.25

    def __init__(
        self, path: Path, name: str, stream: int, start_s: float, duration_s: float | None
    ) -> None:
        super().__init__(path, name)
        try:
            self._stack = contextlib.ExitStack()
            self._container = self._stack.enter_context(open_container(path))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise AudioReadError(f"{name}: not an audio file that can be decoded") from error
        streams = self._container.streams.audio
        if stream >= len(streams):
            self.close()
            has = f"{len(streams)} audio streams" if streams else "no audio stream"
            raise AudioReadError(f"{name}: has {has}, stream {stream} was asked for")
        self._stream = streams[stream]
        self.sample_rate, self.channels = self._stream.rate, self._stream.channels
        self._start_s, self._duration_s = start_s, duration_s
        length = self._stated_length()
        if length is not None:
            length = max(0, length - round(start_s * self.sample_rate))
            length = _limit(length, duration_s, self.sample_rate)
        self.frames = length

    def _stated_length(self) -> int | None:
        duration_s: float | None = None
        if self._stream.duration is not None and self._stream.time_base is not None:
            duration_s = float(self._stream.duration * self._stream.time_base)
        elif self._container.duration is not None:
            duration_s = self._container.duration / 1_000_000
        return None if duration_s is None else round(duration_s * self.sample_rate)

    def _decode(self, block_samples: int) -> Iterator[Samples]:
        start = round(self._start_s * self.sample_rate)
        origin = self._seek() if self._start_s > self._RUN_UP_S else None
        limit = None if self._duration_s is None else round(self._duration_s * self.sample_rate)
        return rechunk(self._trimmed(self._frames(origin), start, limit), block_samples)

    def _seek(self) -> int | None:
        """Go to shortly before the excerpt; return the time stamp of the file's first frame.

        That stamp is zero in few formats: codecs begin with padding, containers with an offset.
        """
        origin: int | None = None
        ticks_per_s = 1 / (self._stream.time_base or Fraction(1, self.sample_rate))
        with contextlib.suppress(av.FFmpegError, StopIteration):  # else read from the start
            first: Any = next(self._container.decode(self._stream))
            origin = first.pts
            target = (origin or 0) + round((self._start_s - self._RUN_UP_S) * ticks_per_s)
            self._container.seek(target, stream=self._stream)
        return origin

    def _frames(self, origin: int | None) -> Iterator[tuple[int, Samples]]:
        """Yield ``(position, samples)`` for every frame that decodes."""
        # Packed, because PyAV miscounts the planes of frames with eight of them.
        to_float = av.AudioResampler(format="flt")
        position: int | None = None if origin is not None else 0
        damaged = 0
        try:
            for packet in self._container.demux(self._stream):
                try:
                    decoded = packet.decode()
                except av.FFmpegError:
                    damaged += 1
                    continue
                for frame in decoded:
                    origin = frame.pts if origin is None else origin
                    position = self._position(frame, origin, position)
                    frame.pts = None
                    if frame.layout.nb_channels != self.channels:
                        damaged += 1
                        continue
                    for converted in to_float.resample(frame):
                        packed: Any = converted.to_ndarray()  # [1, samples * channels]
                        samples = np.ascontiguousarray(packed.reshape(-1, self.channels).T)
                        yield position, samples
                        position += samples.shape[1]
        except av.FFmpegError:
            damaged += 1
        if damaged:
            self.warnings.append(f"{self.name}: {damaged} damaged packets were skipped")

    def _position(self, frame: Any, origin: int | None, counted: int | None) -> int:
        """Return where a frame begins, by its stamp where that tells more than counting."""
        if frame.pts is None or frame.time_base is None or origin is None:
            return counted or 0
        stamped = round((frame.pts - origin) * frame.time_base * self.sample_rate)
        # Matroska's stamps are rounded to milliseconds: only a gap is news.
        tick = float(frame.time_base) * self.sample_rate
        return stamped if counted is None or abs(stamped - counted) > tick else counted

    @staticmethod
    def _trimmed(
        frames: Iterator[tuple[int, Samples]], start: int, limit: int | None
    ) -> Iterator[Samples]:
        done = 0
        for position, samples in frames:
            first = start - position if position < start and not done else 0
            last = samples.shape[1] if limit is None else first + limit - done
            used = samples[:, first:last]
            done += used.shape[1]
            if used.shape[1]:
                yield used
            if limit is not None and done >= limit:
                return

    def _close(self) -> None:
        self._stack.close()


def _limit(frames: int, duration_s: float | None, sample_rate: int) -> int:
    return frames if duration_s is None else min(frames, round(duration_s * sample_rate))


def rechunk(blocks: Iterator[Samples], block_samples: int) -> Iterator[Samples]:
    """Regroup ``[channels, samples]`` blocks of any length into blocks of one length."""
    held: list[Samples] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += block.shape[1]
        if count >= block_samples:
            joined = np.concatenate(held, axis=1)
            whole = count - count % block_samples
            for start in range(0, whole, block_samples):
                yield joined[:, start : start + block_samples]
            held, count = [joined[:, whole:]], count - whole
    if count:
        yield np.concatenate(held, axis=1)


def open_audio(
    path: str | Path,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    stream: int = 0,
) -> AudioReader:
    """Open a file for streaming.

    Parameters
    ----------
    path : str or Path
        Any audio file, or a video with sound; ``"-"`` is standard input.
    start_s, duration_s : float
        The excerpt in seconds; None reads to the end.
    stream : int
        Which audio stream of the file; ``.stem.mp4`` files hold the mixture in stream 0 and the
        stems in streams 1 and up.

    Returns
    -------
    AudioReader
        Use it as a context manager.

    Raises
    ------
    AudioReadError
        The file is missing, empty, no audio, or has more than 8 channels.
    """
    if str(path) == "-":
        return _open_standard_input(start_s, duration_s)
    path = Path(path)
    name = one_line(path)
    _check_file(path, name)
    return _open(path, name, stream, start_s, duration_s)


def _open(
    path: Path, name: str, stream: int, start_s: float, duration_s: float | None
) -> AudioReader:
    # PyAV takes mp3: libsndfile prints to stderr and seeks only roughly when one is cut short.
    file = _open_soundfile(path) if stream == 0 and path.suffix.lower() != ".mp3" else None
    reader: AudioReader
    if file is not None:
        reader = _SoundFileReader(path, name, file, start_s, duration_s)
    else:
        reader = _PyAvReader(path, name, stream, start_s, duration_s)
    return _check(reader, start_s)


def _check_file(path: Path, name: str) -> None:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise AudioReadError(f"{name}: is a folder, not an audio file")
        if not size and path.is_file():
            raise AudioReadError(f"{name}: the file is empty (0 bytes)")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise AudioReadError(f"{name}: no such file") from None
    except PermissionError:
        raise AudioReadError(f"{name}: permission denied") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioReadError(f"{name}: cannot be opened: {one_line(reason)}") from None


def _open_soundfile(path: Path) -> Any | None:
    """Return libsndfile's handle, None where the file is PyAV's."""
    try:
        file = soundfile.SoundFile(os.fsencode(path))
    except (soundfile.SoundFileError, OSError, TypeError):
        return None
    # Of chained Ogg files libsndfile reads the first link only, and it orders channels its own way.
    if file.format in ("MP3", "OGG", "RAW") or file.samplerate <= 0:
        file.close()
        return None
    return file


def _open_standard_input(start_s: float, duration_s: float | None) -> AudioReader:
    """Spool standard input to a temporary file, because containers need to seek."""
    if sys.stdin is None:
        raise AudioReadError("standard input: is closed")
    spool = tempfile.NamedTemporaryFile(prefix="partita-stdin-")  # noqa: SIM115 (the reader closes it)
    try:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.flush()
        if not spool.tell():
            raise AudioReadError("standard input: is empty (0 bytes)")
        reader = _open(Path(spool.name), "standard input", 0, start_s, duration_s)
        reader.spool = spool
        return reader
    except BaseException:
        spool.close()
        raise


def _check(reader: AudioReader, start_s: float) -> AudioReader:
    problem = None
    if reader.sample_rate <= 0 or reader.channels <= 0:
        problem = "not an audio file that can be decoded"
    elif reader.channels > MAX_CHANNELS:
        problem = f"has {reader.channels} channels, at most {MAX_CHANNELS} can be separated"
    elif reader.frames == 0 and start_s > 0:
        problem = f"ends before {start_s:g} s, where the excerpt should start (--start)"
    if problem:
        reader.close()
        raise AudioReadError(f"{reader.name}: {problem}")
    return reader
