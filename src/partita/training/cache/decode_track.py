"""Decoding the files of one track into 16-bit integers."""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch

from partita.audio.conversion import convert_blocks
from partita.audio.reader import BLOCK_SAMPLES
from partita.datasets.audio_checks import SILENT_PEAK, sum_limit_db
from partita.datasets.layout import Problem
from partita.datasets.tracks import StemFile, Track
from partita.dsp.levels import NullMeter
from partita.errors import AudioReadError
from partita.training.cache.decoded_songs import PIECE_S, DecodedTrack

Samples = npt.NDArray[np.float32]

FORMAT = 2  # of the files below; another number makes all of them stale
ABSENT, SHORT = "counts as silence", "silence follows"  # how warnings of missing audio end
_AUDIO, _INDEX = "audio.int16", "index.json"
#: Of the power of a row's loudest piece: what is 40 dB below it counts as silence.
_AUDIBLE = 1e-4
_FULL_SCALE = 1 << 15


@dataclass(frozen=True)
class TrackJob:
    """A track that is to be decoded.

    Attributes
    ----------
    track : Track
    rows : tuple of tuple of str
        The stems of each source, then of the rest; none: the track has no such row.
    absent : tuple of str
        The sources that the track lacks.
    sample_rate, channels : int
        Of the decoded audio.
    folder : Path
        Where the decoded audio belongs.
    """

    track: Track
    rows: tuple[tuple[str, ...], ...]
    absent: tuple[str, ...]
    sample_rate: int
    channels: int
    folder: Path

    @property
    def files(self) -> list[StemFile]:
        """What is decoded; the mixture only where it tells whether absent sources are silent."""
        mixture = [self.track.mixture] if self.track.mixture and self.absent else []
        return [*self.track.stems.values(), *mixture]

    def load(self) -> tuple[DecodedTrack, list[str]] | None:
        """Return the decoded track and its warnings; None where it is not complete."""
        audio = self.folder / _AUDIO
        try:
            index = json.loads((self.folder / _INDEX).read_text("utf-8"))
            samples, scales, warnings = index["samples"], tuple(index["scales"]), index["warnings"]
            pieces = [[char == "1" for char in row] for row in index["audible"]]
            digest = str(index["digest"])
            is_whole = audio.stat().st_size == len(scales) * samples * self.channels * 2
            audible = np.array(pieces, np.bool_)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None
        track = DecodedTrack(
            self.track.name, samples, self.channels, audio, scales, audible, digest
        )
        return (track, warnings) if is_whole else None


