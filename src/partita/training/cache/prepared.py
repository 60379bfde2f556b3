"""Preparing a data set for training: every file is decoded once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import filelock
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.audio.work_folder import work_folder
from partita.datasets import Dataset
from partita.datasets.layout import Problem
from partita.datasets.tracks import Track, order_stems
from partita.errors import AudioReadError, AudioWriteError, UnknownNameError, UsageError, one_line
from partita.progress import Progress
from partita.training.cache.convert import (
    ABSENT,
    AUDIO,
    FORMAT,
    INDEX,
    PIECE_S,
    SHORT,
    Converter,
    Job,
    needed_files,
)

_MOST_LINES = 20


@dataclass(frozen=True, eq=False)
class PreparedTrack:
    """A track whose audio lies ready.

    Attributes
    ----------
    name : str
    samples : int
        Of the longest row, at the prepared rate.
    channels : int
    audio : Path, or ndarray of int16 ``[rows, samples, channels]``
        A file of such samples is opened at every read: data sets have more tracks than a process
        may hold files open.
    scales : tuple of float
        For each row, what one step of its integers is worth; 0 where the track has no such row.
    audible : ndarray of bool ``[rows, pieces]``
        Which pieces of `PIECE_S` are heard.
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
            The prepared audio is gone.
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
                f"{one_line(self.audio)}: prepared audio cannot be read any more "
                f"({error.strerror or error}): start anew to prepare it again"
            ) from error
        return steps.reshape(-1, self.channels)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A data set whose audio lies ready.

    Attributes
    ----------
    sources : tuple of str
        As asked for.
    has_rest : bool
        Whether there is one more row: the stems that are in no source.
    tracks : tuple of PreparedTrack
        The mixture of each is the sum of its rows.
    sample_rate : int
        In hertz.
    channels : int
    warnings : tuple of str
        What may be meant as it is.
    """

    sources: tuple[str, ...]
    has_rest: bool
    tracks: tuple[PreparedTrack, ...]
    sample_rate: int
    channels: int
    warnings: tuple[str, ...]

    def songs_for(self, index: int) -> Prepared:  # noqa: ARG002 (others have many)
        """Return the songs from which an excerpt is drawn: always these."""
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
        """Length of the pieces that are audible or not."""
        return round(PIECE_S * self.sample_rate)

    @cached_property
    def heard(self) -> tuple[npt.NDArray[np.int32], ...]:
        """For each row ``[heard, 2]``: track and piece of all audible pieces."""
        return tuple(
            _pieces([track.audible[row] for track in self.tracks]) for row in range(self.rows)
        )

    @cached_property
    def heard_in_any(self) -> npt.NDArray[np.int32]:
        """``[heard, 2]``: track and piece wherever at least one source is audible."""
        count = len(self.sources)
        return _pieces([np.any(track.audible[:count], axis=0) for track in self.tracks])


def _pieces(audible: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.int32]:
    pieces = [np.flatnonzero(each) for each in audible]
    tracks = np.repeat(np.arange(len(pieces)), [len(each) for each in pieces])
    return np.stack([tracks, np.concatenate(pieces)], axis=1).astype(np.int32)


def prepare(
    dataset: Dataset,
    sources: Sequence[str],
    *,
    sample_rate: int,
    channels: int,
    folder: Path,
    progress: Progress | None = None,
) -> Prepared:
    """Decode a data set into files of 16-bit integers, from which excerpts are read quickly.

    What is there from an earlier call is taken as it is, unless files of the track have changed
    since. Several processes may prepare into one folder. Memory does not grow with the length of
    the tracks.

    Parameters
    ----------
    dataset : Dataset
    sources : sequence of str
        Stems or other targets of the tracks (``accompaniment``). The stems that are in none of
        them are added up to one more row, so that rows add up to the mixture. Each of a track's
        files is brought to one rate and channel count by itself; the shorter ones go on in
        silence. A source that a track lacks is silence, if the track has no mixture of its own
        or one that says so too: that is the sum of the other stems.
    sample_rate, channels : int
        Those of the model; 1 or 2 channels.
    folder : Path
        Holds a folder for each track.
    progress : callable, optional
        Called with the seconds of music decoded so far and in all.

    Raises
    ------
    UnknownNameError
        A source that no track has.
    UsageError
        A stem in two sources, or a source that is silent in all tracks.
    AudioReadError
        All files that are damaged or cannot be decoded, and tracks whose mixtures hold what their
        stems lack: a line each. Tracks without such problems lie ready nevertheless.
    AudioWriteError
        The folder cannot be written, or does not have the room.
    """
    problems: list[Problem] = []
    jobs = _plan(dataset, sources, sample_rate, channels, folder, problems)
    missing = [job for job in jobs if _open(job, channels) is None]
    missing = [job for job in missing if _headers_are_good(job, problems)]
    if missing:
        try:
            _prepare_all(missing, sample_rate, channels, folder, problems, progress)
        except OSError as error:
            raise _write_error(folder, one_line(error.strerror or error)) from error
    if problems:
        raise AudioReadError(_as_list(problems))
    tracks, warnings = [], [*dataset.problems, *dataset.warnings]
    rest = any(job.rows[-1] for job in jobs)
    for job in jobs:
        opened = _open(job, channels)
        if opened is None:
            raise _write_error(folder, f"{one_line(job.place.name)} vanished")
        tracks.append(opened[0])
        warnings += [
            Problem(job.track.name, what)
            for what in opened[1]
            if dataset.is_aligned or not what.endswith((ABSENT, SHORT))  # these are no songs
        ]
    for row, source in enumerate(sources):
        if not any(track.audible[row].any() for track in tracks):
            raise UsageError(f"the stem {source!r} is silent in every track")
    lines = tuple(map(str, warnings))
    return Prepared(tuple(sources), rest, tuple(tracks), sample_rate, channels, lines)


def _as_list(problems: Sequence[Problem]) -> str:
    lines = [str(problem) for problem in problems[:_MOST_LINES]]
    more = len(problems) - len(lines)
    return "\n".join([*lines, *[f"and {more} more"] * bool(more)])


def _write_error(folder: Path, reason: str) -> AudioWriteError:
    where = one_line(folder)
    return AudioWriteError(
        f"cannot prepare the data set in {where}: {reason}: make room there or choose another"
    )


def _plan(
    dataset: Dataset,
    sources: Sequence[str],
    sample_rate: int,
    channels: int,
    folder: Path,
    problems: list[Problem],
) -> list[Job]:
    """Find each track's rows and place; tracks whose files are not there are problems."""
    found = order_stems({name for track in dataset for name in track.targets})
    for source in sources:
        if source not in found:
            raise UnknownNameError("stem", source, found)
    if not sources:
        raise UsageError("no sources were named: name stems of the data set")
    jobs = []
    for track in dataset:
        rows = [track.targets.get(source, ()) for source in sources]
        for stem in track.stems:
            holders = [name for name, row in zip(sources, rows, strict=True) if stem in row]
            if len(holders) > 1:
                raise UsageError(
                    f"{one_line(track.name)}: the stem {stem!r} is in two sources, "
                    f"{holders[0]} and {holders[1]}: leave one out"
                )
        rest = tuple(stem for stem in track.stems if not any(stem in row for row in rows))
        absent = tuple(name for name, row in zip(sources, rows, strict=True) if not row)
        try:
            key = [FORMAT, sample_rate, channels, *rows, rest, absent, _states(track)]
        except OSError as error:
            where = one_line(error.filename)
            problems.append(Problem(track.name, f"{where}: {error.strerror}"))
            continue
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
        jobs.append(Job(track, (*rows, rest), absent, folder / digest[:32]))
    return jobs


