"""Decoded audio that is read twice: once to measure it, once to separate it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from partita.audio.channels import interleaved
from partita.errors import write_error

Samples = npt.NDArray[np.float32]

_MAX_BYTES = 1 << 25  # in memory; the rest is on disk
_BLOCK_SAMPLES = 1 << 16


class SampleStore:
    """Stores blocks of samples for a second reading, in bounded memory.

    Decoding again would take three times as long, and pipes cannot be decoded twice.

    Parameters
    ----------
    folder : Path
        Where a temporary file holds what exceeds the memory limit.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._channels = 0
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_MAX_BYTES, dir=str(folder))  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(
            OSError
        ):  # flushing to a full disk fails, but the samples are not needed any more
            self._file.close()

    def keep(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """Yield ``[channels, samples]`` blocks, and store them.

        Raises
        ------
        AudioWriteError
            The disk is full, or another error of the operating system.
        """
        for block in blocks:
            self._channels = len(block)
            with self._said():
                self._file.write(interleaved(block).data)
            yield block

    def blocks(self) -> Iterator[Samples]:
        """Yield everything that was stored, in blocks ``[channels, samples]``.

        Raises
        ------
        AudioWriteError
            As in `keep`: the last blocks may be written only now.
        """
        with self._said():
            self._file.seek(0)
        while data := self._file.read(_BLOCK_SAMPLES * self._channels * 4):
            samples = np.frombuffer(data, np.float32).reshape(-1, self._channels)
            yield np.array(samples.T, order="C")  # a writable copy

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Turn errors of the operating system into one line."""
        try:
            yield
        except OSError as error:
            raise write_error(self._folder, error) from error
