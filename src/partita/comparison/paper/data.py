"""The tracks of the paper's experiment: which are scored, which train, and what of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from partita.comparison.paper.budgets import Budget
from partita.comparison.paper.numbers import SOURCES, TRACK
from partita.comparison.paper.tables import middle, telling_excerpts, write_table
from partita.datasets import Dataset, Track, open_dataset
from partita.datasets.tracks import order_stems
from partita.errors import AudioReadError, UsageError, one_line, write_error
from partita.evaluation.loading import files_mark
from partita.files import write_text
from partita.stem_names import normal_name
from partita.weights.identity import digest_of

_TEST, _TRAIN, _VALID = "test", "train", "valid"
_EVERY = 3  # of a data set without subsets, each third track is scored, as in MUSDB18
_MOST_SOURCES = 6
_STEMS_OF_MUSDB = frozenset(SOURCES)


@dataclass(frozen=True)
class PaperData:
    """The data of the experiment.

    Attributes
    ----------
    root : Path
        Of the data set that was named.
    table : Path
        A csv with the excerpts that are used.
    tracks : tuple of Track
        What the table says, subsets ``train``, ``valid`` and ``test``.
    track : str
        The one that the tables of one track are about.
    sources : tuple of str
        The stems that models are asked for.
    seconds : mapping of str to float
        Subset → length of its tracks together.
    """

    root: Path
    table: Path
    tracks: tuple[Track, ...]
    track: str
    sources: tuple[str, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def scored(self) -> tuple[Track, ...]:
        """The tracks that are scored."""
        return tuple(track for track in self.tracks if track.subset == _TEST)

    @property
    def excerpts(self) -> tuple[str, ...]:
        """Names of the excerpts of the one track."""
        return tuple(
            track.name
            for track in self.scored
            if track.name == self.track or track.name.startswith(f"{self.track} at ")
        )

    @property
    def is_papers_track(self) -> bool:
        """Whether the one track is the paper's."""
        return normal_name(self.track) == TRACK

    @property
    def has_papers_sources(self) -> bool:
        """Whether the sources are the paper's four."""
        return set(self.sources) == _STEMS_OF_MUSDB

    @property
    def can_train(self) -> bool:
        """Whether there is anything to learn from."""
        return any(track.subset == _TRAIN for track in self.tracks)

    @property
    def words(self) -> str:
        """One line about what was scored and learned from."""
        parts = []
        for subset, verb in ((_TEST, "scored"), (_TRAIN, "to learn from"), (_VALID, "to validate")):
            chosen = [track for track in self.tracks if track.subset == subset]
            if chosen:
                minutes = self.seconds.get(subset, 0.0) / 60
                noun = "excerpt" if any(_is_part(track) for track in chosen) else "track"
                several = "" if len(chosen) == 1 else "s"
                parts.append(f"{len(chosen)} {noun}{several} {verb} ({minutes:.1f} min)")
        return f"{self.root.resolve().name}: {', '.join(parts)}"


def prepare_data(data: Path, budget: Budget, folder: Path) -> PaperData:
    """Choose tracks and excerpts, and write them as a table.

    The scored tracks are those of the subset ``test``; of a data set without one, each third track.
    The paper's track comes first where the data set has it. Their excerpts are those of
    `telling_excerpts`.

    Parameters
    ----------
    data : Path
        A data set of any layout.
    budget : Budget
    folder : Path
        Where the table is written.

    Raises
    ------
    UsageError
        No data set of songs.
    AudioReadError, AudioWriteError
    """
    dataset = open_dataset(data)
    if not dataset.is_aligned:
        raise UsageError(
            f"{one_line(data)}: each folder is a source with unrelated files, there are no songs "
            "to compare on: name a data set of songs"
        )
    chosen = _chosen(dataset, budget)
    table, note = folder / "data.csv", folder / "data.json"
    try:
        mark = digest_of(*(files_mark(track.files) for track in chosen))
    except OSError as error:
        raise AudioReadError(
            f"{one_line(error.filename)}: cannot be read: {error.strerror}"
        ) from error
    key = digest_of(1, mark, [[t.name, t.subset] for t in chosen], *_lengths(budget))
    seconds = _read_note(note, key) if table.exists() else None
    if seconds is None:
        parts = [part for track in chosen for part in _excerpts(track, budget)]
        write_table(table, parts)
        seconds = dict.fromkeys((_TEST, _TRAIN, _VALID), 0.0)
        for part in parts:
            seconds[part.subset] += part.duration_s
        _write_note(note, {"key": key, "seconds": seconds})
    tracks = open_dataset(table).tracks
    scored = [track for track in tracks if track.subset == _TEST]
    return PaperData(data, table, tuple(tracks), _one(scored).name, _sources(tracks), seconds)


def _chosen(dataset: Dataset, budget: Budget) -> list[Track]:
    """Return the tracks of each subset, as many as the budget has."""
    tracks = _with_subsets(dataset)
    scored = [track for track in tracks if track.subset == _TEST]
    if not scored:
        raise UsageError(f"{one_line(dataset.root)}: has no track to score")
    first = _one(scored)
    scored = [first, *(track for track in scored if track is not first)]
    trained = [track for track in tracks if track.subset == _TRAIN]
    valid = [track for track in tracks if track.subset == _VALID]
    few = None if budget.train_tracks is None else max(1, budget.train_tracks // 4)
    return [*trained[: budget.train_tracks], *valid[:few], *scored[: budget.tracks]]


def _with_subsets(dataset: Dataset) -> Sequence[Track]:
    if any(track.subset == _TEST for track in dataset):
        return dataset.tracks
    shared = [track for track in dataset if track.subset != _VALID]
    held = shared[_EVERY - 1 :: _EVERY] or shared[-1:]
    return [
        track
        if track.subset == _VALID
        else replace(track, subset=_TEST if track in held else _TRAIN)
        for track in dataset
    ]


def _one(scored: Sequence[Track]) -> Track:
    return next((track for track in scored if normal_name(track.name) == TRACK), scored[0])


def _excerpts(track: Track, budget: Budget) -> list[Track]:
    if track.subset == _TEST:
        return telling_excerpts(track, budget.excerpt_s)
    return [middle(track, budget.train_excerpt_s)]


def _lengths(budget: Budget) -> tuple[float | None, float | None]:
    return budget.excerpt_s, budget.train_excerpt_s


def _sources(tracks: Sequence[Track]) -> tuple[str, ...]:
    """Return the stems that most tracks have, at most six."""
    counts = Counter(name for track in tracks for name in track.stems)
    usual = [name for name, count in counts.most_common() if 2 * count >= len(tracks)]
    return tuple(order_stems(usual[:_MOST_SOURCES]))


def _is_part(track: Track) -> bool:
    return any(file.duration_s is not None for file in track.files.values())


def _read_note(path: Path, key: str) -> dict[str, float] | None:
    """Return the length of each subset; None if the table is of other tracks or budgets."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        seconds = {str(name): float(value) for name, value in note["seconds"].items()}
        return seconds if note["key"] == key else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _write_note(path: Path, note: Mapping[str, object]) -> None:
    try:
        write_text(path, json.dumps(note) + "\n")
    except OSError as error:
        raise write_error(path, error) from error
