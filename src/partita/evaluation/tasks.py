"""Scoring many tracks: a result for each whatever happens, and earlier results taken over."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from partita.datasets import Track
from partita.devices import worker_pool
from partita.errors import (
    AudioWriteError,
    PartitaError,
    ScoresError,
    UsageError,
    one_line,
    unexpected,
    write_error,
)
from partita.evaluation.loading import load_references
from partita.evaluation.scores import WHOLE_TRACK_METRICS, TrackScores, read_scores
from partita.evaluation.scoring import ScoreOptions, score_signals, sum_targets
from partita.evaluation.systems import System
from partita.evaluation.targets import Match
from partita.files import folded
from partita.threads import map_awake

_log = logging.getLogger(__name__)
_MADE_OF = "made_of"  # in the settings of score files
#: Without the track's name, so that it is said once for all tracks.
_OTHER_METRICS = (
    "earlier scores are of another version of the metrics (now with "
    f"{', '.join(WHOLE_TRACK_METRICS)}): their tracks are scored again"
)


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
    """How many tracks are scored.

    Attributes
    ----------
    score : ScoreOptions
    out : Path or None
        Where score files go, as ``SYSTEM/SUBSET/TRACK.json``, which museval reads.
    by_content : bool
        Name score files after what they were made of instead: scores of other signals or options
        stay beside them.
    resume : bool
        Take score files that are there already, if they were made in the same way.
    jobs : int
        Tracks at once.
    """

    score: ScoreOptions
    out: Path | None = None
    resume: bool = False
    jobs: int = 1
    by_content: bool = False


def score_tracks(
    system: System, tracks: Iterable[Track], options: RunOptions
) -> Generator[ScoredTrack, None, None]:
    """Score a system's estimates of tracks, several at once where the options say so.

    Yields
    ------
    ScoredTrack
        For every track, in their order; an error in one stops none of the others.
    """
    tasks = _tasks(system, tracks, options)
    if options.jobs == 1:
        yield from map(_run, tasks)
        return
    with worker_pool(options.jobs, torch.get_num_threads()) as pool:
        yield from map_awake(pool, _run, tasks)


def _run(task: Task | ScoredTrack) -> ScoredTrack:
    return task.run() if isinstance(task, Task) else task


def _tasks(
    system: System, tracks: Iterable[Track], options: RunOptions
) -> list[Task | ScoredTrack]:
    """Return what is to be scored of each track, or why it cannot be.

    A track whose scores would replace another's fails, even if only some file systems take the
    names of both for one.
    """
    owners: dict[str, str] = {}
    found: list[Task | ScoredTrack] = []
    for track in tracks:
        try:
            task = Task(system, track, system.match(track, options.score.targets), options)
            owner = owners.setdefault(folded(task.path), track.name) if task.path else None
            if owner not in (None, track.name):
                raise UsageError(f"its scores would get the file of {owner}'s: rename one")
            found.append(task)
        except UsageError as error:
            line = one_line(f"{track.name}: {error}")
            found.append(ScoredTrack(system.name, track.name, error=line))
    return found


@dataclass(frozen=True)
class Task:
    """A track that is to be scored.

    Attributes
    ----------
    system : System
        Whose estimates.
    track : Track
    match : Match
        What is scored against what.
    options : RunOptions
    """

    system: System
    track: Track
    match: Match
    options: RunOptions

    def run(self) -> ScoredTrack:
        """Score the track, or take over the scores of an earlier run."""
        failed = ScoredTrack(self.system.name, self.track.name)
        name = one_line(self.track.name)
        try:
            scores, resumed, remarks = self._scores()
        except AudioWriteError as error:
            return replace(failed, error=str(error))
        except PartitaError as error:
            text = str(error)
            return replace(failed, error=text if text.startswith(name) else f"{name}: {text}")
        except Exception as error:
            _log.debug("%s", name, exc_info=True)
            text = f"{name}: {unexpected(error)}; `logging.DEBUG` shows details"
            return replace(failed, error=text)
        return ScoredTrack(
            self.system.name,
            self.track.name,
            scores,
            warnings=(*remarks, *(f"{name}: {warning}" for warning in scores.warnings)),
            resumed=resumed,
            left_out=self.match.left_out,
        )

    @cached_property
    def path(self) -> Path | None:
        """Where the scores go; museval looks for tracks below ``test``."""
        if self.options.out is None:
            return None
        if self.options.by_content:
            asked = {**self._asked, "metrics_version": None, _MADE_OF: self._made_of}
            named = json.dumps([self.track.name, asked], sort_keys=True)
            digest = hashlib.sha256(named.encode()).hexdigest()
            return self.options.out / f"{digest[:32]}.json" if self._made_of else None
        folder = self.track.subset or "test"
        file = f"{self.track.name.replace('/', '_')}.json"
        return self.options.out / self.system.name / folder / file

    def _scores(self) -> tuple[TrackScores, bool, list[str]]:
        """Return scores, whether an earlier run made them, and why not if one could have."""
        if self.path is None:
            return self._score(), False, []
        made_of = self._made_of
        earlier = self._earlier(self.path) if self.options.resume and made_of else None
        differing = [] if earlier is None else self._differing(earlier, made_of)
        if earlier is not None and not differing:
            return earlier, True, []
        remarks = [_OTHER_METRICS] if differing == ["metrics_version"] else []
        scores = self._score()
        if made_of:
            scores = replace(scores, settings={**scores.settings, _MADE_OF: made_of})
        try:
            scores.save(self.path)
        except OSError as error:
            raise write_error(self.path, error) from error
        return scores, False, remarks

    @property
    def _asked(self) -> dict[str, Any]:
        return replace(self.options.score, targets=tuple(self.match.targets)).as_settings()

    def _score(self) -> TrackScores:
        """Get references and estimates, and compare them."""
        references = load_references(self.track, self.match.references)
        estimates, warnings = self.system.estimate(self.track, self.match, references)
        true, estimated, fitted = sum_targets(self.match.targets, references.stems, estimates)
        return score_signals(
            true,
            estimated,
            [*self.match.remarks, *references.warnings, *warnings, *fitted],
            sample_rate=references.sample_rate,
            options=self.options.score,
            track=self.track.name,
            look_for_mistakes=self.system.look_for_mistakes,
        )

    @cached_property
    def _made_of(self) -> str:
        """Return a digest that changes when scores would; empty where a file is missing."""
        try:
            return hashlib.sha256(self.system.mark(self.track).encode()).hexdigest()
        except OSError:
            return ""

    def _earlier(self, path: Path) -> TrackScores | None:
        """Return the scores of an earlier run, whatever it was asked for."""
        if not path.exists():
            return None
        try:
            return read_scores(path)
        except ScoresError as error:
            _log.warning("%s; scoring the track again", error)
            return None

    def _differing(self, earlier: TrackScores, made_of: str) -> list[str]:
        """Return in which settings earlier scores are not what is asked for now."""
        wanted = {**self._asked, _MADE_OF: made_of}
        return [name for name in wanted if earlier.settings.get(name) != wanted[name]]