class TrackDecoder:
    """Decodes one track.

    Rows are float32 ``[samples, channels]`` in temporary files until all their stems are added,
    because only then their peaks are known.

    Parameters
    ----------
    job : TrackJob
    folder : Path
        An empty one, where the audio is written.
    advance : callable
        Called with the seconds of audio that were decoded since the last call.
    """

    def __init__(self, job: TrackJob, folder: Path, advance: Callable[[float], None]) -> None:
        self._job, self._folder, self._advance = job, folder, advance
        self._sample_rate, self._channels = job.sample_rate, job.channels

    def run(self, problems: list[Problem]) -> bool:
        """Write audio and index; add problems to the list, and write nothing if there are any."""
        track, found = self._job.track, len(problems)
        warnings = [f"no {source}, {ABSENT}" for source in self._job.absent]
        with ExitStack() as stack:
            buffers = [stack.enter_context(self._buffer()) for _ in self._job.rows]
            lengths = {
                stem: self._decode(track.stems[stem], buffer, problems)
                for buffer, row in zip(buffers, self._job.rows, strict=True)
                for stem in row
            }
            if track.mixture is not None and self._job.absent:
                mixture = stack.enter_context(self._buffer())
                self._decode(track.mixture, mixture, problems)
                if len(problems) == found:
                    problems += self._check_sum(buffers, mixture)
            if len(problems) > found:
                return False
            longest = max(lengths.values())
            for stem, length in lengths.items():
                short_s = (longest - length) / self._sample_rate
                if short_s > max(0.2, 0.001 * longest / self._sample_rate):
                    warnings.append(f"{stem} ends {short_s:.1f} s early, {SHORT}")
            self._write(buffers, longest, warnings)
        return True

    def _buffer(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._folder)

    def _decode(self, file: StemFile, buffer: IO[bytes], problems: list[Problem]) -> int:
        """Add a file to a buffer; return its samples."""
        name = self._job.track.name
        buffer.seek(0)
        samples = 0
        try:
            with file.open() as reader:
                blocks = self._counted(reader.blocks(), reader.sample_rate)
                for block in convert_blocks(
                    blocks, reader.sample_rate, self._sample_rate, self._channels
                ):
                    _add(buffer, np.ascontiguousarray(block.T))
                    samples += block.shape[1]
        except AudioReadError as error:
            problems.append(Problem(name, str(error)))
        else:
            problems += [Problem(name, warning) for warning in reader.warnings]
        return samples

    def _counted(self, blocks: Iterator[Samples], rate: int) -> Iterator[Samples]:
        for block in blocks:
            yield block
            self._advance(block.shape[1] / rate)

    def _check_sum(self, buffers: Sequence[IO[bytes]], mixture: IO[bytes]) -> Iterator[Problem]:
        """Yield a problem where the mixture holds more than the rows."""
        meter = NullMeter()
        files = [mixture, *buffers]
        nothing = np.zeros((0, self._channels), np.float32)
        streams = [self._blocks(file, BLOCK_SAMPLES) for file in files]
        for blocks in itertools.zip_longest(*streams, fillvalue=nothing):
            longest = max(map(len, blocks))
            full = [np.pad(block, ((0, longest - len(block)), (0, 0))) for block in blocks]
            signals = torch.from_numpy(np.stack(full)).mT  # [1 + rows, channels, samples]
            meter.add(signals[0], signals[1:])
        if meter.null_depth_db > sum_limit_db(self._job.files):
            missing = " and ".join(map(repr, self._job.absent))
            what = f"has no stem {missing} and its mixture is not the sum of the other stems"
            yield Problem(self._job.track.name, what)

    def _blocks(self, buffer: IO[bytes], samples: int) -> Iterator[Samples]:
        """Yield ``[samples, channels]``."""
        buffer.seek(0)
        while data := buffer.read(samples * self._channels * 4):
            yield np.frombuffer(data, np.float32).reshape(-1, self._channels)

    def _write(self, buffers: Sequence[IO[bytes]], samples: int, warnings: list[str]) -> None:
        scales: list[float] = []
        audible: list[str] = []
        piece = round(PIECE_S * self._sample_rate)
        pieces = -(-samples // piece)
        row_bytes = samples * self._channels * 2
        digest = hashlib.sha256()
        with (self._folder / _AUDIO).open("wb") as audio:
            for row, buffer in enumerate(buffers):
                powers = np.zeros(pieces)
                lowest = highest = 0.0
                for at, block in enumerate(self._blocks(buffer, piece)):
                    powers[at] = np.mean(np.square(block, dtype=np.float64))
                    lowest = min(lowest, float(block.min()))
                    highest = max(highest, float(block.max()))
                step = sixteen_bit_step(lowest, highest)
                audio.seek(row * row_bytes)
                for block in self._blocks(buffer, piece):
                    steps = np.rint(block / np.float32(step)).astype(np.int16)
                    audio.write(steps.data)
                    digest.update(steps.data)
                scales.append(step if highest > lowest else 0.0)
                audible.append("".join("01"[int(piece_is)] for piece_is in is_audible(powers)))
            audio.truncate(len(buffers) * row_bytes)
        digest.update(json.dumps([samples, scales]).encode())
        index = {
            "samples": samples,
            "scales": scales,
            "audible": audible,
            "warnings": warnings,
            "digest": digest.hexdigest(),
        }
        (self._folder / _INDEX).write_text(json.dumps(index), "utf-8")


def sixteen_bit_step(lowest: float, highest: float) -> float:
    """Return what one step of 16-bit integers is worth for samples of this range.

    That of a 16-bit file, so that such files stay as they are, unless it would clip.
    """
    return max(1 / _FULL_SCALE, highest / (_FULL_SCALE - 1), -lowest / _FULL_SCALE)


def is_audible(powers: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell from the power of each piece of a row which of them are not silent."""
    loud: npt.NDArray[np.bool_] = powers > max(_AUDIBLE * float(powers.max()), SILENT_PEAK**2)
    return loud


def _add(buffer: IO[bytes], block: Samples) -> None:
    """Add ``[samples, channels]`` to what a buffer has from its position on."""
    place = buffer.tell()
    held = np.frombuffer(buffer.read(block.nbytes), np.float32).reshape(-1, block.shape[1])
    buffer.seek(place)
    buffer.write((block[: len(held)] + held).data)
    buffer.write(block[len(held) :].data)
