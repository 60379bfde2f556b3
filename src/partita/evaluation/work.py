"""Scoring many tracks: a result for each whatever happens, and earlier results taken over."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from partita.datasets import Track
from partita.devices import worker_pool
from partita.errors import AudioWriteError, PartitaError, ScoresError, one_line, write_error
from partita.evaluation.evaluate import ScoreOptions, score_signals
from partita.evaluation.scores import TrackScores, read_scores
from partita.evaluation.targets import Match
from partita.files import folded
from partita.threads import map_awake

_log = logging.getLogger(__name__)
_MADE_OF = "made_of"  # in the settings of score files


@dataclass(frozen=True)
class ScoredTrack:
    """What became of one track.

    Attributes
    ----------
    system : str
        Whose estimates.
    track : str
    scores : TrackScores or None
        None: it failed.
    error : str
        One line, where it failed.
    warnings : tuple of str
    resumed : bool
        The scores are those of an earlier run.
    left_out : mapping of str to str
        What could not be scored → the side that lacks it, ``references`` or ``estimates``.
    """

    system: str
    track: str
    scores: TrackScores | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()
    resumed: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunOptions:
    """How tracks are worked through.

    Attributes
    ----------
    score : ScoreOptions
    out : Path or None
        Where score files go, as ``SYSTEM/SUBSET/TRACK.json``, which museval reads.
    resume : bool
        Take score files that are there already, if they were made in the same way.
    jobs : int
        Tracks at once.
    separation : mapping
        How a benchmark's models separate: scores that were made otherwise are not taken over.
    """

    score: ScoreOptions
    out: Path | None = None
    resume: bool = False
    jobs: int = 1
    separation: Mapping[str, Any] = field(default_factory=dict)


#: References and estimates ``[channels, samples]`` by target, and warnings.
Signals = tuple[dict[str, Tensor], dict[str, Tensor], list[str]]


@dataclass(frozen=True)
class Task:
    """A track that is to be scored.

    Attributes
    ----------
    system : str
        Whose estimates.
    track : Track
    match : Match
        What is scored against what.
    load : callable
        Returns the signals and their rate in hertz.
    made_of : callable
        Returns a text that changes with the files and the model.
    look_for_mistakes : bool
        As for `score_signals`.
    """

    system: str
    track: Track
    match: Match
    load: Callable[[], tuple[Signals, int]]
    made_of: Callable[[], str]
    look_for_mistakes: bool = True


def score_all(
    tasks: Sequence[Task | ScoredTrack], options: RunOptions
) -> Generator[ScoredTrack, None, None]:
    """Score tracks, several at once where the options say so; those that failed pass through."""
    tasks = _with_files_of_their_own(tasks, options.out)

    def run(task: Task | ScoredTrack) -> ScoredTrack:
        return task if isinstance(task, ScoredTrack) else _score(task, options)

    if options.jobs == 1:
        yield from map(run, tasks)
        return
    with worker_pool(options.jobs, torch.get_num_threads()) as pool:
        yield from map_awake(pool, run, tasks)


def _with_files_of_their_own(
    tasks: Sequence[Task | ScoredTrack], out: Path | None
) -> list[Task | ScoredTrack]:
    """Let tracks fail whose scores would replace another's, if only on some systems."""
    owners: dict[str, Task] = {}
    checked: list[Task | ScoredTrack] = []
    for task in tasks:
        path = _score_path(task, out) if isinstance(task, Task) else None
        if path is not None and isinstance(task, Task):
            owner = owners.setdefault(folded(path), task)
            if owner is not task:
                name, other = one_line(task.track.name), one_line(owner.track.name)
                text = f"{name}: its scores would get the file of {other}'s: rename one"
                checked.append(ScoredTrack(task.system, task.track.name, error=text))
                continue
        checked.append(task)
    return checked


def _score(task: Task, options: RunOptions) -> ScoredTrack:
    path = _score_path(task, options.out)
    name = one_line(task.track.name)
    failed = ScoredTrack(task.system, task.track.name)
    try:
        made_of = _made_of(task) if path else ""
        scores = _earlier(path, task, options, made_of) if options.resume and path else None
        resumed = scores is not None
        if scores is None:
            scores = _score_anew(task, options, made_of)
            if path:
                _save(scores, path)
    except AudioWriteError as error:
        return replace(failed, error=str(error))
    except PartitaError as error:
        text = str(error)
        return replace(failed, error=text if text.startswith(name) else f"{name}: {text}")
    except Exception as error:
        _log.debug("%s", name, exc_info=True)
        reason = one_line(f"{type(error).__name__}: {error}")
        return replace(
            failed, error=f"{name}: failed unexpectedly ({reason}); --verbose tells more"
        )
    return replace(
        failed,
        scores=scores,
        warnings=tuple(f"{name}: {warning}" for warning in scores.warnings),
        resumed=resumed,
        left_out=task.match.left_out,
    )


def _score_anew(task: Task, options: RunOptions, made_of: str) -> TrackScores:
    (true, found, warnings), rate = task.load()
    scores = score_signals(
        true,
        found,
        warnings,
        sample_rate=rate,
        options=options.score,
        track=task.track.name,
        look_for_mistakes=task.look_for_mistakes,
    )
    if not made_of:
        return scores
    return replace(scores, settings={**scores.settings, _MADE_OF: made_of})


def _made_of(task: Task) -> str:
    """Return a digest that changes when scores would; empty where a file is missing."""
    try:
        return hashlib.sha256(task.made_of().encode()).hexdigest()
    except OSError:
        return ""


def _score_path(task: Task, out: Path | None) -> Path | None:
    """Return where a track's scores go; museval looks for tracks below ``test``."""
    if out is None:
        return None
    folder = task.track.subset or "test"
    return out / task.system / folder / f"{task.track.name.replace('/', '_')}.json"


def _save(scores: TrackScores, path: Path) -> None:
    try:
        scores.save(path)
    except OSError as error:
        raise write_error(path, error) from error


def _earlier(path: Path, task: Task, options: RunOptions, made_of: str) -> TrackScores | None:
    """Return the scores of an earlier run that was asked for the same, of the same files."""
    if not path.exists() or not made_of:
        return None
    try:
        scores = read_scores(path)
    except ScoresError as error:
        _log.warning("%s; scoring the track again", error)
        return None
    settings = replace(options.score, targets=tuple(task.match.targets)).as_settings()
    wanted = {**settings, _MADE_OF: made_of}
    return scores if wanted.items() <= dict(scores.settings).items() else None
