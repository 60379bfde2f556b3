"""Many tracks: what is scored against what."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from partita.datasets import Dataset, Track
from partita.errors import ScoresError, UsageError, WeightsError, one_line
from partita.evaluation.evaluate import ScoreOptions, sum_targets
from partita.evaluation.loading import Loaded, files_mark, load_estimates, load_references
from partita.evaluation.oracles import ORACLES, get_oracle
from partita.evaluation.scores import find_score_files, read_scores
from partita.evaluation.targets import Match, match_available
from partita.evaluation.work import RunOptions, ScoredTrack, Signals, Task, score_all
from partita.separation.separator import Separator
from partita.stem_names import normal_name
from partita.weights.checkpoint import tensors_digest
from partita.weights.identity import model_sources
from partita.weights.plan import file_label, parse_plan, plan_sources

_SHOWN_NAMES = 5
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
    _check_aligned(references)
    _tell_warnings(references)
    system = estimates.root.resolve().name
    theirs = {track.name: track for track in estimates}
    if references.is_one_track and estimates.is_one_track:
        theirs = {references.tracks[0].name: estimates.tracks[0]}
    names = [track.name for track in references]
    tasks: list[Task | ScoredTrack] = _problems(system, references, estimates)
    for track in references:
        if track.name in theirs:
            tasks.append(_pair(system, track, theirs.pop(track.name), options.score))
        else:
            tasks.append(_missing(system, track.name, "estimates", estimates.root, theirs))
    tasks += [_missing(system, name, "references", references.root, names) for name in theirs]
    yield from score_all(tasks, options)


def _check_aligned(dataset: Dataset) -> None:
    if not dataset.is_aligned:
        raise UsageError(
            f"{one_line(dataset.root)}: each folder is a source with unrelated files (layout "
            "unaligned), there are no songs to score: name a data set of songs"
        )


def _tell_warnings(dataset: Dataset) -> None:
    for warning in dataset.warnings:
        _log.warning("warning: %s", warning)


def _problems(system: str, *datasets: Dataset) -> list[Task | ScoredTrack]:
    return [
        ScoredTrack(system, problem.where, error=str(problem))
        for dataset in datasets
        for problem in dataset.problems
    ]


def _missing(system: str, name: str, kind: str, root: Path, there: Iterable[str]) -> ScoredTrack:
    found = sorted(there)
    more = ", …" if len(found) > _SHOWN_NAMES else ""
    listed = ", ".join(found[:_SHOWN_NAMES]) + more or "none"
    reason = f"{name}: no {kind} of that name in {root}; {kind} there: {listed}"
    return ScoredTrack(system, name, error=one_line(reason))


#: From the true stems to estimated ones, with warnings.
_Guess = Callable[[Loaded], tuple[Mapping[str, Tensor], Sequence[str]]]


def _task(
    system: str, track: Track, match: Match, guess: _Guess, made_of: Callable[[], str]
) -> Task:
    """Prepare a track whose estimates `guess` makes."""

    def load() -> tuple[Signals, int]:
        names = dict.fromkeys(name for ours, _ in match.targets.values() for name in ours)
        found = load_references(track, list(names))
        estimated, more = guess(found)
        true, estimates, warnings = sum_targets(match.targets, found.stems, estimated)
        said = [*match.remarks, *found.warnings, *more, *warnings]
        return (true, estimates, said), found.sample_rate

    return Task(system, track, match, load, made_of)


def _pair(
    system: str, reference: Track, estimate: Track, options: ScoreOptions
) -> Task | ScoredTrack:
    try:
        match = match_available(list(reference.stems), list(estimate.stems), options.targets)
    except UsageError as error:
        return ScoredTrack(system, reference.name, error=one_line(f"{reference.name}: {error}"))

    def guess(true: Loaded) -> tuple[Mapping[str, Tensor], Sequence[str]]:
        names = dict.fromkeys(name for _, theirs in match.targets.values() for name in theirs)
        found = load_estimates(estimate, list(names))
        if true.sample_rate != found.sample_rate:
            raise ScoresError(
                f"references are at {true.sample_rate} Hz, estimates at {found.sample_rate} Hz: "
                "separate with --keep-rate, or resample one side"
            )
        return found.stems, found.warnings

    def made_of() -> str:
        return files_mark(reference.stems) + files_mark(estimate.stems)

    return _task(system, reference, match, guess, made_of)


def benchmark(
    dataset: Dataset,
    models: Sequence[str],
    options: RunOptions,
    *,
    separator: Callable[[str], Separator] = Separator,
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

    Yields
    ------
    ScoredTrack
        Model by model. Weights that cannot be had are one failure, and the other models go on.

    Raises
    ------
    UsageError
        No such model, or a model twice; before anything is separated.
    """
    _check_aligned(dataset)
    _tell_warnings(dataset)
    labels = system_labels(models)
    for model in models:
        if model not in ORACLES:
            _check_names(model)
    yield from score_all(_problems("", dataset), options)
    for model in models:
        if model in ORACLES:
            yield from score_all([_oracle_task(model, t, options.score) for t in dataset], options)
            continue
        try:
            made = separator(model)
        except WeightsError as error:
            yield ScoredTrack(labels[model], "all tracks", error=str(error))
            continue
        mark = _separator_mark(made, options)
        tasks = [_model_task(labels[model], made, track, options, mark) for track in dataset]
        yield from score_all(tasks, options)


