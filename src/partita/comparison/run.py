"""A comparison: train, separate and score with every entrant."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from partita import __version__
from partita.comparison.entrants import check_entrants
from partita.comparison.jobs import TrainingJob
from partita.comparison.options import CompareOptions
from partita.comparison.processes import messages_of
from partita.comparison.results import Comparison, Entrant, EntrantResult, TrainingPlan
from partita.comparison.separating import log_message, separate_and_score
from partita.comparison.tracks import (
    Split,
    as_files,
    content_digest,
    split_tracks,
    training_tracks,
    with_length,
)
from partita.comparison.work import Report, Work
from partita.datasets import Dataset, Track
from partita.devices import choose_device
from partita.errors import PartitaError, TrainingError
from partita.separation.result_cache import Cache
from partita.training.recipes import DICTIONARIES, load_recipe
from partita.training.run_folder import RunFolder, read_losses
from partita.weights.download import file_sha256
from partita.weights.identity import digest_of

__all__ = ["CompareOptions", "compare"]

_log = logging.getLogger(__name__)


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
        self._cache, self._report = cache, progress
        self._tracks: list[Track] = []
        self._unread: dict[str, str] = {}  # track → why it cannot be read
        self._work = Work(0.0, None)

    def all_of(self, entrants: Sequence[Entrant]) -> Comparison:
        """Return the results of all entrants."""
        for track in self._split.scored:
            try:
                if self._options.seconds is None:
                    self._tracks.append(with_length(self._cache, track))
                else:
                    self._tracks.append(as_files(self._cache, track, self._options.seconds))
            except PartitaError as error:
                self._unread[track.name] = str(error)
        # Separating and scoring count as much as each other, a training as a pass over the tracks.
        self._seconds = sum(track.duration_s for track in self._tracks)
        parts = sum(3 if entrant.training else 2 for entrant in entrants)
        self._work = Work(self._seconds * parts, self._report)
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
        result, options = EntrantResult(entrant, failures=dict(self._unread)), self._options
        end = self._work.accounted + self._seconds * (3 if entrant.training else 2)
        try:
            if entrant.training is not None:
                result, model = self._trained(result, entrant.training)
            else:
                model = entrant.model
            result = separate_and_score(
                result, model, self._tracks, options, self._cache, self._work
            )
        except PartitaError as error:
            result = replace(result, failures={**result.failures, "": str(error)})
        self._work.drop(end - self._work.accounted)
        return result

    def _trained(self, result: EntrantResult, plan: TrainingPlan) -> tuple[EntrantResult, str]:
        """Train an entrant unless it is; return its folder."""
        tracks = training_tracks(self._dataset, plan, self._split.scored)
        is_there = any(track.subset == plan.subset for track in self._dataset)
        plan = replace(plan, subset=plan.subset if is_there else None)
        key = self._training_key(plan, tracks)
        folder = RunFolder(self._cache.place("runs", key))
        known = self._cache.find("trainings", key)
        if known is not None and not _has(folder.model, known.facts["sha256"]):
            _log.warning("%s is damaged: trained again", folder.model)
            shutil.rmtree(folder.path, ignore_errors=True)
            known = None
        if known is None:
            job = TrainingJob(
                data=self._dataset.root,
                layout=self._dataset.layout,
                plan=plan,
                tracks=replace(self._dataset, tracks=tuple(tracks)),
                exclude=self._split.names,
                folder=folder.path,
                device=self._options.device,
            )
            name = result.entrant.name
            with (
                self._work.part(f"{name}: training", self._seconds) as advance,
                contextlib.closing(messages_of(job)) as messages,
            ):
                for message in messages:
                    log_message(message, name)
                    if "progress" in message:
                        done, total = message["progress"]
                        advance(done / max(total, 1))
                    if message.get("ended"):
                        raise TrainingError(message["ended"])
            self._cache.remember("trainings", key, {"sha256": file_sha256(folder.model)})
        else:
            self._work.drop(self._seconds)
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


def _has(path: Path, digest: str) -> bool:
    return path.exists() and file_sha256(path) == digest
