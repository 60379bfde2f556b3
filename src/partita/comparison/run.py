"""A comparison: train, separate and score with every entrant."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from partita import __version__
from partita.comparison.cache import Cache, Entry
from partita.comparison.entrants import check_entrants
from partita.comparison.jobs import SeparationJob, TrackJob, TrainingJob
from partita.comparison.processes import messages_of
from partita.comparison.results import Comparison, Costs, Entrant, EntrantResult, TrainingPlan
from partita.comparison.systems import CachedSystem, stem_paths
from partita.comparison.tracks import (
    Split,
    as_files,
    content_digest,
    split_tracks,
    training_tracks,
)
from partita.datasets import Dataset, Track
from partita.devices import choose_device
from partita.errors import PartitaError, TrainingError, UsageError, one_line
from partita.evaluation.scores import TrackScores
from partita.evaluation.scoring import ScoreOptions
from partita.evaluation.tasks import RunOptions, ScoredTrack, score_tracks
from partita.training.recipes import DICTIONARIES, load_recipe
from partita.training.run_folder import RunFolder, read_losses
from partita.weights.download import file_sha256
from partita.weights.identity import digest_of

_log = logging.getLogger(__name__)
_MOST_JOBS = 4
#: Called with what is being done, and how much of all work is done and there is.
Report = Callable[[str, float, float], None]


@dataclass(frozen=True)
class CompareOptions:
    """What is compared, and how.

    Attributes
    ----------
    score : ScoreOptions
    subset : str or None
        Of tracks that are scored; ``test`` by default where the data set has it, else all.
    tracks : tuple of str
        Score only the tracks of these names.
    seconds : float or None
        Score only so much of each track, from its middle.
    seed : int
        Of what is drawn: which tracks train where the data set does not say.
    device : str
    jobs : int or None
        Tracks that are scored at once; by default as many as there are cores, at most four.
    """

    score: ScoreOptions = dataclasses.field(default_factory=ScoreOptions)
    subset: str | None = None
    tracks: tuple[str, ...] = ()
    seconds: float | None = None
    seed: int = 0
    device: str = "auto"
    jobs: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError(f"`seconds` {self.seconds:g} is not a positive number")


def compare(
    dataset: Dataset,
    entrants: Sequence[Entrant],
    options: CompareOptions | None = None,
    *,
    cache: Path,
    progress: Report | None = None,
) -> Comparison:
    """Compare separators on a data set.

    Each entrant has a process of its own. What is in the cache is not computed again, so a
    comparison that was interrupted goes on, and one that changes in one entrant computes that one.

    Parameters
    ----------
    dataset : Dataset
        With all its subsets: entrants that are trained learn from the tracks that are not scored.
    entrants : sequence of Entrant
    options : CompareOptions, optional
    cache : Path
        A folder for trainings, estimates and scores.
    progress : callable, optional

    Returns
    -------
    Comparison
        Where an entrant fails, its result says why, and the others go on.

    Raises
    ------
    UsageError
        Entrants, options or data set that cannot be, before anything is computed.
    AudioReadError
        A track cannot be read.
    AudioWriteError
        The cache cannot be written.
    """
    options = options or CompareOptions()
    check_entrants(entrants)
    choose_device(options.device)
    plans = [each.training for each in entrants if each.training is not None]
    split = split_tracks(
        dataset, plans, subset=options.subset, tracks=options.tracks, seed=options.seed
    )
    return _Run(dataset, split, options, Cache(cache), progress).all_of(entrants)


class _Run:
    """A running comparison."""

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        options: CompareOptions,
        cache: Cache,
        progress: Report | None,
    ) -> None:
        self._dataset, self._split, self._options = dataset, split, options
        self._cache, self._progress = cache, progress
        self._tracks: list[Track] = []
        self._unread: dict[str, str] = {}  # track → why it cannot be read
        self._done = self._total = 0.0

    def all_of(self, entrants: Sequence[Entrant]) -> Comparison:
        """Return the results of all entrants."""
        for track in self._split.scored:
            try:
                content_digest(self._cache, track)
                if self._options.seconds is not None:
                    track = as_files(self._cache, track, self._options.seconds)  # noqa: PLW2901
                _ = track.duration_s
                self._tracks.append(track)
            except PartitaError as error:
                self._unread[track.name] = str(error)
        # Separating and scoring count as much as each other, a training as a pass over the tracks.
        self._seconds = sum(track.duration_s for track in self._tracks)
        parts = sum(3 if entrant.training else 2 for entrant in entrants)
        self._total = max(self._seconds, 1e-9) * parts
        results = [self._one(entrant) for entrant in entrants]
        return Comparison(
            data=self._dataset.root,
            tracks=self._tracks,
            results=results,
            options=self._options.score,
            subset=self._split.subset,
            seconds=self._options.seconds,
            seed=self._options.seed,
            trained_on=self._trained_on(entrants),
            is_drawn=self._split.is_drawn,
        )

    def _trained_on(self, entrants: Sequence[Entrant]) -> tuple[str, ...]:
        plans = [each.training for each in entrants if each.training is not None]
        found = [
            track.name
            for plan in plans
            for track in training_tracks(self._dataset, plan, self._split.scored)
        ]
        return tuple(dict.fromkeys(found))

    def _one(self, entrant: Entrant) -> EntrantResult:
        """Return the result of one entrant, whatever happens to it."""
        begun = self._done
        result = EntrantResult(entrant, failures=dict(self._unread))
        try:
            if entrant.training is not None:
                result, model = self._trained(result, entrant.training)
            else:
                model = entrant.model
            result = self._separated(result, model)
        except PartitaError as error:
            result = replace(result, failures={**result.failures, "": str(error)})
        self._done = begun + self._seconds * (3 if entrant.training else 2)
        return result

    @contextlib.contextmanager
    def _part(self, what: str) -> Iterator[Callable[[float], None]]:
        """Give a function that takes what fraction of a part of the work is done."""
        begun = self._done

        def advance(fraction: float) -> None:
            self._done = begun + self._seconds * min(fraction, 1.0)
            if self._progress is not None:
                self._progress(what, self._done, self._total)

        advance(0.0)
        yield advance
        advance(1.0)

    def _trained(self, result: EntrantResult, plan: TrainingPlan) -> tuple[EntrantResult, str]:
        """Train an entrant unless it is; return its folder."""
        tracks = training_tracks(self._dataset, plan, self._split.scored)
        is_there = any(track.subset == plan.subset for track in self._dataset)
        plan = replace(plan, subset=plan.subset if is_there else None)
        key = self._training_key(plan, tracks)
        folder = RunFolder(self._cache.place("runs", key))
        known = self._cache.find("trainings", key)
        if known is None or not _has(folder.model, known.facts["sha256"]):
            job = TrainingJob(
                data=self._dataset.root,
                layout=self._dataset.layout,
                plan=plan,
                tracks=replace(self._dataset, tracks=tuple(tracks)),
                exclude=self._split.names,
                folder=folder.path,
                device=self._options.device,
            )
            with self._part(f"training {result.entrant.name}") as advance:
                for message in messages_of(job):
                    _log_of(message, result.entrant.name)
                    if "progress" in message:
                        done, total = message["progress"]
                        advance(done / max(total, 1))
                    if message.get("ended"):
                        raise TrainingError(message["ended"])
            self._cache.remember("trainings", key, {"sha256": file_sha256(folder.model)})
        losses = read_losses(folder.losses) if folder.losses.exists() else []
        seconds = losses[-1]["seconds"] if losses else None
        costs = replace(result.costs, training_s=seconds)
        return replace(result, losses=losses, run=folder.path, costs=costs), str(folder.path)

    def _training_key(self, plan: TrainingPlan, tracks: Sequence[Track]) -> str:
        recipe: object = plan.recipe
        if plan.recipe != DICTIONARIES:
            recipe = dataclasses.asdict(load_recipe(plan.recipe).changed(plan.settings))
        seen = [
            track
            for track in self._dataset
            if track in tracks or (track.subset == "valid" and track.name not in self._split.names)
        ]
        contents = [(each.name, each.subset, content_digest(self._cache, each)) for each in seen]
        return digest_of("training", __version__, recipe, plan.settings, plan.subset, contents)

    def _separated(self, result: EntrantResult, model: str) -> EntrantResult:
        """Separate and score all tracks."""
        entrant, options = result.entrant, self._options
        system = CachedSystem(entrant.name, model, entrant.settings, options.device, self._cache)
        failures = dict(result.failures)
        jobs: dict[str, TrackJob] = {}
        for track in self._tracks:
            try:
                match = system.match(track, options.score.targets)
                jobs[track.name] = TrackJob(track, match, system.key(track, match))
            except PartitaError as error:
                failures[track.name] = str(error)
        scores: dict[str, TrackScores] = {}
        facts: dict[str, Any] = {}
        for _ in range(2):  # a second time where estimates turn out to be damaged
            waiting = [job for job in jobs.values() if job.track.name not in {*scores, *failures}]
            if not waiting:
                break
            with self._part(f"separating with {entrant.name}") as advance:
                failures |= self._separate(system, entrant, waiting, facts, advance)
            with self._part(f"scoring {entrant.name}") as advance:
                ready = [each.track for each in waiting if each.track.name not in failures]
                for done, outcome in enumerate(self._score(system, ready), start=1):
                    advance(done / len(ready))
                    if outcome.scores is not None:
                        scores[outcome.track] = outcome.scores.as_saved()
                    elif system.entry(jobs[outcome.track].track) is not None:
                        failures[outcome.track] = outcome.error
        entries = {
            track.name: entry
            for track in self._tracks
            if track.name in jobs and (entry := system.entry(track)) is not None
        }
        depths = {name: entry.facts["null_depth_db"] for name, entry in entries.items()}
        return replace(
            result,
            scores={
                track.name: scores[track.name] for track in self._tracks if track.name in scores
            },
            stems={name: stem_paths(entry) for name, entry in entries.items()},
            failures=failures,
            null_depth_db={name: db for name, db in depths.items() if db is not None},
            costs=self._costs(result.costs, system, facts, list(entries.values())),
        )

    def _separate(
        self,
        system: CachedSystem,
        entrant: Entrant,
        jobs: Sequence[TrackJob],
        facts: dict[str, Any],
        advance: Callable[[float], None],
    ) -> dict[str, str]:
        """Separate what is not in the cache; return the tracks that failed, and why."""
        failures: dict[str, str] = {}
        waiting = {job.track.name: job for job in jobs if system.entry(job.track) is None}
        total_s = sum(job.track.duration_s for job in waiting.values())
        done_s, running = 0.0, ""
        while waiting:
            job = SeparationJob(
                self._cache.root, system.model, entrant.settings, self._options.device,
                tuple(waiting.values()),
            )  # fmt: skip
            running = ""
            for message in messages_of(job):
                _log_of(message, entrant.name)
                facts.update(message.get("model", {}))
                running = message.get("begins", running)
                if "progress" in message:
                    advance((done_s + message["progress"][0]) / total_s)
                if "track" in message:
                    done_s += waiting.pop(running).track.duration_s
                    if message["error"]:
                        failures[running] = message["error"]
                    running = ""
                if message.get("ended") and waiting:
                    if not running:
                        raise PartitaError(message["ended"])
                    # That track's fault: another process goes on behind it.
                    done_s += waiting.pop(running).track.duration_s
                    failures[running] = message["ended"]
        return {name: _line_of(name, text) for name, text in failures.items()}

    def _score(self, system: CachedSystem, tracks: Sequence[Track]) -> Iterator[ScoredTrack]:
        options = self._options
        how = RunOptions(
            options.score,
            out=self._cache.root / "scores",
            resume=True,
            jobs=options.jobs or min(os.cpu_count() or 1, _MOST_JOBS),
            by_content=True,
        )
        with contextlib.closing(score_tracks(system, tracks, how)) as outcomes:
            for outcome in outcomes:
                if not outcome.resumed:
                    for warning in outcome.warnings:
                        _log.warning("warning: %s: %s", system.name, warning)
                yield outcome

    def _costs(
        self, costs: Costs, system: CachedSystem, facts: dict[str, Any], entries: Sequence[Entry]
    ) -> Costs:
        if facts:
            self._cache.remember("models", system.identity, facts)
        elif (known := self._cache.find("models", system.identity)) is not None:
            facts = known.facts
        speeds = [entry.facts["seconds"] / entry.facts["elapsed_s"] for entry in entries]
        peaks = [entry.facts["memory_mb"] for entry in entries]
        licence = system.plan and system.plan.licence
        return replace(
            costs,
            parameters=facts.get("parameters"),
            licence=licence.text if licence else None,
            commercial=licence.commercial_use if licence else None,
            times_realtime=statistics.median(speeds) if speeds else None,
            memory_mb=max((peak for peak in peaks if peak is not None), default=None),
        )


def _log_of(message: Mapping[str, Any], name: str) -> None:
    """Log what a process logged."""
    if "log" in message:
        level, text = message["log"]
        _log.log(level, "%s: %s", one_line(name), text)


def _line_of(track: str, text: str) -> str:
    name = one_line(track)
    return text if text.startswith(name) else f"{name}: {text}"


def _has(path: Path, digest: str) -> bool:
    return path.exists() and file_sha256(path) == digest