def _check_names(model: str) -> None:
    """Raise UsageError where a name stands for no model: nothing else is scored in vain."""
    with contextlib.suppress(WeightsError):  # a failure of that model alone
        plan_sources(parse_plan(model), model_sources)


def system_labels(models: Sequence[str]) -> dict[str, str]:
    """Return what the rows of each model are called: its label, or its whole name if two share it.

    Raises
    ------
    UsageError
        No such model, or a model twice.
    """
    if len(set(models)) < len(models):
        raise UsageError(f"a model is named twice: {', '.join(map(one_line, models))}")
    for model in models:
        if model not in ORACLES:
            parse_plan(model)
    labels = {model: model if model in ORACLES else file_label(model) for model in models}
    counts = Counter(labels.values())
    return {
        model: label if counts[label] == 1 else model.replace("/", "_")
        for model, label in labels.items()
    }


def _separator_mark(separator: Separator, options: RunOptions) -> str:
    """Return a digest of what makes a separator's estimates."""
    models = [stage.runner.model for stage in separator.stages]
    facts = [
        [type(model).__name__, repr(model.config), tensors_digest(model.state_dict())]
        for model in models
    ]
    settings = dict(options.separation)
    content = json.dumps([facts, repr(separator.plan), settings], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _matched(
    system: str, track: Track, names: Sequence[str], options: ScoreOptions
) -> Match | ScoredTrack:
    try:
        return match_available(list(track.stems), names, options.targets, all_references=False)
    except UsageError as error:
        return ScoredTrack(system, track.name, error=one_line(f"{track.name}: {error}"))


def _oracle_task(name: str, track: Track, options: ScoreOptions) -> Task | ScoredTrack:
    oracle = get_oracle(name)
    match = _matched(name, track, list(track.stems), options)
    if isinstance(match, ScoredTrack):
        return match
    members = {target: ours for target, (ours, _) in match.targets.items()}
    own = replace(match, targets={name: (ours, (name,)) for name, ours in members.items()})

    def guess(true: Loaded) -> tuple[Mapping[str, Tensor], Sequence[str]]:
        mixture = track.load("mixture").samples
        stems = {stem: _as_long_as(mixture, signal) for stem, signal in true.stems.items()}
        targets = {
            target: torch.stack([stems[stem] for stem in ours]).sum(dim=0)
            for target, ours in members.items()
        }
        return oracle(mixture, targets), []

    task = _task(name, track, own, guess, lambda: files_mark(track.files))
    return replace(task, look_for_mistakes=False)


def _as_long_as(other: Tensor, signal: Tensor) -> Tensor:
    fitted: Tensor = functional.pad(signal, (0, other.shape[-1] - signal.shape[-1]))
    return fitted


def _model_task(
    name: str, separator: Separator, track: Track, options: RunOptions, mark: str
) -> Task | ScoredTrack:
    match = _matched(name, track, separator.sources, options.score)
    if isinstance(match, ScoredTrack):
        return match

    def guess(_: Loaded) -> tuple[Mapping[str, Tensor], Sequence[str]]:
        mixture = track.load("mixture")
        estimates = separator(mixture.samples, mixture.sample_rate, keep_rate=True)
        return {name: audio.samples for name, audio in estimates.items()}, estimates.warnings

    return _task(name, track, match, guess, lambda: files_mark(track.files) + mark)


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
