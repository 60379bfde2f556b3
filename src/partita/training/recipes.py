"""Recipes: small files that say which model is trained, and how."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from partita.errors import ModelError, UnknownNameError, UsageError, one_line
from partita.settings import Settings, read_toml, settings_from
from partita.training.augmentation import BY_SOURCE, Augmentation
from partita.training.settings import parse_settings
from partita.validation import bounded

_FOLDER = Path(__file__).parent / "recipe_files"
_SUFFIX = ".toml"
#: The recipe that `partita.training.nmf_training.dictionaries` carries out: no loop, no file.
DICTIONARIES = "nmfd"
_TEXTS = ("summary", "paper", "model")
_TABLES = ("training", "augmentation", "model_config")
_MOST_WORKERS = 256  # each is a thread with excerpts of its own


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """How a model is trained.

    Attributes
    ----------
    epochs, steps_per_epoch : int
        A step is one update of the weights; after each epoch the model is validated.
    minutes : float
        How long it is trained, instead of so many epochs, validation included; ``cosine`` falls
        over this time. Such a training cannot be repeated exactly. 0: as `epochs` says.
    batch_size : int
        Excerpts in a step, of all processes together.
    accumulate : int
        How many parts of a batch are calculated one after the other, for want of memory; batch
        normalisation sees each part by itself.
    excerpt_s : float
        Length of an excerpt.
    loss : str
        ``magnitude``, ``l1``, ``l2`` or ``multi-domain``, see
        `partita.training.losses.TrainingStep`.
    combinations : bool
        Whether sums of sources have a loss as well.
    optimiser : str
        ``adam``, ``adamw`` or ``rmsprop``.
    learning_rate, weight_decay : float
    schedule : str
        ``plateau``: the learning rate shrinks where the loss gets no better; ``cosine``: it falls
        along half a cosine, to nothing at the last step.
    warmup_steps : int
        So many steps are taken with a rate that rises from nothing; of ``cosine``.
    decay_factor, decay_patience : float, int
        After so many epochs without a better loss, the learning rate shrinks by the factor; of
        ``plateau``.
    stop_patience : int
        After so many, training ends; 0: it goes through all epochs.
    clip_norm : float
        Longest gradient; 0: any.
    ema_decay : float
        Weights are averaged over steps with this decay, and the average is what is kept; 0: the
        weights themselves are.
    precision : str
        Of the networks: ``float32``, ``bfloat16`` or ``float16``.
    valid_tracks : int
        Training tracks that are held out where the data set has no subset ``valid``.
    valid_excerpts : int
        How many excerpts are taken from the tracks that validate.
    seed : int
        Of weights, excerpts and dropout.
    workers : int
        Threads that read excerpts ahead.
    threads : int
        That each operation of PyTorch uses on a CPU; another number rounds differently. 0: as many
        as PyTorch takes by itself. Small models gain little from more than one, and beside other
        programs, threads that wait for each other lose much.
    checkpoint_minutes : float
        How often the state of the training is saved.
    """

    epochs: int = bounded(50, least=1)
    steps_per_epoch: int = bounded(100, least=1)
    minutes: float = bounded(0.0, least=0)
    batch_size: int = bounded(8, least=1)
    accumulate: int = bounded(1, least=1)
    excerpt_s: float = bounded(6.0, least=0.1, most=600)
    loss: Literal["magnitude", "l1", "l2", "multi-domain"] = "magnitude"
    combinations: bool = False
    optimiser: Literal["adam", "adamw", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = bounded(1e-5, least=0)
    schedule: Literal["plateau", "cosine"] = "plateau"
    warmup_steps: int = bounded(0, least=0)
    decay_factor: float = 0.3
    decay_patience: int = bounded(80, least=0)
    stop_patience: int = bounded(0, least=0)
    clip_norm: float = bounded(0.0, least=0)
    ema_decay: float = 0.0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    valid_tracks: int = bounded(1, least=0)
    valid_excerpts: int = bounded(32, least=1)
    seed: int = bounded(0, least=0, most=(1 << 63) - 1)
    workers: int = bounded(2, least=1, most=_MOST_WORKERS)
    threads: int = bounded(0, least=0, most=_MOST_WORKERS)
    checkpoint_minutes: float = bounded(5.0, least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.learning_rate > 0, "learning_rate must be positive")
        self.require(0 < self.decay_factor < 1, "decay_factor must be between 0 and 1")
        self.require(0 <= self.ema_decay < 1, "ema_decay must be 0 or more and below 1")
        parts = fitting_parts(self.batch_size, self.accumulate)
        self.require(
            not parts,
            f"accumulate={self.accumulate} does not divide batch_size={self.batch_size}: "
            f"set accumulate={parts} as well",
        )

    def progress(self, step: int, elapsed_s: float) -> float:
        """Return the fraction of the training that is done, 0 to 1."""
        if self.minutes:
            return min(1.0, elapsed_s / (60 * self.minutes))
        return min(1.0, step / (self.epochs * self.steps_per_epoch))

    def cosine_rate(self, step: int, elapsed_s: float = 0.0) -> float:
        """Return the learning rate of a step, counted from 0, in the schedule ``cosine``."""
        rise = min(1.0, (step + 1) / (self.warmup_steps + 1))
        fall = (1 + math.cos(math.pi * self.progress(step, elapsed_s))) / 2
        return self.learning_rate * rise * fall


def fitting_parts(batch: int, accumulate: int) -> int:
    """Return how many equal parts a batch can have if it cannot have `accumulate`; 0: it can."""
    return math.gcd(batch, accumulate) if batch % accumulate else 0


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how.

    Attributes
    ----------
    name, summary, paper : str
    model : str
        Name in the model registry.
    config : mapping
        Values of the model's configuration that differ from its defaults.
    training : TrainingSettings
    augmentation : Augmentation
    """

    name: str
    summary: str
    model: str
    paper: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def changed(self, texts: Iterable[str]) -> Self:
        """Return the recipe with the settings of ``key=value`` texts.

        Other sources take the recipe's values by source away.

        Raises
        ------
        UsageError, UnknownNameError
            As `partita.training.settings.parse_settings`, or a value out of range.
        """
        from partita.models import config_type

        values = parse_settings(texts, TrainingSettings, Augmentation, config_type(self.model))
        parts: dict[str, dict[str, Any]] = {"training": {}, "augmentation": {}, "config": {}}
        for key, value in values.items():
            parts[_part_of(key)][key] = value
        if "sources" in values and values["sources"] != tuple(self.config.get("sources", ())):
            parts["augmentation"] = {**dict.fromkeys(BY_SOURCE, ()), **parts["augmentation"]}
        return dataclasses.replace(
            self,
            training=dataclasses.replace(self.training, **parts["training"]),
            augmentation=dataclasses.replace(self.augmentation, **parts["augmentation"]),
            config={**self.config, **parts["config"]},
        )


