"""From a recipe and a data set to a folder with weights."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from partita.datasets import Dataset, Track, open_dataset
from partita.errors import ModelError, UsageError, one_line
from partita.models import create_model
from partita.models._protocol import SeparationModel
from partita.training.adaptation import adapted
from partita.training.fabric import make_fabric
from partita.training.loop import Material, Observer, Training
from partita.training.losses import TrainingStep
from partita.training.prepared import Prepared, prepare
from partita.training.recipes import Recipe
from partita.training.run_folder import RunFolder
from partita.weights.store import home, load_model

_log = logging.getLogger(__name__)
#: Seconds of music read so far, and in all.
Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Start:
    """Where a training begins.

    Attributes
    ----------
    recipe : Recipe
    settings : sequence of str
        ``key=value`` texts that change it.
    weights : str or None
        Name of a card, or path of a checkpoint or run folder, whose weights and configuration it
        begins with; None: random ones.
    """

    recipe: Recipe
    settings: Sequence[str] = ()
    weights: str | None = None

    def resolve(self) -> tuple[Recipe, SeparationModel]:
        """Return the recipe with all settings applied, and the model with its first weights.

        Raises
        ------
        UsageError
            Settings that cannot be, or weights of another model than the recipe's.
        WeightsError
            The weights cannot be had.
        """
        try:
            if self.weights is None:
                recipe = self.recipe.changed(self.settings)
                torch.manual_seed(recipe.training.seed)
                model = create_model(recipe.model, recipe.config)
            else:
                recipe, model = self._from_weights(self.weights)
        except ModelError as error:
            raise UsageError(str(error)) from error
        return dataclasses.replace(recipe, config=model.config.to_dict()), model

    def _from_weights(self, name: str) -> tuple[Recipe, SeparationModel]:
        old = load_model(name)
        if old.registry_name != self.recipe.model:
            raise UsageError(
                f"--from {one_line(name)} holds weights of {old.registry_name}, recipe "
                f"{self.recipe.name!r} trains {self.recipe.model}"
            )
        same = dataclasses.replace(self.recipe, config=old.config.to_dict())
        recipe = same.changed(self.settings)
        torch.manual_seed(recipe.training.seed)
        model, fresh = adapted(old, recipe.config)
        if fresh:
            _log.warning(
                "%d of %d tensors of %s do not fit and begin at random, such as %s",
                len(fresh),
                len(model.state_dict()),
                name,
                fresh[0],
            )
        return recipe, model


def train(
    start: Start,
    data: Path,
    out: Path,
    *,
    observer: Observer,
    subset: str | None = None,
    device: torch.device | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> RunFolder:
    """Train a model.

    Parameters
    ----------
    start : Start
    data : Path
        Root of a data set.
    out : Path
        The folder of the training.
    observer : Observer
    subset : str, optional
        Tracks to learn from; ``train`` where the data set has that, else all of them.
    device : torch.device, optional
        The CPU by default. Under ``torchrun`` every process takes its own of that kind.
    resume : bool
        Go on where the folder says; begin where there is nothing yet.
    overwrite : bool
        Begin anew whatever there is.
    progress : callable, optional
        Called while the data set is read for the first time.
    cancel : Event, optional
        Once it is set, the training keeps its state and stops with InterruptedError.

    Returns
    -------
    RunFolder

    Raises
    ------
    UsageError, AudioReadError
        Whatever is wrong with settings or data set, before the first step.
    TrainingError, AudioWriteError
        As `Training.run`.
    """
    recipe, model = start.resolve()
    TrainingStep(model, recipe.training.loss)  # refuses losses that do not fit
    train_set, valid_set = _split(data, subset, recipe)
    fabric = make_fabric(device or torch.device("cpu"), recipe.training.precision)
    folder = RunFolder(out)
    description = _describe(start, recipe, data, train_set, valid_set)
    if fabric.is_global_zero:
        folder.check(description, resume=resume, overwrite=overwrite)
    fabric.barrier()
    prepared = prepare(
        _only(train_set, [*train_set, *(valid_set or ())]),
        model.learned,
        sample_rate=model.sample_rate,
        channels=model.channels,
        folder=home() / "excerpts",
        progress=progress if fabric.is_global_zero else None,
    )
    material = _divide(prepared, len(train_set))
    if fabric.is_global_zero:
        for warning in prepared.warnings:
            _log.warning("warning: %s", warning)
        # Not before: data that cannot be used cost no earlier training.
        folder.begin(description, resume=resume)
    fabric.barrier()
    training = Training(
        model, recipe, material, folder, fabric, observer, fresh=start.weights is None
    )
    training.run(cancel)
    return folder


def _split(data: Path, subset: str | None, recipe: Recipe) -> tuple[Dataset, Dataset | None]:
    """Return what to learn from, and what is held out to validate on."""
    everything = open_dataset(data)
    subsets = {track.subset for track in everything}
    if subset is None and "train" in subsets:
        subset = "train"
    chosen = open_dataset(data, subset=subset) if subset else everything
    if subset != "valid" and "valid" in subsets:
        return chosen, open_dataset(data, subset="valid")
    held = recipe.training.valid_tracks
    if not held:
        return chosen, None
    if len(chosen) <= held:
        _log.warning("warning: nothing is held out, the tracks are too few (%d)", len(chosen))
        return chosen, None
    order = np.random.default_rng(recipe.training.seed).permutation(len(chosen))
    valid = [chosen.tracks[index] for index in sorted(order[:held])]
    return _only(chosen, [track for track in chosen if track not in valid]), _only(chosen, valid)


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
    return Material(train, valid if valid.tracks else None)


def _only(dataset: Dataset, tracks: Sequence[Track]) -> Dataset:
    return dataclasses.replace(dataset, tracks=tuple(tracks))


def _describe(
    start: Start, recipe: Recipe, data: Path, train_set: Dataset, valid_set: Dataset | None
) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "model": recipe.model,
        "from": start.weights,
        "config": dict(recipe.config),
        "training": dataclasses.asdict(recipe.training),
        "augmentation": dataclasses.asdict(recipe.augmentation),
        "data": str(data.resolve()),
        "train_tracks": [track.name for track in train_set],
        "valid_tracks": [track.name for track in valid_set] if valid_set else [],
    }