def _states(track: Track) -> list[tuple[str, str, int, int, int]]:
    """Return what changes when a file of a track does."""
    states = []
    for name, file in track.files.items():
        for part in file.paths:
            state = part.stat()
            # The whole path: files of two tracks may have one name, one size and one time.
            path = os.fspath(part.absolute())
            states.append((name, path, file.stream, state.st_size, state.st_mtime_ns))
    return states


def _open(job: Job, channels: int) -> tuple[PreparedTrack, list[str]] | None:
    """Return a prepared track and its warnings; None where it is not complete."""
    audio = job.place / AUDIO
    try:
        index = json.loads((job.place / INDEX).read_text("utf-8"))
        samples, scales, warnings = index["samples"], tuple(index["scales"]), index["warnings"]
        audible = np.array([[char == "1" for char in row] for row in index["audible"]], np.bool_)
        digest = str(index["digest"])
        is_whole = audio.stat().st_size == len(scales) * samples * channels * 2
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    name = job.track.name
    track = PreparedTrack(name, samples, channels, audio, scales, audible, digest)
    return (track, warnings) if is_whole else None


def _headers_are_good(job: Job, problems: list[Problem]) -> bool:
    found = len(problems)
    for file in needed_files(job):
        try:
            _ = file.header
        except AudioReadError as error:
            problems.append(Problem(job.track.name, str(error)))
    return len(problems) == found


def _prepare_all(
    jobs: Sequence[Job],
    sample_rate: int,
    channels: int,
    folder: Path,
    problems: list[Problem],
    progress: Progress | None,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _check_room(jobs, sample_rate, channels, folder)
    total_s = sum(file.header.duration_s for job in jobs for file in needed_files(job))
    done_s = 0.0

    def advance(seconds: float) -> None:
        nonlocal done_s
        done_s += seconds
        if progress is not None:
            progress(min(done_s, total_s), total_s)

    with work_folder(folder) as work:
        for job in jobs:
            lock = job.place.with_suffix(".lock")
            with filelock.FileLock(lock):
                if _open(job, channels) is None:  # another process may have been quicker
                    made = work / job.place.name
                    made.mkdir()
                    converter = Converter(job, sample_rate, channels, made, advance)
                    if converter.run(problems):
                        shutil.rmtree(job.place, ignore_errors=True)
                        made.replace(job.place)
                    else:
                        shutil.rmtree(made)
            # Whoever still waits for it finds the track complete.
            with contextlib.suppress(OSError):
                lock.unlink()


def _check_room(jobs: Sequence[Job], sample_rate: int, channels: int, folder: Path) -> None:
    needed = waiting = 0
    for job in jobs:
        files = needed_files(job)
        longest_s = max(file.header.duration_s for file in files)
        one_row = round(longest_s * sample_rate) * channels * 2  # bytes
        needed += one_row * len(job.rows)
        waiting = max(waiting, 2 * one_row * len(files))  # float32; fewer where stems add up
    free = shutil.disk_usage(folder).free
    if needed + waiting > free:
        raise _write_error(
            folder,
            f"{(needed + waiting) / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free",
        )