def _part_of(key: str) -> str:
    for part, cls in (("training", TrainingSettings), ("augmentation", Augmentation)):
        if key in {each.name for each in dataclasses.fields(cls)}:
            return part
    return "config"


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with this package."""
    return sorted([DICTIONARIES, *_files()])


def _files() -> dict[str, Path]:
    return {path.stem: path for path in _FOLDER.glob(f"*{_SUFFIX}")}


def recipe_facts(name: str) -> dict[str, Any]:
    """Return everything about a recipe as plain values.

    Raises
    ------
    UnknownNameError
    """
    if name == DICTIONARIES:
        summary = "dictionaries of any sources, which take a minute to learn"
        return {"name": name, "summary": summary, "model": "nmfd"}
    return dataclasses.asdict(load_recipe(name))


def load_recipe(name: str) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name : str
        One of `recipe_names` but `DICTIONARIES`; the name of a model, which is trained with the
        default settings; or the path of a ``.toml`` file: ``summary``, ``model`` and optionally
        ``paper``, and tables ``[model_config]``, ``[training]`` and ``[augmentation]``.

    Raises
    ------
    UnknownNameError
        No such recipe, or a key that recipes do not have.
    UsageError
        The file cannot be read, or a value is of the wrong type or out of range.
    """
    if name.endswith(_SUFFIX):
        return _read(Path(name))
    files = _files()
    if name not in files:
        from partita.models._registry import find_model

        if name != DICTIONARIES and find_model(name) is not None:
            return Recipe(name, f"{name}, all settings as they are by default", name)
        raise UnknownNameError("recipe", name, files if name == DICTIONARIES else recipe_names())
    return _read(files[name])


def _read(path: Path) -> Recipe:
    from partita.models import config_type

    where = one_line(path.name)
    tables = read_toml(path)
    for key, value in tables.items():
        if key not in (*_TEXTS, *_TABLES):
            raise UnknownNameError(f"setting in {where}", key, [*_TEXTS, *_TABLES])
        if isinstance(value, dict) != (key in _TABLES):
            raise UsageError(f"{where}: {key} is {'a table' if key in _TABLES else 'text'}")
    for key in ("summary", "model"):
        if key not in tables:
            raise UsageError(f"{where}: lacks {key} = …")
    training, augmentation, config = (tables.pop(key, {}) for key in _TABLES)
    parts = {
        "name": path.stem,
        "training": settings_from(training, TrainingSettings, where),
        "augmentation": settings_from(augmentation, Augmentation, where),
        "config": config,
    }
    recipe = settings_from({**tables, **parts}, Recipe, where)
    try:
        settings_from(config, config_type(recipe.model), where)
    except ModelError as error:
        raise UsageError(f"{where}: {error}") from None
    return recipe
