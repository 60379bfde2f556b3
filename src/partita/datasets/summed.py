"""Several files of one stem, such as all guitars of a song, read as their sum."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from partita.audio.channels import mix_channels
from partita.audio.reader import BLOCK_SAMPLES
from partita.errors import AudioReadError

Samples = npt.NDArray[np.float32]


class StemReader(Protocol):
    """Interface of readers that data sets use; `partita.audio.reader.AudioReader` has it."""

    sample_rate: int
    channels: int
    frames: int | None
    frames_stated: bool
    warnings: list[str]

    def blocks(self, block_samples: int = BLOCK_SAMPLES) -> Iterator[Samples]:
        """Yield ``[channels, samples]``."""

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class SummedReader:
    """The sum of several readers; shorter ones are padded with silence.

    Parameters
    ----------
    readers : sequence of StemReader
        At least one; closed with this one.
    channels : int, optional
        By default those of the reader with the most.

    Raises
    ------
    AudioReadError
        Their rates differ; all are closed then.
    """

    def __init__(self, readers: Sequence[StemReader], channels: int | None = None) -> None:
        self._readers = readers
        self.sample_rate = readers[0].sample_rate
        self.channels = channels or max(reader.channels for reader in readers)
        lengths = [reader.frames for reader in readers]
        self.frames_stated = all(reader.frames_stated for reader in readers)
        self.frames = None if None in lengths else max(n for n in lengths if n is not None)
        self.warnings: list[str] = []
        rates = sorted({reader.sample_rate for reader in readers})
        if len(rates) > 1:
            self.close()
            listed = " and ".join(f"{rate} Hz" for rate in rates)
            raise AudioReadError(f"files of one stem have different sample rates: {listed}")

    def blocks(self, block_samples: int = BLOCK_SAMPLES) -> Iterator[Samples]:
        """Yield ``[channels, samples]`` blocks, each of `block_samples` except the last."""
        streams = [reader.blocks(block_samples) for reader in self._readers]
        for parts in itertools.zip_longest(*streams):
            there = [mix_channels(part, self.channels) for part in parts if part is not None]
            total = np.zeros((self.channels, max(part.shape[1] for part in there)), np.float32)
            for part in there:
                total[:, : part.shape[1]] += part
            yield total
        self.warnings += [line for reader in self._readers for line in reader.warnings]

    def close(self) -> None:
        """Release all files."""
        with ExitStack() as stack:
            for reader in self._readers:
                stack.callback(reader.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
