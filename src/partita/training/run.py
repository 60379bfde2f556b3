"""A whole training: recipe and data in, a folder with weights out."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from partita.datasets.dataset import AUTO
from partita.devices import intra_op_threads
from partita.errors import ModelError, UsageError, one_line
from partita.models import create_model
from partita.models._protocol import SeparationModel
from partita.progress import Progress
from partita.training.augmentation import Augmentation
from partita.training.fabric import make_fabric
from partita.training.finetuning import transfer_weights
from partita.training.loop import Observer, Training
from partita.training.losses import TrainingStep
from partita.training.recipes import Recipe, TrainingSettings
from partita.training.run_folder import RunFolder
from partita.training.song_sources import open_song_source
from partita.weights.store import load_model

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """The start of a training: recipe, settings, weights.

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
        recipe.augmentation.check_sources(model.learned)
        return dataclasses.replace(recipe, config=model.config.to_dict()), model

    def _from_weights(self, name: str) -> tuple[Recipe, SeparationModel]:
        old = load_model(name)
        if old.registry_name != self.recipe.model:
            raise UsageError(
                f"`weights` {one_line(name)} holds weights of {old.registry_name}, recipe "
                f"{self.recipe.name!r} trains {self.recipe.model}"
            )
        same = dataclasses.replace(self.recipe, config=old.config.to_dict())
        recipe = same.changed(self.settings)
        torch.manual_seed(recipe.training.seed)
        model, fresh = transfer_weights(old, recipe.config)
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
    exclude: Collection[str] = (),
    layout: str = AUTO,
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
        Root of a data set, or a ``.toml`` file that says what songs to synthesise.
    out : Path
        The folder of the training.
    observer : Observer
    subset : str, optional
        Tracks to learn from; ``train`` where the data set has that, else all of them.
    exclude : collection of str
        Names of tracks that are neither learned from nor validated on.
    layout : str
        Of the data set, as for `partita.datasets.open_dataset`.
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
    source = open_song_source(data, subset, recipe, model, exclude=exclude, layout=layout)
    fabric = make_fabric(device or torch.device("cpu"), recipe.training.precision)
    folder = RunFolder(out)
    description = {**_describe(start, recipe), **source.description}
    with folder.locked() if fabric.is_global_zero else contextlib.nullcontext():
        if fabric.is_global_zero:
            folder.check(
                description, resume=resume, overwrite=overwrite, defaults=_default_settings()
            )
        fabric.barrier()
        with source.open(progress if fabric.is_global_zero else None) as songs:
            if fabric.is_global_zero:
                for warning in songs.warnings:
                    _log.warning("warning: %s", warning)
                if resume:
                    folder.check_data(songs.digests)
                # Not before: data that cannot be used cost no earlier training.
                folder.begin(description, resume=resume, digests=songs.digests)
            fabric.barrier()
            with intra_op_threads(recipe.training.threads):
                training = Training(
                    model, recipe, songs, folder, fabric, observer, fresh=start.weights is None
                )
                training.run(cancel)
    return folder


def _describe(start: Start, recipe: Recipe) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "model": recipe.model,
        "from": start.weights,
        "config": dict(recipe.config),
        "training": dataclasses.asdict(recipe.training),
        "augmentation": dataclasses.asdict(recipe.augmentation),
    }


def _default_settings() -> dict[str, dict[str, Any]]:
    return {
        "training": dataclasses.asdict(TrainingSettings()),
        "augmentation": dataclasses.asdict(Augmentation()),
    }
