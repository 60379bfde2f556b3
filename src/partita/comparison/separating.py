"""Estimates and scores of one entrant."""

from __future__ import annotations

import contextlib
import logging
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from partita.comparison.jobs import SeparationJob, TrackJob
from partita.comparison.options import CompareOptions
from partita.comparison.processes import messages_of
from partita.comparison.results import Costs, EntrantResult
from partita.comparison.systems import CachedSystem, stem_paths
from partita.comparison.work import Work
from partita.datasets import Track
from partita.errors import PartitaError, one_line
from partita.evaluation.scores import TrackScores
from partita.evaluation.tasks import RunOptions, ScoredTrack, score_tracks
from partita.separation.result_cache import Cache

_log = logging.getLogger(__name__)
_MOST_JOBS = 4
_DAMAGED = "its estimates in the cache were damaged twice: is the disk all right?"


def separate_and_score(
    result: EntrantResult,
    model: str,
    tracks: Sequence[Track],
    options: CompareOptions,
    cache: Cache,
    work: Work,
) -> EntrantResult:
    """Return the result of an entrant with its estimates, scores and costs.

    Parameters
    ----------
    result : EntrantResult
        What is known by now.
    model : str
        Its weights or oracle.
    tracks : sequence of Track
    options : CompareOptions
    cache : Cache
    work : Work

    Raises
    ------
    PartitaError
        The entrant separates nothing.
    """
    entrant = result.entrant
    system = CachedSystem(entrant.name, model, entrant.settings, options.device, cache)
    return _Separated(result, system, options, cache, work).of(tracks)


class _Separated:
    """An entrant that separates and is scored."""

    def __init__(
        self,
        result: EntrantResult,
        system: CachedSystem,
        options: CompareOptions,
        cache: Cache,
        work: Work,
    ) -> None:
        self._result, self._system, self._options = result, system, options
        self._name = result.entrant.name
        self._cache, self._work = cache, work
        self._failures = dict(result.failures)
        self._scores: dict[str, TrackScores] = {}

    def of(self, tracks: Sequence[Track]) -> EntrantResult:
        """Return its result for these tracks."""
        jobs = self._jobs(tracks)
        for _ in range(2):  # a second time where estimates turn out to be damaged
            self._separate(self._open(jobs))
            self._score(self._open(jobs))
        for job in self._open(jobs):
            self._failures[job.track.name] = _line_of(job.track.name, _DAMAGED)
        entries = {
            job.track.name: entry
            for job in jobs
            if (entry := self._system.entry(job.track)) is not None
        }
        depths = {name: entry.facts["null_depth_db"] for name, entry in entries.items()}
        names = [track.name for track in tracks]
        return replace(
            self._result,
            scores={name: self._scores[name] for name in names if name in self._scores},
            stems={name: stem_paths(entry) for name, entry in entries.items()},
            failures=self._failures,
            null_depth_db={name: db for name, db in depths.items() if db is not None},
            costs=self._costs([entry.facts for entry in entries.values()]),
        )

    def _jobs(self, tracks: Sequence[Track]) -> list[TrackJob]:
        """Return what is to be separated; a track that has nothing to be scored fails."""
        jobs = []
        for track in tracks:
            try:
                match = self._system.match(track, self._options.score.targets)
                jobs.append(TrackJob(track, match, self._system.key(track, match)))
            except PartitaError as error:
                self._failures[track.name] = _line_of(track.name, str(error))
                self._work.drop(2 * track.duration_s)
        return jobs

    def _open(self, jobs: Iterable[TrackJob]) -> list[TrackJob]:
        closed = {*self._scores, *self._failures}
        return [job for job in jobs if job.track.name not in closed]

    def _separate(self, jobs: Sequence[TrackJob]) -> None:
        """Separate what is not in the cache."""
        waiting = {job.track.name: job for job in jobs if self._system.entry(job.track) is None}
        self._work.drop(_seconds(jobs) - _seconds(waiting.values()))
        total_s = _seconds(waiting.values())
        if not waiting:
            return
        with self._work.part(f"{self._name}: separating", total_s) as advance:
            while waiting:
                # After a crash another process goes on behind the track that was its cause.
                self._run_process(waiting, lambda left_s: advance(1 - left_s / max(total_s, 1e-9)))

    def _run_process(self, waiting: dict[str, TrackJob], left: Callable[[float], None]) -> None:
        """Separate tracks in one process, and take them out of `waiting`."""
        entrant = self._result.entrant
        job = SeparationJob(
            self._cache.root,
            self._system.model,
            entrant.settings,
            self._options.device,
            tuple(waiting.values()),
        )
        running = ""
        with contextlib.closing(messages_of(job)) as messages:
            for message in messages:
                log_message(message, self._name)
                running = message.get("begins", running)
                if "progress" in message:
                    left(_seconds(waiting.values()) - message["progress"][0])
                error = message.get("error") or message.get("ended")
                if error and waiting:
                    if not running:
                        raise PartitaError(error)
                    self._failures[running] = _line_of(running, error)
                if "track" in message or (error and waiting):
                    del waiting[running]
                    left(_seconds(waiting.values()))
                    running = ""

    def _score(self, jobs: Sequence[TrackJob]) -> None:
        """Score what is separated."""
        ready = {job.track.name: job.track for job in jobs}
        if not ready:
            return
        self._work.add(f"{self._name}: scoring")
        for outcome in self._outcomes(list(ready.values())):
            seconds = ready[outcome.track].duration_s
            if outcome.resumed:
                self._work.drop(seconds)
            else:
                self._work.add(f"{self._name}: scoring", seconds)
            if outcome.scores is not None:
                self._scores[outcome.track] = outcome.scores.as_saved()
            elif self._system.entry(ready[outcome.track]) is not None:
                self._failures[outcome.track] = outcome.error

    def _outcomes(self, tracks: Sequence[Track]) -> Iterator[ScoredTrack]:
        options = RunOptions(
            self._options.score,
            out=self._cache.root / "scores",
            resume=True,
            jobs=self._options.jobs or min(os.cpu_count() or 1, _MOST_JOBS),
            by_content=True,
        )
        with contextlib.closing(score_tracks(self._system, tracks, options)) as outcomes:
            for outcome in outcomes:
                for warning in () if outcome.resumed else outcome.warnings:
                    _log.warning("warning: %s: %s", one_line(self._name), warning)
                yield outcome

    def _costs(self, tracks: Sequence[Mapping[str, Any]]) -> Costs:
        speeds = [facts["seconds"] / facts["elapsed_s"] for facts in tracks]
        peaks = [facts["memory_mb"] for facts in tracks]
        licence = self._system.plan and self._system.plan.licence
        return replace(
            self._result.costs,
            parameters=next((facts["parameters"] for facts in tracks), None),
            licence=licence.text if licence else None,
            commercial=licence.commercial_use if licence else None,
            times_realtime=statistics.median(speeds) if speeds else None,
            memory_mb=max((peak for peak in peaks if peak is not None), default=None),
        )


def _seconds(jobs: Iterable[TrackJob]) -> float:
    return sum(job.track.duration_s for job in jobs)


def log_message(message: Mapping[str, Any], name: str) -> None:
    """Log what a process logged."""
    if "log" in message:
        level, text = message["log"]
        _log.log(level, "%s: %s", one_line(name), text)


def _line_of(track: str, text: str) -> str:
    name = one_line(track)
    return text if text.startswith(name) else f"{name}: {text}"
