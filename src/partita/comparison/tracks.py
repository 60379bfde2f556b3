"""Which tracks are scored, which train, and what of them: contents, excerpts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from partita.audio.formats import stem_format
from partita.audio.signal import Audio, save_together
from partita.comparison.results import TrainingPlan
from partita.datasets import Dataset, Track
from partita.datasets.tracks import MIXTURE, StemFile
from partita.errors import AudioReadError, UnknownNameError, UsageError, one_line
from partita.evaluation.loading import files_mark
from partita.evaluation.signals import as_reference
from partita.separation.result_cache import Cache
from partita.stem_names import file_names
from partita.weights.download import file_sha256
from partita.weights.identity import digest_of

FLOAT = stem_format("wav", "float")
_TEST, _TRAIN = "test", "train"
_CONTENTS = "tracks"  # kind of the cache's entries with facts about tracks
#: Of a data set without subsets, that fraction is scored where the others train.
_HELD_OUT = 1 / 3


@dataclass(frozen=True)
class Split:
    """The tracks of a comparison.

    Attributes
    ----------
    scored : tuple of Track
    subset : str or None
        That they are; None: the data set has none, or all of them are scored.
    is_drawn : bool
        Whether they were drawn at random from a data set without subsets.
    """

    scored: tuple[Track, ...]
    subset: str | None = None
    is_drawn: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scored tracks, which nothing is trained on."""
        return tuple(track.name for track in self.scored)


def split_tracks(
    dataset: Dataset,
    plans: Sequence[TrainingPlan],
    *,
    subset: str | None = None,
    tracks: Sequence[str] = (),
    seed: int = 0,
) -> Split:
    """Choose the tracks that are scored.

    They are those of the subset, ``test`` by default where the data set has it, else all. Where
    entrants are trained and the data set has no subsets, a third is drawn, at least one track: the
    others train.

    Parameters
    ----------
    dataset : Dataset
        With all its subsets.
    plans : sequence of TrainingPlan
        Of entrants that are trained.
    subset : str, optional
    tracks : sequence of str
        Only the tracks of these names.
    seed : int
        Of the draw.

    Raises
    ------
    UsageError
        Nothing is left to be scored, or to train on.
    """
    if not dataset.is_aligned:
        raise UsageError(
            f"{one_line(dataset.root)}: each folder is a source with unrelated files, there are no "
            "songs to compare on: name a data set of songs"
        )
    there = {track.subset for track in dataset} - {""}
    if subset is not None and subset not in there:
        listed = ", ".join(sorted(there)) or "none"
        raise UsageError(
            f"{one_line(dataset.root)}: has no tracks of subset {subset!r}; subsets: {listed}"
        )
    for name in tracks:
        if name not in {track.name for track in dataset}:
            raise UnknownNameError("track", name, [track.name for track in dataset])
    chosen = subset or (_TEST if _TEST in there and not tracks else None)
    scored = [
        track
        for track in dataset
        if (chosen is None or track.subset == chosen) and (not tracks or track.name in tracks)
    ]
    is_drawn = bool(plans) and chosen is None and not tracks
    if is_drawn:
        scored = _drawn(dataset, seed)
    if not scored:
        raise UsageError(f"{one_line(dataset.root)}: has no track to compare on")
    for plan in plans:
        _require_training_tracks(dataset, plan, scored)
    return Split(tuple(scored), chosen, is_drawn)


def _drawn(dataset: Dataset, seed: int) -> list[Track]:
    if len(dataset) < 2:
        raise UsageError(
            f"{one_line(dataset.root)}: has one track, which cannot both train and be scored: "
            "name a data set with more, or weights instead of recipes"
        )
    order = np.random.default_rng(seed).permutation(len(dataset))
    held = sorted(order[: max(1, round(len(dataset) * _HELD_OUT))])
    return [dataset.tracks[index] for index in held]


def training_tracks(dataset: Dataset, plan: TrainingPlan, scored: Sequence[Track]) -> list[Track]:
    """Return the tracks that an entrant learns from; none of them is scored."""
    names = {track.name for track in scored}
    subset = plan.subset if any(track.subset == plan.subset for track in dataset) else None
    return [
        track
        for track in dataset
        if track.name not in names and (subset is None or track.subset == subset)
    ]


