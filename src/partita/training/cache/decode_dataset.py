"""Decoding a data set for training: every file once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import filelock

from partita.audio.work_folder import work_folder
from partita.datasets import Dataset
from partita.datasets.layout import Problem
from partita.datasets.tracks import Track, order_stems
from partita.errors import AudioReadError, AudioWriteError, UnknownNameError, UsageError, one_line
from partita.progress import Progress, added_up
from partita.training.cache.decode_track import ABSENT, FORMAT, SHORT, TrackDecoder, TrackJob
from partita.training.cache.decoded_songs import DecodedSongs

_MOST_LINES = 20


def decode_dataset(
    dataset: Dataset,
    sources: Sequence[str],
    *,
    sample_rate: int,
    channels: int,
    folder: Path,
    progress: Progress | None = None,
) -> DecodedSongs:
    """Decode a data set into files of 16-bit integers, from which excerpts are read quickly.

    Tracks that an earlier call decoded are used again, unless their files have changed since.
    Several processes may decode into one folder. Memory does not grow with the length of the
    tracks.

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
        stems lack: a line each. The other tracks are decoded nevertheless.
    AudioWriteError
        The folder cannot be written, or does not have the room.
    """
    problems: list[Problem] = []
    jobs = _plan(dataset, sources, sample_rate, channels, folder, problems)
    missing = [job for job in jobs if job.load() is None]
    missing = [job for job in missing if _headers_are_good(job, problems)]
    if missing:
        try:
            _decode_all(missing, folder, problems, progress)
        except OSError as error:
            raise _write_error(folder, one_line(error.strerror or error)) from error
    if problems:
        raise AudioReadError(_as_list(problems))
    tracks, warnings = [], [*dataset.problems, *dataset.warnings]
    for job in jobs:
        loaded = job.load()
        if loaded is None:
            raise _write_error(folder, f"{one_line(job.folder.name)} vanished")
        tracks.append(loaded[0])
        warnings += [
            Problem(job.track.name, warning)
            for warning in loaded[1]
            # Tracks of unaligned data sets have one source each.
            if dataset.is_aligned or not warning.endswith((ABSENT, SHORT))
        ]
    for row, source in enumerate(sources):
        if not any(track.audible[row].any() for track in tracks):
            raise UsageError(f"the stem {source!r} is silent in every track")
    has_rest = any(job.rows[-1] for job in jobs)
    lines = tuple(map(str, warnings))
    return DecodedSongs(tuple(sources), has_rest, tuple(tracks), sample_rate, channels, lines)


def _as_list(problems: Sequence[Problem]) -> str:
    lines = [str(problem) for problem in problems[:_MOST_LINES]]
    more = len(problems) - len(lines)
    return "\n".join([*lines, *[f"and {more} more"] * bool(more)])


def _write_error(folder: Path, reason: str) -> AudioWriteError:
    where = one_line(folder)
    return AudioWriteError(
        f"cannot write the decoded data set to {where}: {reason}: make room there, or set "
        "PARTITA_HOME to another folder"
    )


def _plan(
    dataset: Dataset,
    sources: Sequence[str],
    sample_rate: int,
    channels: int,
    folder: Path,
    problems: list[Problem],
) -> list[TrackJob]:
    """Find each track's rows and folder; tracks whose files are missing are problems."""
    found = order_stems({name for track in dataset for name in track.targets})
    for source in sources:
        if source not in found:
            raise UnknownNameError("stem", source, found)
    if not sources:
        raise UsageError("no sources were named: name stems of the data set")
    jobs = []
    for track in dataset:
        rows = _rows(track, sources)
        absent = tuple(name for name, row in zip(sources, rows, strict=False) if not row)
        try:
            key = [FORMAT, sample_rate, channels, *rows, absent, _states(track)]
        except OSError as error:
            where = one_line(error.filename)
            problems.append(Problem(track.name, f"{where}: {error.strerror}"))
            continue
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
        place = folder / digest[:32]
        jobs.append(TrackJob(track, rows, absent, sample_rate, channels, place))
    return jobs


def _rows(track: Track, sources: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the stems of each source, then those that are in no source."""
    rows = [track.targets.get(source, ()) for source in sources]
    for stem in track.stems:
        holders = [name for name, row in zip(sources, rows, strict=True) if stem in row]
        if len(holders) > 1:
            raise UsageError(
                f"{one_line(track.name)}: the stem {stem!r} is in two sources, "
                f"{holders[0]} and {holders[1]}: leave one out"
            )
    rest = tuple(stem for stem in track.stems if not any(stem in row for row in rows))
    return (*rows, rest)


def _states(track: Track) -> list[tuple[object, ...]]:
    """Return what changes when a file of a track does."""
    return [(name, *state) for name, file in track.files.items() for state in file.states()]


def _headers_are_good(job: TrackJob, problems: list[Problem]) -> bool:
    found = len(problems)
    for file in job.files:
        try:
            _ = file.header
        except AudioReadError as error:
            problems.append(Problem(job.track.name, str(error)))
    return len(problems) == found


def _decode_all(
    jobs: Sequence[TrackJob], folder: Path, problems: list[Problem], progress: Progress | None
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _check_room(jobs, folder)
    total_s = sum(file.header.duration_s for job in jobs for file in job.files)
    advance = added_up(progress, total_s)
    with work_folder(folder) as work:
        for job in jobs:
            lock = job.folder.with_suffix(".lock")
            with filelock.FileLock(lock):
                if job.load() is None:  # another process may have been quicker
                    _decode(job, work / job.folder.name, advance, problems)
            # Whoever still waits for it finds the track complete.
            with contextlib.suppress(OSError):
                lock.unlink()


def _decode(
    job: TrackJob, folder: Path, advance: Callable[[float], None], problems: list[Problem]
) -> None:
    """Decode a track in a folder, and move it to its place when it is complete."""
    folder.mkdir()
    if TrackDecoder(job, folder, advance).run(problems):
        shutil.rmtree(job.folder, ignore_errors=True)
        folder.replace(job.folder)
    else:
        shutil.rmtree(folder)


def _check_room(jobs: Sequence[TrackJob], folder: Path) -> None:
    needed = temporary = 0
    for job in jobs:
        longest_s = max(file.header.duration_s for file in job.files)
        one_row = round(longest_s * job.sample_rate) * job.channels * 2  # bytes
        needed += one_row * len(job.rows)
        # float32; less where stems add up
        temporary = max(temporary, 2 * one_row * len(job.files))
    free = shutil.disk_usage(folder).free
    if needed + temporary > free:
        raise _write_error(
            folder,
            f"{(needed + temporary) / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free",
        )
