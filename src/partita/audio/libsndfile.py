"""Reading with libsndfile: wav, flac, aiff and other plain containers, with exact seeks."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from partita.audio.audio_reader import (
    AudioReader,
    Samples,
    check_bounds,
    ends_before,
    read_errors,
    rechunk,
)
from partita.audio.ffmpeg import FFmpegReader
from partita.audio.flac_frames import flac_gaps, last_sample
from partita.audio.timeline import describe_spans
from partita.errors import AudioReadError, one_line

#: Shorter silence is part of the music; FLAC frames are longer.
_LISTEN_SAMPLES = 1024


class SoundFileReader(AudioReader):
    """Reads a file with libsndfile, and from the first damaged block on with FFmpeg.

    Parameters
    ----------
    file : soundfile.SoundFile
        With at least one frame.

    Raises
    ------
    AudioReadError
        The rate or channel count is out of bounds, or the excerpt begins behind the end.
    """

    def __init__(
        self, path: Path, name: str, file: Any, start_s: float, duration_s: float | None
    ) -> None:
        super().__init__(path, name, start_s, duration_s)
        self._file = file
        self.sample_rate, self.channels = file.samplerate, file.channels
        # FLAC files state their length; that of others is measured.
        self.frames_certain = file.format != "FLAC"
        self.frames_stated = self.frames_certain or last_sample(path, file.frames) == file.frames
        try:
            check_bounds(self.sample_rate, self.channels, name)
            if self.frames_certain and self.start > 0 and self.start >= file.frames:
                raise AudioReadError(f"{name}: {ends_before(start_s)}")
        except AudioReadError:
            file.close()
            raise
        self.frames = self.excerpt_of(file.frames)
        self._has_silence = self._is_silent = self._has_sound = False

    def samples(self, block_samples: int) -> Generator[Samples, None, None]:
        """Yield the excerpt in blocks."""
        yield from rechunk(self._pieces(block_samples), block_samples)

    def _pieces(self, block_samples: int) -> Iterator[Samples]:
        left = self.frames or 0
        try:
            if self.start:
                self._file.seek(self.start)
        except soundfile.SoundFileError as error:
            yield from self._rest(self.start, error)
            return
        at = self.start
        while left > 0:
            count = min(block_samples, left)
            # If reading fails, the block keeps what was read before.
            block = np.empty((count, self.channels), np.float32)  # [samples, channels]
            try:
                got = len(self._file.read(out=block))
            except soundfile.SoundFileError as error:
                yield from self._rest(at, error)
                return
            if got:
                self._listen(block[:got])
                yield np.ascontiguousarray(block[:got].T)
            at, left = at + got, left - got
            if got < count:
                yield from self._rest(at, None)
                return

        if self._has_silence and self._file.format == "FLAC":
            self._report_missing_frames()

    def _listen(self, block: Samples) -> None:
        """Record silence within the sound: libsndfile inserts it for missing FLAC frames."""
        whole = block[: len(block) // _LISTEN_SAMPLES * _LISTEN_SAMPLES]
        loud = np.flatnonzero(whole.reshape(-1, _LISTEN_SAMPLES * self.channels).any(axis=1))
        if len(loud):
            is_broken = loud[-1] - loud[0] >= len(loud)
            self._has_silence |= bool(is_broken or (self._is_silent and self._has_sound))
            self._is_silent, self._has_sound = False, True
        else:
            self._is_silent = True

    def _report_missing_frames(self) -> None:
        end_s = self.start_s + (self.frames or 0) / self.sample_rate
        with contextlib.suppress(AudioReadError), read_errors(self.name):
            gaps = [
                (max(from_s, self.start_s), min(to_s, end_s))
                for from_s, to_s in flac_gaps(self.path, self.sample_rate)
                if to_s > self.start_s and from_s < end_s
            ]
            if gaps:
                self.warnings.append(
                    f"{self.name}: silence from {describe_spans(gaps)}, where frames are missing"
                )

    def _rest(self, at: int, error: Exception | None) -> Iterator[Samples]:
        """Yield samples that FFmpeg's libraries decode, from a position on."""
        end_s = self.frames_left(at) / self.sample_rate
        got = 0
        shape = (self.sample_rate, self.channels)
        start_s = at / self.sample_rate
        reader = None
        with contextlib.suppress(AudioReadError):
            reader = FFmpegReader(self.path, self.name, None, start_s, end_s, shape=shape)
        if reader is not None:
            with reader:
                for block in reader.samples(1 << 16):
                    got += block.shape[1]
                    yield block
            self.warnings += reader.warnings
        if got < self.frames_left(at):
            reason = f" ({one_line(error).rstrip('.')})" if error else ""
            self.warnings.append(
                f"{self.name}: cut short or damaged{reason}: ends after "
                f"{(at + got - self.start) / self.sample_rate:.3f} s of the "
                f"{(self.frames or 0) / self.sample_rate:.3f} s that it announces; "
                "what could be decoded was used"
            )

    def frames_left(self, at: int) -> int:
        """Return how many samples of the excerpt follow a position."""
        return (self.frames or 0) - (at - self.start)

    def _close(self) -> None:
        self._file.close()


def open_soundfile(source: Any, name: str) -> Any | None:
    """Return libsndfile's handle; None: FFmpeg reads the file.

    Raises
    ------
    AudioReadError
        The file's rate or channel count is out of bounds.
    """
    try:
        file = soundfile.SoundFile(source)
    except (soundfile.SoundFileError, OSError, TypeError, ValueError):
        return None
    with read_errors(name):
        # libsndfile reads the first link of chained Ogg files only, and has its own channel order.
        # FFmpeg counts frames of files without a length, and knows the padding of mp3 in wav files.
        is_ours = file.format not in ("MP3", "OGG", "RAW") and 0 < file.frames < 1 << 62
        is_ours = is_ours and not file.subtype.startswith("MPEG")
        if not is_ours:
            file.close()
        return file if is_ours else None