def _require_training_tracks(dataset: Dataset, plan: TrainingPlan, scored: Sequence[Track]) -> None:
    there = {track.subset for track in dataset} - {""}
    if plan.subset not in (None, _TRAIN) and plan.subset not in there:
        listed = ", ".join(sorted(there)) or "none"
        raise UsageError(
            f"recipe {plan.recipe!r} cannot learn from subset {plan.subset!r}; subsets: {listed}"
        )
    if not training_tracks(dataset, plan, scored):
        raise UsageError(
            f"recipe {plan.recipe!r} has no track to learn from: all of them are scored, and "
            "scored tracks never train; name another `subset`"
        )


def content_digest(cache: Cache, track: Track) -> str:
    """Return a digest of the content of a track's files; unchanged files are read once.

    Raises
    ------
    AudioReadError
        A file cannot be read.
    AudioWriteError
        The cache cannot be written.
    """
    return str(_content(cache, track)["digest"])


def with_length(cache: Cache, track: Track) -> Track:
    """Return a track that knows how long it is; files that do not say it are decoded once.

    Raises
    ------
    AudioReadError, AudioWriteError
        As `content_digest`.
    """
    known = replace(track)
    vars(known)["duration_s"] = float(_content(cache, track)["duration_s"])
    return known


def _content(cache: Cache, track: Track) -> dict[str, Any]:
    mark = _mark(track)
    known = cache.find(_CONTENTS, mark)
    if known is not None:
        return known.facts
    parts = {name: file.parts for name, file in track.files.items()}
    paths = {part.path for each in parts.values() for part in each}
    with _reading(track):
        digests = {path: file_sha256(path) for path in paths}  # of one file for several stems once
    content = {
        name: [[p.stream, p.start_s, p.duration_s, digests[p.path]] for p in each]
        for name, each in parts.items()
    }
    facts = {"digest": digest_of(content), "duration_s": track.duration_s}
    cache.remember(_CONTENTS, mark, facts)
    return facts


def _mark(track: Track) -> str:
    with _reading(track):
        return files_mark(track.files)


@contextlib.contextmanager
def _reading(track: Track) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = one_line(error.filename or track.name)
        raise AudioReadError(f"{where}: cannot be read: {error.strerror or error}") from error


def as_files(cache: Cache, track: Track, seconds: float | None = None) -> Track:
    """Return a track whose stems and mixture are float files of one length.

    References that a lossy codec made are rounded to 16 bits, as `load_references` does.

    Parameters
    ----------
    cache : Cache
        Keeps the files.
    track : Track
    seconds : float, optional
        From the middle of the track; by default all of it.

    Raises
    ------
    AudioReadError, AudioWriteError
    """
    start_s, duration_s, length_s = 0.0, None, with_length(cache, track).duration_s
    if seconds is not None and seconds < length_s:
        start_s, duration_s = (length_s - seconds) / 2, seconds
    key = digest_of("files", 1, content_digest(cache, track), start_s, duration_s)
    stems = file_names(track.stems)
    mixture = next(name for name in (MIXTURE, "_mixture") if name not in stems.values())
    entry = cache.find("files", key)
    if entry is None:
        loaded = track.load_stems(start_s=start_s, duration_s=duration_s)
        audio = {stems[name]: each for name, each in loaded.items()}
        for name, each in audio.items():
            audio[name] = Audio(as_reference(each, name), each.sample_rate)
        audio[mixture] = track.load(MIXTURE, start_s=start_s, duration_s=duration_s)
        with cache.making("files", key) as made:
            longest = max(each.samples.shape[1] for each in audio.values())
            fitted = {
                made.folder / f"{name}.wav": _lengthened(each, longest)
                for name, each in audio.items()
            }
            save_together(fitted, FLOAT)
        entry = made
    files = {name: StemFile(entry.folder / f"{file}.wav") for name, file in stems.items()}
    found = replace(
        track, path=entry.folder, stems=files, mixture=StemFile(entry.folder / f"{mixture}.wav")
    )
    if cache.find(_CONTENTS, _mark(found)) is None:
        # Not the files' own digest: they hold the time at which they were written.
        facts = {"digest": key, "duration_s": found.duration_s}
        cache.remember(_CONTENTS, _mark(found), facts)
    return with_length(cache, found)


def _lengthened(audio: Audio, samples: int) -> Audio:
    missing = samples - audio.samples.shape[1]
    padded = torch.nn.functional.pad(audio.samples, (0, missing))
    return Audio(padded, audio.sample_rate)
