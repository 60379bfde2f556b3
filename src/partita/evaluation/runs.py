"""Scores of data sets: estimates in files, models, and published scores."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from partita.datasets import Dataset
from partita.errors import ScoresError, UsageError, WeightsError, one_line
from partita.evaluation.oracles import ORACLES
from partita.evaluation.scores import find_score_files, read_scores
from partita.evaluation.systems import (
    EstimateFiles,
    OracleSystem,
    SeparatorSystem,
    System,
    missing_track,
)
from partita.evaluation.tasks import RunOptions, ScoredTrack, score_tracks
from partita.separation.separator import Separator
from partita.stem_names import normal_name
from partita.weights.resolve import resolve

_log = logging.getLogger(__name__)


def score_datasets(
    references: Dataset, estimates: Dataset, options: RunOptions
) -> Generator[ScoredTrack, None, None]:
    """Score estimates that lie in files.

    Parameters
    ----------
    references, estimates : Dataset
        Tracks are joined by name; a folder or file that is one track and another belong together
        whatever they are called.
    options : RunOptions

    Yields
    ------
    ScoredTrack
        For every track of either side.

    Raises
    ------
    UsageError
        The references make no songs.
    """
    _check(references)
    ours, theirs = ({track.name: track for track in dataset} for dataset in (references, estimates))
    if references.is_one_track and estimates.is_one_track:
        theirs = dict(zip(ours, theirs.values(), strict=True))
    system = EstimateFiles(estimates.root, theirs)
    yield from _problems(system.name, references, estimates)
    yield from score_tracks(system, references, options)
    for name in theirs:
        if name not in ours:
            error = missing_track("references", references.root, ours)
            yield ScoredTrack(system.name, name, error=one_line(f"{name}: {error}"))


def _check(dataset: Dataset) -> None:
    """Refuse what is no data set of songs, and log the data set's warnings."""
    if not dataset.is_aligned:
        raise UsageError(
            f"{one_line(dataset.root)}: each folder is a source with unrelated files (layout "
            "unaligned), there are no songs to score: name a data set of songs"
        )
    for warning in dataset.warnings:
        _log.warning("warning: %s", warning)


def _problems(system: str, *datasets: Dataset) -> Iterator[ScoredTrack]:
    for dataset in datasets:
        for problem in dataset.problems:
            yield ScoredTrack(system, problem.where, error=str(problem))


def benchmark(
    dataset: Dataset,
    models: Sequence[str],
    options: RunOptions,
    *,
    separator: Callable[..., Separator] = Separator,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Generator[ScoredTrack, None, None]:
    """Separate every track with every model and score the estimates.

    Of a song that lacks a stem, or has one that the model does not separate, the others are scored.

    Parameters
    ----------
    dataset : Dataset
    models : sequence of str
        Weights, checkpoints, chains, ensembles, or oracles (`partita.evaluation.oracles.ORACLES`).
    options : RunOptions
    separator : callable
        Makes the Separator of a model.
    settings : mapping
        Keyword arguments of `separator` that change estimates: earlier scores that were made with
        others are not taken over.

    Yields
    ------
    ScoredTrack
        Model by model. Weights that cannot be had are one failure, and the other models go on.

    Raises
    ------
    UsageError
        No such model, or a model twice; before anything is separated.
    """
    _check(dataset)
    labels = system_labels(models)
    for model in models:
        if model not in ORACLES:
            _check_name(model)
    yield from _problems("", dataset)
    for model, label in labels.items():
        try:
            system: System = (
                OracleSystem(model)
                if model in ORACLES
                else SeparatorSystem(label, separator(model, **settings), settings)
            )
        except WeightsError as error:
            yield ScoredTrack(label, "all tracks", error=str(error))
            continue
        yield from score_tracks(system, dataset, options)


def _check_name(model: str) -> None:
    """Raise UsageError for a name that is no model, before anything is separated."""
    with contextlib.suppress(WeightsError):  # a failure of that model alone
        _ = resolve(model).sources


def system_labels(models: Sequence[str]) -> dict[str, str]:
    """Return what the rows of each model are called: its label, or its whole name if two share it.

    Raises
    ------
    UsageError
        No such model, or a model twice.
    """
    if len(set(models)) < len(models):
        raise UsageError(f"a model is named twice: {', '.join(map(one_line, models))}")
    labels = {model: model if model in ORACLES else resolve(model).label for model in models}
    counts = Counter(labels.values())
    return {
        model: label if counts[label] == 1 else model.replace("/", "_")
        for model, label in labels.items()
    }


def read_published(folder: Path) -> Iterator[ScoredTrack]:
    """Read the scores of a system from museval's JSON files; its name is the folder's.

    Raises
    ------
    ScoresError
        No such folder, or no score files in it.
    """
    system = folder.resolve().name
    found: dict[str, Path] = {}
    for path in find_score_files(folder):
        try:
            scores = read_scores(path)
        except ScoresError as error:
            yield ScoredTrack(system, path.name, error=str(error))
            continue
        first = found.setdefault(normal_name(scores.track), path)
        if first is not path:
            error_line = f"{one_line(path)}: scores of the track of {one_line(first)}, left out"
            yield ScoredTrack(system, path.name, error=error_line)
            continue
        yield ScoredTrack(system, scores.track, scores)
