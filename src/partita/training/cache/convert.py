"""Converting a track's files to what excerpts are read from."""

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

Samples = npt.NDArray[np.float32]

FORMAT = 2  # of the files below; another number makes all of them stale
ABSENT, SHORT = "counts as silence", "silence follows"  # how warnings of stems that lack end
AUDIO, INDEX = "audio.int16", "index.json"
PIECE_S = 0.5
#: Of the power of a row's loudest piece: what is 40 dB below it counts as silence.
_AUDIBLE = 1e-4
_FULL_SCALE = 1 << 15


@dataclass(frozen=True)
class Job:
    """A track that is to be prepared.

    Attributes
    ----------
    track : Track
    rows : tuple of tuple of str
        The stems of each source, then of the rest; none: the track has no such row.
    absent : tuple of str
        The sources that the track lacks.
    place : Path
        The folder where its audio is to lie.
    """

    track: Track
    rows: tuple[tuple[str, ...], ...]
    absent: tuple[str, ...]
    place: Path


def needed_files(job: Job) -> list[StemFile]:
    """Return what is decoded: the mixture only where it has to vouch for silence."""
    mixture = [job.track.mixture] if job.track.mixture and job.absent else []
    return [*job.track.stems.values(), *mixture]


class Converter:
    """Decodes one track into a folder.

    Rows wait as float32 ``[samples, channels]`` in spools until all their stems are added, because
    only then their peaks are known.
    """

    def __init__(
        self,
        job: Job,
        sample_rate: int,
        channels: int,
        folder: Path,
        advance: Callable[[float], None],
    ) -> None:
        self._job, self._sample_rate, self._channels = job, sample_rate, channels
        self._folder, self._advance = folder, advance

    def run(self, problems: list[Problem]) -> bool:
        """Write audio and index; where there is a problem, add it and write nothing."""
        track, found = self._job.track, len(problems)
        warnings = [f"no {source}, {ABSENT}" for source in self._job.absent]
        with ExitStack() as stack:
            spools = [stack.enter_context(self._spool()) for _ in self._job.rows]
            lengths = {
                stem: self._decode(track.stems[stem], spool, problems)
                for spool, row in zip(spools, self._job.rows, strict=True)
                for stem in row
            }
            if track.mixture is not None and self._job.absent:
                mixture = stack.enter_context(self._spool())
                self._decode(track.mixture, mixture, problems)
                if len(problems) == found:
                    problems += self._check_sum(spools, mixture)
            if len(problems) > found:
                return False
            longest = max(lengths.values())
            for stem, length in lengths.items():
                short_s = (longest - length) / self._sample_rate
                if short_s > max(0.2, 0.001 * longest / self._sample_rate):
                    warnings.append(f"{stem} ends {short_s:.1f} s early, {SHORT}")
            self._write(spools, longest, warnings)
        return True

    def _spool(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._folder)

    def _decode(self, file: StemFile, spool: IO[bytes], problems: list[Problem]) -> int:
        """Add a file to a spool; return its samples."""
        name = self._job.track.name
        spool.seek(0)
        samples = 0
        try:
            with file.open() as reader:
                blocks = self._watched(reader.blocks(), reader.sample_rate)
                for block in convert_blocks(
                    blocks, reader.sample_rate, self._sample_rate, self._channels
                ):
                    _add(spool, np.ascontiguousarray(block.T))
                    samples += block.shape[1]
        except AudioReadError as error:
            problems.append(Problem(name, str(error)))
        else:
            problems += [Problem(name, warning) for warning in reader.warnings]
        return samples

    def _watched(self, blocks: Iterator[Samples], rate: int) -> Iterator[Samples]:
        for block in blocks:
            yield block
            self._advance(block.shape[1] / rate)

    def _check_sum(self, spools: Sequence[IO[bytes]], mixture: IO[bytes]) -> Iterator[Problem]:
        """Yield a problem where the mixture holds more than the rows."""
        meter = NullMeter()
        files = [mixture, *spools]
        nothing = np.zeros((0, self._channels), np.float32)
        streams = [self._blocks(file, BLOCK_SAMPLES) for file in files]
        for blocks in itertools.zip_longest(*streams, fillvalue=nothing):
            longest = max(map(len, blocks))
            full = [np.pad(block, ((0, longest - len(block)), (0, 0))) for block in blocks]
            signals = torch.from_numpy(np.stack(full)).mT  # [1 + rows, channels, samples]
            meter.add(signals[0], signals[1:])
        if meter.null_depth_db > sum_limit_db(needed_files(self._job)):
            missing = " and ".join(map(repr, self._job.absent))
            what = f"has no stem {missing} and its mixture is not the sum of the other stems"
            yield Problem(self._job.track.name, what)

    def _blocks(self, spool: IO[bytes], samples: int) -> Iterator[Samples]:
        """Yield ``[samples, channels]``."""
        spool.seek(0)
        while data := spool.read(samples * self._channels * 4):
            yield np.frombuffer(data, np.float32).reshape(-1, self._channels)

    def _write(self, spools: Sequence[IO[bytes]], samples: int, warnings: list[str]) -> None:
        scales: list[float] = []
        audible: list[str] = []
        piece = round(PIECE_S * self._sample_rate)
        pieces = -(-samples // piece)
        row_bytes = samples * self._channels * 2
        digest = hashlib.sha256()
        with (self._folder / AUDIO).open("wb") as audio:
            for row, spool in enumerate(spools):
                powers = np.zeros(pieces)
                lowest = highest = 0.0
                for at, block in enumerate(self._blocks(spool, piece)):
                    powers[at] = np.mean(np.square(block, dtype=np.float64))
                    lowest = min(lowest, float(block.min()))
                    highest = max(highest, float(block.max()))
                step = sixteen_bit_step(lowest, highest)
                audio.seek(row * row_bytes)
                for block in self._blocks(spool, piece):
                    steps = np.rint(block / np.float32(step)).astype(np.int16)
                    audio.write(steps.data)
                    digest.update(steps.data)
                scales.append(step if highest > lowest else 0.0)
                audible.append("".join("01"[int(heard)] for heard in audible_pieces(powers)))
            audio.truncate(len(spools) * row_bytes)
        digest.update(json.dumps([samples, scales]).encode())
        index = {
            "samples": samples,
            "scales": scales,
            "audible": audible,
            "warnings": warnings,
            "digest": digest.hexdigest(),
        }
        (self._folder / INDEX).write_text(json.dumps(index), "utf-8")


def sixteen_bit_step(lowest: float, highest: float) -> float:
    """Return what one step of the integers is worth that hold samples of this range.

    The step of a 16-bit file, unless that would clip: such files stay what they are.
    """
    return max(1 / _FULL_SCALE, highest / (_FULL_SCALE - 1), -lowest / _FULL_SCALE)


def audible_pieces(powers: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell from the power of each piece of a row which of them are heard."""
    heard: npt.NDArray[np.bool_] = powers > max(_AUDIBLE * float(powers.max()), SILENT_PEAK**2)
    return heard


def _add(spool: IO[bytes], block: Samples) -> None:
    """Add ``[samples, channels]`` to what a spool holds from here on."""
    place = spool.tell()
    held = np.frombuffer(spool.read(block.nbytes), np.float32).reshape(-1, block.shape[1])
    spool.seek(place)
    spool.write((block[: len(held)] + held).data)
    spool.write(block[len(held) :].data)
