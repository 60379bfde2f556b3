"""Many tracks: what is scored against what, and a result for each whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from partita.audio.signal import Audio
from partita.datasets import Dataset, Track
from partita.devices import worker_pool
from partita.errors import (
    AudioWriteError,
    PartitaError,
    ScoresError,
    UsageError,
    one_line,
    write_error,
)
from partita.evaluation.evaluate import ScoreOptions, TargetMembers, match_targets, score_signals
from partita.evaluation.oracles import ORACLES, get_oracle
from partita.evaluation.scores import TrackScores, find_score_files, read_scores
from partita.separation import Separator
from partita.threads import map_awake
from partita.weights.chain import file_label

_log = logging.getLogger(__name__)
#: Codecs pad what they encode by a frame or two: that much may be missing or too much.
_MOST_PADDING = 4096
_LOSSLESS = (".wav", ".wave", ".flac", ".aif", ".aiff", ".aifc", ".caf", ".au", ".w64", ".rf64")
_SHOWN_NAMES = 5


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
    """

    system: str
    track: str
    scores: TrackScores | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()
    resumed: bool = False


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
    """

    score: ScoreOptions
    out: Path | None = None
    resume: bool = False
    jobs: int = 1


#: References and estimates ``[channels, samples]`` by target, their rate, and warnings.
_Signals = tuple[dict[str, Tensor], dict[str, Tensor], int, list[str]]


@dataclass(frozen=True)
class _Task:
    system: str
    track: Track
    targets: TargetMembers
    load: Callable[[], _Signals]


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
    """
    system = estimates.root.resolve().name
    theirs = {track.name: track for track in estimates}
    if references.is_one_track and estimates.is_one_track:
        theirs = {references.tracks[0].name: estimates.tracks[0]}
    names = [track.name for track in references]
    tasks: list[_Task | ScoredTrack] = _problems(system, references, estimates)
    for track in references:
        if track.name in theirs:
            tasks.append(_pair(system, track, theirs.pop(track.name), options.score))
        else:
            tasks.append(_missing(system, track.name, "estimates", estimates.root, theirs))
    tasks += [_missing(system, name, "references", references.root, names) for name in theirs]
    yield from _work(tasks, options)


def _problems(system: str, *datasets: Dataset) -> list[_Task | ScoredTrack]:
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


#: Makes estimates, and warnings, from the targets, the true signals and their rate.
_Guessed = tuple[dict[str, Tensor], list[str]]
_Guess = Callable[[TargetMembers, dict[str, Tensor], int], _Guessed]


def _task(
    system: str, track: Track, names: Sequence[str], options: ScoreOptions, guess: _Guess
) -> _Task | ScoredTrack:
    """Prepare a track whose estimates have these names; an error where they do not fit."""
    try:
        targets = match_targets(list(track.stems), names, options.targets)
    except UsageError as error:
        return ScoredTrack(system, track.name, error=one_line(f"{track.name}: {error}"))

    def load() -> _Signals:
        true, rate = _load_references(track, targets)
        guessed, warnings = guess(targets, true, rate)
        fitted, more = _fit(guessed, _length(true))
        return true, fitted, rate, [*warnings, *more]

    return _Task(system, track, targets, load)


def _pair(
    system: str, reference: Track, estimate: Track, options: ScoreOptions
) -> _Task | ScoredTrack:
    def guess(targets: TargetMembers, _: dict[str, Tensor], rate: int) -> _Guessed:
        members = {name: theirs for name, (_, theirs) in targets.items()}
        guessed, their_rate = _load_sums(estimate, members)
        if rate != their_rate:
            raise ScoresError(f"references are at {rate} Hz, estimates at {their_rate} Hz")
        return guessed, []

    return _task(system, reference, list(estimate.stems), options, guess)


def _load_references(track: Track, targets: TargetMembers) -> tuple[dict[str, Tensor], int]:
    """Read the true targets; what a lossy codec made is rounded to 16 bits, as musdb does.

    Where a codec left nothing above some frequency, the filters of BSS Eval are not determined
    without that little noise, and its figures come out up to 10 dB away from everybody else's.
    """
    loaded, rate = _load_sums(track, {name: ours for name, (ours, _) in targets.items()})
    is_lossless = all(f.path.suffix.lower() in _LOSSLESS for f in track.stems.values())
    if not is_lossless:
        loaded = {name: (signal * 32768).round() / 32768 for name, signal in loaded.items()}
    return loaded, rate


def _load_sums(track: Track, members: Mapping[str, Sequence[str]]) -> tuple[dict[str, Tensor], int]:
    needed = list(dict.fromkeys(name for names in members.values() for name in names))
    stems = track.load_stems(needed)
    return _sums(stems, members), stems[needed[0]].sample_rate


