"""Base class of readers: blocks of float32 samples at one sample rate and channel count."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Self

import av
import numpy as np
import numpy.typing as npt
import soundfile

from partita.audio.tags import Tags, read_tags
from partita.errors import AudioReadError, PartitaError, one_line

Samples = npt.NDArray[np.float32]

MAX_CHANNELS = 8
#: Sample rates that are read; others come from damaged headers.
MIN_RATE, MAX_RATE = 1_000, 768_000
BLOCK_SAMPLES = 1 << 16
NOT_DECODABLE = "not an audio file that can be decoded"


@contextlib.contextmanager
def read_errors(name: str) -> Iterator[None]:
    """Turn the libraries' exceptions into AudioReadError.

    Damaged files raise exceptions of many types: those of the libraries, and ValueError,
    IndexError, TypeError, OverflowError, … of their bindings.
    """
    try:
        yield
    except PartitaError:
        raise
    except MemoryError as error:
        raise AudioReadError(f"{name}: needs more memory than there is") from error
    except (av.FFmpegError, soundfile.SoundFileError) as error:
        raise AudioReadError(f"{name}: {NOT_DECODABLE}") from error
    except OSError as error:
        raise AudioReadError(f"{name}: cannot be read: {one_line(error.strerror)}") from error
    except Exception as error:
        raise AudioReadError(f"{name}: {NOT_DECODABLE}") from error


class AudioReader(ABC):
    """An open file: its properties, and its samples in blocks, which can be read once.

    Attributes
    ----------
    name : str
        Name of the file in messages.
    sample_rate : int
        In hertz, 1,000 to 768,000.
    channels : int
        1 to 8.
    frames : int or None
        Samples in each channel that the excerpt should have; None: unknown.
    frames_certain : bool
        Whether `frames` is exact; otherwise it is an estimate for progress bars.
    frames_stated : bool
        Whether `frames` comes from the file's header or from counting its frames, and the file is
        not truncated, as far as that shows without decoding. Otherwise it follows from a bit rate.
    warnings : list of str
        Problems that did not stop reading; complete when all blocks have been read.
    """

    name: str
    sample_rate: int
    channels: int
    frames: int | None
    frames_certain: bool = False
    frames_stated: bool = False

    def __init__(self, path: Path, name: str, start_s: float, duration_s: float | None) -> None:
        self.path = path
        self.name = name
        self.start_s, self.limit_s = start_s, duration_s
        self.warnings: list[str] = []
        self.spool: IO[bytes] | None = None
        #: Samples that the header promises; if fewer are read, there is a warning.
        self.announced: int | None = None
        #: Description of what is missing at the end of the file.
        self.missing_end: str | None = None
        #: Offset in bytes of the last of several joined files.
        self.last_part_at = 0
        #: Bytes behind the end of the sound.
        self.unread = 0

    @cached_property
    def tags(self) -> Tags:
        """Tags and cover art of the file."""
        tags = read_tags(self.path)
        self.warnings += [f"{self.name}: {reason}" for reason in tags.left_out]
        return tags

    @property
    def duration_s(self) -> float | None:
        """Length of the excerpt in seconds, by the file's header."""
        return None if self.frames is None else self.frames / self.sample_rate

    @property
    def start(self) -> int:
        """First sample of the excerpt."""
        return round(self.start_s * self.sample_rate)

    @property
    def limit(self) -> int | None:
        """Largest number of samples of the excerpt."""
        return None if self.limit_s is None else round(self.limit_s * self.sample_rate)

    def excerpt_of(self, length: int) -> int:
        """Return how many samples the excerpt of a file of `length` samples has."""
        left = max(0, length - self.start)
        return left if self.limit is None else min(left, self.limit)

    def blocks(self, block_samples: int = BLOCK_SAMPLES) -> Iterator[Samples]:
        """Yield ``[channels, samples]`` blocks, each of `block_samples` except the last.

        Raises
        ------
        AudioReadError
            No sample could be decoded, or one of them is NaN or infinite.
        """
        done = 0
        with contextlib.closing(self.samples(block_samples)) as decoded:
            while True:
                with read_errors(self.name):
                    block = next(decoded, None)
                if block is None:
                    break
                self._check_finite(block, done)
                done += block.shape[1]
                yield block
        if done == 0 and self.start_s > 0:
            raise AudioReadError(f"{self.name}: {ends_before(self.start_s)}")
        if done == 0:
            raise AudioReadError(f"{self.name}: holds no audio samples: nothing to separate")
        announced = self.announced
        # Lossy containers state their length to within a couple of codec frames.
        if announced is not None and done < announced - max(8192, announced // 1000):
            self.warnings.append(
                f"{self.name}: ends after {done / self.sample_rate:.1f} s of the "
                f"{announced / self.sample_rate:.1f} s that it announces; "
                "what could be decoded was used"
            )
        elif self.missing_end and (self.limit is None or done < self.limit):
            self.warnings.append(
                f"{self.name}: cut short, {self.missing_end}; what could be decoded was used"
            )
        if self.unread and (self.limit is None or done < self.limit):
            end_s = self.start_s + done / self.sample_rate
            self.warnings.append(
                f"{self.name}: its sound ends at {end_s:.3f} s; {self.unread:,} bytes behind it "
                "were not read: if there is more sound in them, split the file there"
            )

    def _check_finite(self, block: Samples, done: int) -> None:
        # An extreme is NaN or infinite if any sample is, and much faster to test.
        if not (math.isfinite(block.max()) and math.isfinite(block.min())):
            bad = int(np.flatnonzero(~np.isfinite(block).all(axis=0))[0])
            at_s = (done + bad) / self.sample_rate
            raise AudioReadError(
                f"{self.name}: NaN or infinite samples from {at_s:.3f} s on: "
                "export the file again, or mend them in an audio editor"
            )

    @abstractmethod
    def samples(self, block_samples: int) -> Generator[Samples, None, None]:
        """Yield the excerpt's blocks, without translating the libraries' exceptions."""

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


def check_bounds(sample_rate: int, channels: int, name: str) -> None:
    """Refuse sample rates and channel counts of damaged headers.

    Raises
    ------
    AudioReadError
    """
    if sample_rate <= 0 or channels <= 0:
        raise AudioReadError(f"{name}: {NOT_DECODABLE}")
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise AudioReadError(
            f"{name}: states a sample rate of {sample_rate} Hz; "
            f"{MIN_RATE // 1000} to {MAX_RATE // 1000} kHz can be read"
        )
    if channels > MAX_CHANNELS:
        raise AudioReadError(
            f"{name}: has {channels} channels, at most {MAX_CHANNELS} can be separated"
        )


def ends_before(start_s: float) -> str:
    """Return the message for an excerpt that begins behind the end."""
    return f"ends before {start_s:g} s, where the excerpt should start (`start_s`)"


def rechunk(blocks: Iterator[Samples], block_samples: int) -> Generator[Samples, None, None]:
    """Regroup ``[channels, samples]`` blocks of any length into blocks of one length."""
    held: list[Samples] = []
    count = 0
    for block in blocks:
        if not held and block.shape[1] == block_samples:
            yield block
            continue
        held.append(block)
        count += block.shape[1]
        if count >= block_samples:
            joined = np.concatenate(held, axis=1)
            whole = count - count % block_samples
            for start in range(0, whole, block_samples):
                yield joined[:, start : start + block_samples]
            held, count = [joined[:, whole:]] if whole < count else [], count - whole
    if count:
        yield np.concatenate(held, axis=1)
