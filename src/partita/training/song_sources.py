"""What a training learns from: songs of a data set, or those of a plug-in."""

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
from partita.training.cache.prepared import Prepared, prepare
from partita.training.excerpts import Excerpt
from partita.training.recipes import Recipe
from partita.weights.cache_folder import cache_folder

_log = logging.getLogger(__name__)
_MOST_NAMED = 12  # stems in a message
_NOT_IN_SOURCES = frozenset("+/\\. ,")  # characters of stems that no model can be named after


class Supply(Protocol):
    """Where the excerpts to learn from come from."""

    def songs_for(self, index: int) -> Prepared:
        """Return the songs from which an excerpt is drawn; called in several threads."""


@dataclass(frozen=True)
class Material:
    """What a training learns from, and what it is validated on.

    Attributes
    ----------
    train : Supply
        Such as a `Prepared`, the same songs for all excerpts.
    valid : Prepared or None
        None: nothing is held out.
    warnings : tuple of str
        What may be meant as it is.
    drawn : callable or None
        Excerpts by their index, where something has drawn them already; `train` is then for
        statistics alone.
    digests : mapping of str to str
        Of each track's audio, or of the files that songs are made of: by these a training that
        goes on knows its data.
    """

    train: Supply
    valid: Prepared | None
    warnings: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    drawn: Callable[[int], Excerpt] | None = None


class Songs(Protocol):
    """Songs that are there, or will be."""

    @property
    def description(self) -> Mapping[str, Any]:
        """What a training's folder keeps of them: with others, it is another training."""

    def material(self, progress: Progress | None) -> AbstractContextManager[Material]:
        """Make them ready, and let them go in the end."""


def open_songs(
    data: Path,
    subset: str | None,
    recipe: Recipe,
    model: SeparationModel,
    *,
    layout: str = AUTO,
) -> Songs:
    """Find the songs that a model is to learn from.

    Parameters
    ----------
    data : Path
        Root of a data set, or a file for a plug-in (`partita.plugins`), such as a ``.toml`` file
        of partita-synthesis.
    subset : str or None
        Tracks to learn from; ``train`` where the data set has that, else all of them.
    recipe : Recipe
    model : SeparationModel
        Whose sources, rate and channels they get.
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
        songs: Songs = load_plugin(SONG_SOURCES, suffix, data)(data, recipe, model)
        return songs
    return RecordedSongs(data, subset, recipe, model, layout)


class RecordedSongs:
    """Songs of a data set."""

    def __init__(
        self,
        data: Path,
        subset: str | None,
        recipe: Recipe,
        model: SeparationModel,
        layout: str = AUTO,
    ) -> None:
        self._data, self._model = data, model
        self._train, self._valid = _split(data, subset, recipe, layout)
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
    def material(self, progress: Progress | None) -> Iterator[Material]:
        """Decode all files once; see `prepare`."""
        prepared = prepare(
            _only(self._train, [*self._train, *(self._valid or ())]),
            self._model.learned,
            sample_rate=self._model.sample_rate,
            channels=self._model.channels,
            folder=cache_folder() / "excerpts",
            progress=progress,
        )
        yield _divide(prepared, len(self._train))


def require_sources(
    data: Path, sources: Sequence[str], targets: Collection[str], stems: Sequence[str]
) -> None:
    """Raise UsageError where data lack a source, with the sources that they have."""
    missing = [source for source in sources if source not in targets]
    for source in missing:
        if near_names(source, targets):
            raise UnknownNameError("stem", source, targets)
    if missing:
        names = " and no ".join(map(repr, missing))
        usable = [stem for stem in stems if not set(stem) & _NOT_IN_SOURCES]
        choice = ",".join(usable[:_MOST_NAMED]) + ",…" * (len(usable) > _MOST_NAMED)
        raise UsageError(
            f"{one_line(data)}: has no stem {names}: --sources {choice} learns those that it has"
        )


def _split(
    data: Path, subset: str | None, recipe: Recipe, layout: str
) -> tuple[Dataset, Dataset | None]:
    """Return what to learn from, and what is held out to validate on."""
    everything = open_dataset(data, layout=layout)
    if not everything.tracks:
        first, *others = everything.problems
        more = f" (and {len(others)} more)" if others else ""
        raise UsageError(f"{one_line(data)}: has no track to learn from: {first}{more}")
    subsets = {track.subset for track in everything}
    if subset is None and "train" in subsets:
        subset = "train"
    chosen = open_dataset(data, subset=subset, layout=layout) if subset else everything
    if not everything.is_aligned:
        return _split_sources(chosen, everything, subset, recipe)
    if subset != "valid" and "valid" in subsets:
        return chosen, open_dataset(data, subset="valid", layout=layout)
    held = recipe.training.valid_tracks
    if not held:
        return chosen, None
    if len(chosen) <= held:
        _log.warning("warning: nothing is held out, the tracks are too few (%d)", len(chosen))
        return chosen, None
    order = np.random.default_rng(recipe.training.seed).permutation(len(chosen))
    valid = [chosen.tracks[index] for index in sorted(order[:held])]
    return _only(chosen, [track for track in chosen if track not in valid]), _only(chosen, valid)


def _split_sources(
    chosen: Dataset, everything: Dataset, subset: str | None, recipe: Recipe
) -> tuple[Dataset, Dataset | None]:
    """Do the same with recordings that make no songs: what validates are random songs of them."""
    if recipe.augmentation.remix < 1:
        raise UsageError(
            f"{one_line(chosen.root)}: each folder is a source with unrelated files, and the "
            f"recipe takes {1 - recipe.augmentation.remix:.0%} of its excerpts from whole songs: "
            "--set remix=1, or --layout tracks or stems if they are songs"
        )
    _log.info(
        "%s: each folder is a source with unrelated files, which are mixed at random; "
        "--layout tracks or stems if they are songs",
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


def _divide(prepared: Prepared, count: int) -> Material:
    """Return what to learn from, the first tracks, and what validates."""
    train, valid = (
        dataclasses.replace(prepared, tracks=tracks)
        for tracks in (prepared.tracks[:count], prepared.tracks[count:])
    )
    for source, heard in zip(prepared.sources, train.heard, strict=False):
        if not len(heard):
            raise UsageError(f"the stem {source!r} is silent in every track to learn from")
    if valid.tracks and not len(valid.heard_in_any):
        names = ", ".join(one_line(track.name) for track in valid.tracks)
        raise UsageError(f"nothing is heard in the tracks that validate: {names}")
    digests = {track.name: track.digest for track in prepared.tracks}
    return Material(train, valid if valid.tracks else None, prepared.warnings, digests)


def _only(dataset: Dataset, tracks: Sequence[Track]) -> Dataset:
    return dataclasses.replace(dataset, tracks=tuple(tracks))