def _sums(signals: Mapping[str, Audio], members: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
    return {
        target: torch.stack([signals[name].samples for name in names]).sum(dim=0)
        for target, names in members.items()
    }


def _length(signals: Mapping[str, Tensor]) -> int:
    return next(iter(signals.values())).shape[-1]


def _fit(signals: dict[str, Tensor], samples: int) -> tuple[dict[str, Tensor], list[str]]:
    """Cut or fill up what codecs padded; larger differences stay, for the check that names them."""
    difference = samples - _length(signals)
    if not 0 < abs(difference) <= _MOST_PADDING:
        return signals, []
    fitted = {name: functional.pad(signal, (0, difference)) for name, signal in signals.items()}
    how = "filled up with silence" if difference > 0 else "cut"
    return fitted, [f"estimates are {abs(difference)} samples off: {how}"]


def benchmark(
    dataset: Dataset,
    models: Sequence[str],
    options: RunOptions,
    *,
    separator: Callable[[str], Separator] = Separator,
) -> Generator[ScoredTrack, None, None]:
    """Separate every track with every model and score the estimates.

    Parameters
    ----------
    dataset : Dataset
    models : sequence of str
        Weights, checkpoints, chains, or oracles (`partita.evaluation.oracles.ORACLES`).
    options : RunOptions
    separator : callable
        Makes the Separator of a model.

    Yields
    ------
    ScoredTrack
        Model by model.

    Raises
    ------
    PartitaError
        A model cannot be had.
    """
    yield from _work(_problems("", dataset), options)
    for model in models:
        if model in ORACLES:
            tasks = [_oracle_task(model, track, options.score) for track in dataset]
        else:
            made, label = separator(model), file_label(model)
            tasks = [_model_task(label, made, track, options.score) for track in dataset]
        yield from _work(tasks, options)


def _oracle_task(name: str, track: Track, options: ScoreOptions) -> _Task | ScoredTrack:
    oracle = get_oracle(name)

    def guess(_: TargetMembers, true: dict[str, Tensor], __: int) -> _Guessed:
        mixture, warnings = _fit({"": track.load("mixture").samples}, _length(true))
        return oracle(mixture[""], true), warnings

    return _task(name, track, list(track.stems), options, guess)


def _model_task(
    name: str, separator: Separator, track: Track, options: ScoreOptions
) -> _Task | ScoredTrack:
    def guess(targets: TargetMembers, _: dict[str, Tensor], __: int) -> _Guessed:
        mixture = track.load("mixture")
        estimates = separator(mixture.samples, mixture.sample_rate, keep_rate=True)
        members = {name: sources for name, (_, sources) in targets.items()}
        return _sums(estimates, members), []

    return _task(name, track, separator.sources, options, guess)


def _work(
    tasks: Sequence[_Task | ScoredTrack], options: RunOptions
) -> Generator[ScoredTrack, None, None]:
    def run(task: _Task | ScoredTrack) -> ScoredTrack:
        return task if isinstance(task, ScoredTrack) else _score(task, options)

    if options.jobs == 1:
        yield from map(run, tasks)
        return
    with worker_pool(options.jobs, torch.get_num_threads()) as pool:
        yield from map_awake(pool, run, tasks)


def _score(task: _Task, options: RunOptions) -> ScoredTrack:
    path = _score_path(task, options.out)
    done = _earlier(path, task, options) if options.resume and path else None
    if done:
        return ScoredTrack(task.system, task.track.name, done, resumed=True)
    name = one_line(task.track.name)
    try:
        true, guessed, rate, warnings = task.load()
        scores = score_signals(true, guessed, rate, options.score, track=task.track.name)
        if path:
            _save(scores, path)
    except AudioWriteError as error:
        return ScoredTrack(task.system, task.track.name, error=str(error))
    except PartitaError as error:
        return ScoredTrack(task.system, task.track.name, error=f"{name}: {error}")
    except Exception as error:
        _log.debug("%s", name, exc_info=True)
        reason = one_line(f"{type(error).__name__}: {error}")
        text = f"{name}: failed unexpectedly ({reason}); --verbose tells more"
        return ScoredTrack(task.system, task.track.name, error=text)
    found = tuple(f"{name}: {warning}" for warning in warnings)
    return ScoredTrack(task.system, task.track.name, scores, warnings=found)


def _score_path(task: _Task, out: Path | None) -> Path | None:
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


def _earlier(path: Path, task: _Task, options: RunOptions) -> TrackScores | None:
    """Return the scores of an earlier run that was asked for the same."""
    if not path.exists():
        return None
    try:
        scores = read_scores(path)
    except ScoresError as error:
        _log.warning("%s; scoring the track again", error)
        return None
    wanted = replace(options.score, targets=tuple(task.targets)).as_settings()
    return scores if wanted.items() <= dict(scores.settings).items() else None


def read_published(folder: Path) -> Iterator[ScoredTrack]:
    """Read the scores of a system from museval's JSON files; its name is the folder's.

    Raises
    ------
    ScoresError
        No such folder, or no score files in it.
    """
    system = folder.resolve().name
    for path in find_score_files(folder):
        try:
            scores = read_scores(path)
        except ScoresError as error:
            yield ScoredTrack(system, path.name, error=str(error))
            continue
        yield ScoredTrack(system, scores.track, scores)
