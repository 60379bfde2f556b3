"""What the process of an entrant does: train, or separate tracks into the cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from partita.audio.signal import Audio, save_together
from partita.child_process import Reporter
from partita.comparison.results import TrainingPlan
from partita.comparison.systems import STEMS
from partita.comparison.tracks import FLOAT
from partita.datasets import Dataset, Track
from partita.devices import choose_device, peak_memory_mb
from partita.dsp.levels import NullMeter
from partita.errors import PartitaError, UsageError, one_line, unexpected
from partita.evaluation.loading import load_references
from partita.evaluation.oracles import ORACLES
from partita.evaluation.systems import OracleSystem
from partita.evaluation.targets import Match
from partita.separation.stages import StageCache
from partita.stem_names import file_names
from partita.training.nmf_training.dictionaries import DictionaryRecipe, learn_dictionaries
from partita.training.recipes import DICTIONARIES, load_recipe
from partita.weights.checkpoint import save_checkpoint
from partita.weights.own_checkpoints import MODEL_FILE

_log = logging.getLogger(__name__)
_Estimates = tuple[Mapping[str, Tensor], tuple[str, ...]]


@dataclass(frozen=True)
class TrackJob:
    """A track that is to be separated.

    Attributes
    ----------
    track : Track
    match : Match
        What is scored of it, for oracles.
    key : str
        Of the estimates in the cache.
    """

    track: Track
    match: Match
    key: str


@dataclass(frozen=True)
class SeparationJob:
    """Separates tracks with one entrant.

    Messages: ``begins`` with the name of a track, its ``progress``, then ``track`` with ``error``,
    which is empty if the estimates are in the cache.

    Attributes
    ----------
    cache : Path
    model : str
    settings : mapping
        Keyword arguments of `partita.Separator`.
    device : str
    tracks : tuple of TrackJob
    """

    cache: Path
    model: str
    settings: Mapping[str, Any]
    device: str
    tracks: tuple[TrackJob, ...]

    def run(self, report: Reporter) -> None:
        """Separate all tracks; an error in one stops none of the others."""
        stages = StageCache(self.cache)
        estimator: _Estimator
        if self.model in ORACLES:
            estimator = _Oracle(self.model)
        else:
            estimator = _Separator(self, stages, report)
        for job in self.tracks:
            report.send(begins=job.track.name)
            try:
                self._one(job, stages, estimator)
            except InterruptedError:
                raise
            except PartitaError as error:
                report.send(track=job.track.name, error=str(error))
            except Exception as error:
                _log.debug("%s", one_line(job.track.name), exc_info=True)
                report.send(track=job.track.name, error=unexpected(error))
            else:
                report.send(track=job.track.name, error="")
            if report.cancel.is_set():
                raise InterruptedError

    def _one(self, job: TrackJob, stages: StageCache, estimator: _Estimator) -> None:
        mixture = job.track.load("mixture")
        # What came from the cache took its time as well, when it was made.
        begun = time.perf_counter() + stages.replayed_s
        estimates, warnings = estimator(job, mixture)
        elapsed_s = time.perf_counter() - begun + stages.replayed_s
        with stages.cache.making(STEMS, job.key) as made:
            rate = mixture.sample_rate
            names = file_names(list(estimates))
            files = {
                made.folder / f"{names[stem]}.wav": Audio(signal, rate)
                for stem, signal in estimates.items()
            }
            save_together(files, FLOAT)
            made.facts.update(
                stems=list(estimates),
                seconds=mixture.samples.shape[1] / rate,
                elapsed_s=elapsed_s,
                memory_mb=max(peak_memory_mb() or 0.0, stages.replayed_mb) or None,
                null_depth_db=_null_depth_db(job, mixture.samples, estimates),
                parameters=estimator.parameters,
                warnings=list(warnings),
            )


class _Estimator(Protocol):
    """What separates the tracks of a job."""

    parameters: int | None  # learned ones; None: an oracle

    def __call__(self, job: TrackJob, mixture: Audio, /) -> _Estimates:
        """Return estimates and warnings."""


class _Oracle:
    parameters: int | None = None

    def __init__(self, name: str) -> None:
        self._system = OracleSystem(name)

    def __call__(self, job: TrackJob, _mixture: Audio) -> _Estimates:
        references = load_references(job.track, job.match.references)
        found, warnings = self._system.estimate(job.track, job.match, references)
        return found, tuple(warnings)


class _Separator:
    def __init__(self, job: SeparationJob, stages: StageCache, report: Reporter) -> None:
        from partita.separation.separator import Separator

        self._report = report
        self._separator = Separator(
            job.model, device=job.device, stage_cache=stages, **job.settings
        )
        self.parameters: int | None = sum(each.parameters for each in self._separator.models)

    def __call__(self, _job: TrackJob, mixture: Audio) -> _Estimates:
        found = self._separator(mixture, keep_rate=True, progress=self._progress)
        return {name: audio.samples for name, audio in found.items()}, found.warnings

    def _progress(self, done_s: float, total_s: float | None) -> None:
        self._report.progress(done_s, total_s)
        if self._report.cancel.is_set():
            raise InterruptedError


def _null_depth_db(job: TrackJob, mixture: Tensor, estimates: Mapping[str, Tensor]) -> float | None:
    """Return the level of what the estimates do not add up to; None if some are missing."""
    is_complete = set(job.match.references) == set(job.track.stems)
    if not is_complete and set(estimates) == set(job.match.targets):  # an oracle's
        return None
    samples = mixture.shape[1]
    fitted = [
        torch.nn.functional.pad(each, (0, max(0, samples - each.shape[1])))[:, :samples]
        for each in estimates.values()
    ]
    meter = NullMeter()
    meter.add(mixture, torch.stack(fitted))
    return meter.null_depth_db


@dataclass(frozen=True)
class TrainingJob:
    """Trains one entrant; messages are its progress in steps.

    Attributes
    ----------
    data : Path
        Root of the data set.
    layout : str
    plan : TrainingPlan
    tracks : Dataset
        That it learns from.
    exclude : tuple of str
        Names of tracks that it does not see.
    folder : Path
        Of the training; one that was interrupted goes on.
    device : str
    """

    data: Path
    layout: str
    plan: TrainingPlan
    tracks: Dataset
    exclude: tuple[str, ...]
    folder: Path
    device: str

    def run(self, report: Reporter) -> None:
        """Train."""
        if self.plan.recipe == DICTIONARIES:
            recipe = DictionaryRecipe.from_settings(self.plan.settings)
            model = learn_dictionaries(self.tracks, recipe, progress=report.progress)
            self.folder.mkdir(parents=True, exist_ok=True)
            save_checkpoint(self.folder / MODEL_FILE, model)
            return
        try:
            import lightning_fabric  # noqa: F401
        except ImportError as error:
            raise UsageError(
                'training needs Lightning Fabric: pip install "partita[train]"'
            ) from error
        from partita.training.run import Start, train
        from partita.training.run_folder import RunFolder

        start = Start(load_recipe(self.plan.recipe), self.plan.settings)

        def begin_or_resume(*, resume: bool) -> None:
            train(
                start,
                self.data,
                self.folder,
                observer=_Observer(report),
                subset=self.plan.subset,
                exclude=self.exclude,
                layout=self.layout,
                device=choose_device(self.device),
                resume=resume,
                overwrite=not resume,
                cancel=report.cancel,
            )

        has_begun = RunFolder(self.folder).description.exists()
        try:
            begin_or_resume(resume=has_begun)
        except UsageError:
            if not has_begun:
                raise
            # The same songs at another place, such as another table: whoever else has the folder
            # stops this as well.
            begin_or_resume(resume=False)


class _Observer:
    """Reports the steps of a training."""

    def __init__(self, report: Reporter) -> None:
        self._report = report

    def step(self, step: int, steps: int, _loss: float) -> None:
        self._report.progress(step, steps)

    def epoch(self, row: Mapping[str, float]) -> None:
        """Losses are in the folder of the training."""
