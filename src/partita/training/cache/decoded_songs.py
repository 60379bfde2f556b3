"""Decoded songs, from which excerpts are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.errors import AudioReadError, one_line

#: Length of the pieces of which each is audible or not.
PIECE_S = 0.5


@dataclass(frozen=True, eq=False)
class DecodedTrack:
    """A track as 16-bit integers, in a file or in memory.

    Attributes
    ----------
    name : str
    samples : int
        Of the longest row.
    channels : int
    audio : Path, or ndarray of int16 ``[rows, samples, channels]``
        A file of such samples is opened at every read: data sets have more tracks than a process
        may hold files open.
    scales : tuple of float
        For each row, what one step of its integers is worth; 0 where the track has no such row.
    audible : ndarray of bool ``[rows, pieces]``
        Which pieces of `PIECE_S` are not silent.
    digest : str
        SHA-256 of the audio, whatever files it came from; empty where it is in memory.
    """

    name: str
    samples: int
    channels: int
    audio: Path | npt.NDArray[np.int16]
    scales: tuple[float, ...]
    audible: npt.NDArray[np.bool_]
    digest: str = ""

    def read(self, row: int, start: int, samples: int) -> Tensor:
        """Read part of a row; before the beginning and beyond the end there is silence.

        Returns
        -------
        Tensor ``[channels, samples]``
            float32; zeros where the track has no such row.

        Raises
        ------
        AudioReadError
            The file of decoded audio is gone.
        """
        part = np.zeros((self.channels, samples), np.float32)
        first, last = max(start, 0), min(start + samples, self.samples)
        if self.scales[row] and last > first:
            scaled = part[:, first - start : last - start]
            np.multiply(self._steps(row, first, last).T, np.float32(self.scales[row]), scaled)
        return torch.from_numpy(part)

    def _steps(self, row: int, first: int, last: int) -> npt.NDArray[np.int16]:
        """Return the integers of part of a row, ``[samples, channels]``."""
        if not isinstance(self.audio, Path):
            return self.audio[row, first:last]
        count = (last - first) * self.channels
        offset = (row * self.samples + first) * self.channels * 2
        try:
            steps = np.fromfile(self.audio, np.int16, count, offset=offset)
        except OSError as error:
            raise AudioReadError(
                f"{one_line(self.audio)}: decoded audio cannot be read any more "
                f"({error.strerror or error}): start again, which decodes it again"
            ) from error
        return steps.reshape(-1, self.channels)


@dataclass(frozen=True, eq=False)
class DecodedSongs:
    """Songs that excerpts are drawn from.

    Attributes
    ----------
    sources : tuple of str
        The first rows of each track.
    has_rest : bool
        Whether there is one more row: the sum of the stems that are in no source.
    tracks : tuple of DecodedTrack
        The mixture of each is the sum of its rows.
    sample_rate : int
        In hertz.
    channels : int
    warnings : tuple of str
        What may be intended.
    """

    sources: tuple[str, ...]
    has_rest: bool
    tracks: tuple[DecodedTrack, ...]
    sample_rate: int
    channels: int
    warnings: tuple[str, ...] = ()

    def songs_for(self, index: int) -> DecodedSongs:  # noqa: ARG002 (other pools change)
        """Return the songs that an excerpt is drawn from: always these."""
        return self

    @property
    def rows(self) -> int:
        """How many rows each track has."""
        return len(self.sources) + self.has_rest

    @property
    def row_names(self) -> tuple[str, ...]:
        """The sources, and ``rest``."""
        return (*self.sources, *["rest"] * self.has_rest)

    @property
    def piece_samples(self) -> int:
        """Samples of a piece (`PIECE_S`)."""
        return round(PIECE_S * self.sample_rate)

    @cached_property
    def audible(self) -> tuple[npt.NDArray[np.int32], ...]:
        """For each row ``[pieces, 2]``: track and number of its audible pieces."""
        return tuple(
            _places([track.audible[row] for track in self.tracks]) for row in range(self.rows)
        )

    @cached_property
    def any_audible(self) -> npt.NDArray[np.int32]:
        """``[pieces, 2]``: track and number of the pieces in which any source is audible."""
        count = len(self.sources)
        return _places([np.any(track.audible[:count], axis=0) for track in self.tracks])


def _places(audible: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.int32]:
    pieces = [np.flatnonzero(each) for each in audible]
    tracks = np.repeat(np.arange(len(pieces)), [len(each) for each in pieces])
    return np.stack([tracks, np.concatenate(pieces)], axis=1).astype(np.int32)
