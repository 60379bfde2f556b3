"""Song sources: where the songs of a training come from, a data set or a plug-in."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from partita.datasets import Dataset, Track, open_dataset
from partita.datasets.dataset import AUTO
from partita.datasets.tracks import order_stems
from partita.datasets.unaligned import hold_out, random_songs
from partita.errors import UnknownNameError, UsageError, near_names, one_line
from partita.models._protocol import SeparationModel
from partita.plugins import SONG_SOURCES, is_plugin, load_plugin
from partita.progress import Progress
from partita.training.cache.decode_dataset import decode_dataset
from partita.training.cache.decoded_songs import DecodedSongs
from partita.training.excerpts import Excerpt
from partita.training.recipes import Recipe
from partita.weights.cache_folder import cache_folder

_log = logging.getLogger(__name__)
_MOST_NAMED = 12  # stems in a message
_NOT_IN_SOURCES = frozenset("+/\\. ,")  # characters of stems that no model can be named after


def decoded_folder() -> Path:
    """Return the folder of the cache that keeps decoded songs for later trainings."""
    return cache_folder() / "excerpts"


class SongPool(Protocol):
    """Songs that excerpts are drawn from; they may change as the training goes on."""

    def songs_for(self, index: int) -> DecodedSongs:
        """Return the songs that an excerpt is drawn from; called in several threads."""


@dataclass(frozen=True)
class TrainingData:
    """What a model is trained on, and what it is validated on.

    Attributes
    ----------
    train : SongPool
        Such as `DecodedSongs`, the same songs for all excerpts.
    valid : DecodedSongs or None
        None: nothing is held out.
    warnings : tuple of str
        What may be intended.
    digests : mapping of str to str
        Of each track's audio, or of the files that songs are made of: a training that goes on
        checks that its data are the same.
    draw : callable or None
        Returns the excerpt of an index, where other processes draw the excerpts; `train` is then
        for statistics alone.
    """

    train: SongPool
    valid: DecodedSongs | None
    warnings: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    draw: Callable[[int], Excerpt] | None = None


class SongSource(Protocol):
    """Where songs come from."""

    @property
    def description(self) -> Mapping[str, Any]:
        """What the folder of a training records of it; another description, another training."""

    def open(self, progress: Progress | None) -> AbstractContextManager[TrainingData]:
        """Make the songs available as long as the context lasts."""


def open_song_source(
    data: Path,
    subset: str | None,
    recipe: Recipe,
    model: SeparationModel,
    *,
    exclude: Collection[str] = (),
    layout: str = AUTO,
) -> SongSource:
    """Return the source of the songs that a model is trained on.

    Parameters
    ----------
    data : Path
        Root of a data set, or a file for a plug-in (`partita.plugins`), such as a ``.toml`` file
        of partita-synthesis.
    subset : str or None
        Tracks to train on; ``train`` where the data set has that, else all of them.
    recipe : Recipe
    model : SeparationModel
        Whose sources, rate and channels they get.
    exclude : collection of str
        Names of tracks of the data set that are not used at all.
    layout : str
        Of the data set, as for `partita.datasets.open_dataset`.

    Raises
    ------
    UsageError
        Whatever is wrong with data set or file.
    """
    suffix = data.suffix.removeprefix(".")
    if is_plugin(SONG_SOURCES, suffix) and not data.is_dir():
        if subset is not None:
            raise UsageError(f"{one_line(data)}: is no data set, it has no subset {subset!r}")
        if layout != AUTO:
            raise UsageError(f"{one_line(data)}: is no data set, it has no layout {layout!r}")
        source: SongSource = load_plugin(SONG_SOURCES, suffix, data)(data, recipe, model)
        return source
    return DatasetSongs(data, subset, recipe, model, layout, exclude)


class DatasetSongs:
    """Songs of a data set."""

    def __init__(
        self,
        data: Path,
        subset: str | None,
        recipe: Recipe,
        model: SeparationModel,
        layout: str = AUTO,
        exclude: Collection[str] = (),
    ) -> None:
        self._data, self._model = data, model
        self._train, self._valid = _split(data, subset, recipe, layout, exclude)
        tracks = [*self._train, *(self._valid or ())]
        targets = {name for track in tracks for name in track.targets}
        stems = {name for track in tracks for name in track.stems}
        require_sources(data, model.learned, targets, order_stems(stems))

    @property
    def description(self) -> Mapping[str, Any]:
        """Where the data set is, and its tracks."""
        return {
            "data": str(self._data.resolve()),
            "train_tracks": [track.name for track in self._train],
            "valid_tracks": [track.name for track in self._valid or ()],
        }

    @contextmanager
    def open(self, progress: Progress | None) -> Iterator[TrainingData]:
        """Decode all files once; see `decode_dataset`."""
        songs = decode_dataset(
            _only(self._train, [*self._train, *(self._valid or ())]),
            self._model.learned,
            sample_rate=self._model.sample_rate,
            channels=self._model.channels,
            folder=decoded_folder(),
            progress=progress,
        )
        yield _divide(songs, len(self._train))


def require_sources(
    data: Path, sources: Sequence[str], targets: Collection[str], stems: Sequence[str]
) -> None:
    """Raise UsageError where a source is missing in the data; it names the stems that are there."""
    missing = [source for source in sources if source not in targets]
    for source in missing:
        if near_names(source, targets):
            raise UnknownNameError("stem", source, targets)
    if missing:
        names = " and no ".join(map(repr, missing))
        usable = [stem for stem in stems if not set(stem) & _NOT_IN_SOURCES]
        choice = ",".join(usable[:_MOST_NAMED]) + ",…" * (len(usable) > _MOST_NAMED)
        raise UsageError(
            f"{one_line(data)}: has no stem {names}: `sources={choice}` trains on those it has"
        )


def _split(
    data: Path, subset: str | None, recipe: Recipe, layout: str, exclude: Collection[str]
) -> tuple[Dataset, Dataset | None]:
    """Return the tracks to train on, and those that are held out for validation."""
    everything = open_dataset(data, layout=layout)
    if not everything.tracks:
        first, *others = everything.problems
        more = f" (and {len(others)} more)" if others else ""
        raise UsageError(f"{one_line(data)}: has no track to train on: {first}{more}")
    everything = _without(everything, exclude)
    subsets = {track.subset for track in everything}
    if subset is None and "train" in subsets:
        subset = "train"
    chosen = everything
    if subset:
        chosen = _without(open_dataset(data, subset=subset, layout=layout), exclude)
    if not everything.is_aligned:
        return _split_sources(chosen, everything, subset, recipe)
    if subset != "valid" and "valid" in subsets:
        return chosen, _without(open_dataset(data, subset="valid", layout=layout), exclude)
    held = recipe.training.valid_tracks
    if not held:
        return chosen, None
    if len(chosen) <= held:
        _log.warning("warning: nothing is held out, there are too few tracks (%d)", len(chosen))
        return chosen, None
    order = np.random.default_rng(recipe.training.seed).permutation(len(chosen))
    valid = [chosen.tracks[index] for index in sorted(order[:held])]
    return _only(chosen, [track for track in chosen if track not in valid]), _only(chosen, valid)


def _split_sources(
    chosen: Dataset, everything: Dataset, subset: str | None, recipe: Recipe
) -> tuple[Dataset, Dataset | None]:
    """Return the same for unaligned recordings; random mixes of some are for validation."""
    if recipe.augmentation.remix < 1:
        raise UsageError(
            f"{one_line(chosen.root)}: each folder is a source with unrelated files, and the "
            f"recipe takes {1 - recipe.augmentation.remix:.0%} of its excerpts from whole songs: "
            '`settings="remix=1"`, or `layout="tracks"` or `layout="stems"` if they are songs'
        )
    _log.info(
        "%s: each folder is a source with unrelated files, which are mixed at random; "
        '`layout="tracks"` or `layout="stems"` if they are songs',
        one_line(chosen.root),
    )
    seed = recipe.training.seed
    train: Sequence[Track] = chosen.tracks
    valid: Sequence[Track] = [track for track in everything if track.subset == "valid"]
    if subset == "valid" or not valid:
        train, valid = hold_out(chosen.tracks, recipe.training.valid_tracks, seed)
    if not valid:
        if recipe.training.valid_tracks:
            _log.warning("warning: nothing is held out, each source has one file only")
        return chosen, None
    return _only(chosen, train), _only(chosen, random_songs(valid, seed))


def _divide(songs: DecodedSongs, count: int) -> TrainingData:
    """Train on the first tracks, validate on the others."""
    train, valid = (
        dataclasses.replace(songs, tracks=tracks)
        for tracks in (songs.tracks[:count], songs.tracks[count:])
    )
    for source, pieces in zip(songs.sources, train.audible, strict=False):
        if not len(pieces):
            raise UsageError(f"the stem {source!r} is silent in every track to train on")
    if valid.tracks and not len(valid.any_audible):
        names = ", ".join(one_line(track.name) for track in valid.tracks)
        raise UsageError(f"all sources are silent in the tracks held out for validation: {names}")
    digests = {track.name: track.digest for track in songs.tracks}
    return TrainingData(train, valid if valid.tracks else None, songs.warnings, digests)


def _without(dataset: Dataset, names: Collection[str]) -> Dataset:
    return _only(dataset, [track for track in dataset if track.name not in names])


def _only(dataset: Dataset, tracks: Sequence[Track]) -> Dataset:
    return dataclasses.replace(dataset, tracks=tuple(tracks))
