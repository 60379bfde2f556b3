"""The entrants of a comparison: from names, from recipes, and from a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from partita.comparison.results import Entrant, TrainingPlan
from partita.errors import (
    ModelError,
    UnknownNameError,
    UsageError,
    WeightsError,
    near_names,
    one_line,
)
from partita.evaluation.oracles import ORACLES
from partita.evaluation.runs import system_labels
from partita.files import folded, part_of_path
from partita.settings import Settings, read_toml, settings_from
from partita.training.nmf_training.dictionaries import DictionaryRecipe
from partita.training.recipes import DICTIONARIES, load_recipe
from partita.validation import bounded
from partita.weights.aliases import own_name
from partita.weights.cards import DEFAULT_MODEL
from partita.weights.resolve import resolve

#: A floor, the default weights, and a ceiling.
DEFAULT_ENTRANTS = ("mixture", DEFAULT_MODEL, "mwf")
_TABLE = "entrant"
_SUFFIX = ".toml"


@dataclass(frozen=True)
class SeparationSettings(Settings):
    """How an entrant separates: parameters of `partita.Separator` of the same names."""

    segment_s: float | None = bounded(None, least=0.1, most=3600)
    overlap: float | None = bounded(None, least=0, most=0.95)
    shifts: int = bounded(0, least=0)
    seed: int = bounded(0, least=0, most=(1 << 63) - 1)
    sum_to_mix: bool = False
    wiener: int = bounded(0, least=0)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


@dataclass(frozen=True)
class _Row(SeparationSettings):
    """One entrant as a file has it."""

    name: str = ""
    model: str = ""
    recipe: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    subset: str = "train"


_OF_SEPARATION = tuple(each.name for each in fields(SeparationSettings))


def named_entrants(names: Sequence[str]) -> list[Entrant]:
    """Return the entrants of names, each of them weights, a chain, an ensemble or an oracle.

    Parameters
    ----------
    names : sequence of str
        A name that ends with ``.toml`` is a file, see `read_entrants`.

    Raises
    ------
    UsageError
        No such weights or file, or a name twice.
    """
    models = [own_name(name) for name in names if not name.endswith(_SUFFIX)]
    labels = system_labels(models)
    found: list[Entrant] = []
    for name in names:
        if name.endswith(_SUFFIX):
            found += read_entrants(Path(name))
        else:
            model = own_name(name)
            found.append(Entrant(labels[model], model))
    return found


def trained_entrants(
    recipes: Sequence[str], settings: Sequence[str] = (), seeds: Sequence[int] = (0,)
) -> list[Entrant]:
    """Return an entrant for each recipe and seed.

    Parameters
    ----------
    recipes : sequence of str
        Names of recipes, or ``.toml`` files.
    settings : sequence of str
        ``key=value`` texts that change each of them.
    seeds : sequence of int
        Of the trainings; where there are several, names have the seed at their end.

    Raises
    ------
    UsageError
        No such recipe or setting, or a seed twice.
    """
    found = []
    for recipe in recipes:
        name = Path(recipe).name.removesuffix(_SUFFIX)
        found += _seeded(Entrant(name, training=TrainingPlan(recipe, tuple(settings))), seeds)
    return found


def read_entrants(path: Path) -> list[Entrant]:
    """Read a file of entrants: a table ``[[entrant]]`` for each.

    Its keys are ``name``; ``model``, or ``recipe`` with ``set`` (a table of the recipe's settings),
    ``seeds`` and ``subset``; and `SeparationSettings`.

    Raises
    ------
    UsageError
        The file cannot be read, lacks something, or has a key or value that cannot be.
    """
    where = one_line(path.name)
    tables = read_toml(path)
    for key in tables:
        if key != _TABLE:
            raise UnknownNameError(f"table in {where}", key, [_TABLE])
    rows = tables.get(_TABLE, [])
    if not isinstance(rows, list) or not rows:
        raise UsageError(f"{where}: names no entrants; write a table [[{_TABLE}]] for each")
    found = []
    for number, values in enumerate(rows, start=1):
        found += _of_row(values, f"{where}, entrant {number}")
    return found


def _of_row(values: Mapping[str, Any], where: str) -> list[Entrant]:
    if not isinstance(values, dict):
        raise UsageError(f"{where}: is no table")
    row = settings_from(values, _Row, where)
    if bool(row.model) == bool(row.recipe):
        raise UsageError(f"{where}: has either a model or a recipe")
    settings = {key: values[key] for key in _OF_SEPARATION if key in values}
    if row.model:
        for key in ("set", "seeds", "subset"):
            if key in values:
                raise UsageError(f"{where}: {key} goes with a recipe, not with a model")
        model = own_name(row.model)
        name = row.name or system_labels([model])[model]
        return [Entrant(name, model, settings=settings)]
    if not isinstance(row.set, Mapping):
        raise UsageError(f"{where}: set is a table, such as set = {{ epochs = 3 }}")
    plan = TrainingPlan(row.recipe, tuple(_as_texts(row.set)), row.subset)
    name = row.name or Path(row.recipe).name.removesuffix(_SUFFIX)
    return _seeded(Entrant(name, training=plan, settings=settings), row.seeds or (0,))


def _as_texts(values: Mapping[str, Any]) -> Iterable[str]:
    """Yield ``key=value`` texts of values as TOML has them."""
    for key, value in values.items():
        if isinstance(value, list):
            yield f"{key}={','.join(map(_as_text, value))}"
        else:
            yield f"{key}={_as_text(value)}"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _seeded(entrant: Entrant, seeds: Sequence[int]) -> list[Entrant]:
    plan = entrant.training
    assert plan is not None
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"`seeds` name a seed twice: {', '.join(map(str, seeds))}")
    if plan.seed is not None and len(seeds) > 1:
        raise UsageError(f"{entrant.name}: seed is given twice, among the settings and in `seeds`")
    if plan.seed is not None:
        return [entrant]
    return [
        replace(
            entrant,
            name=entrant.name if len(seeds) == 1 else f"{entrant.name} seed {seed}",
            training=replace(plan, settings=(*plan.settings, f"seed={seed}")),
        )
        for seed in seeds
    ]


def check_entrants(entrants: Sequence[Entrant]) -> None:
    """Refuse entrants that cannot be, before anything is computed.

    Weights that cannot be had are no error here: that entrant fails, the others go on.

    Raises
    ------
    UsageError
        No entrants, two of one name, or an unknown model, recipe or setting.
    """
    if not entrants:
        raise UsageError("a comparison needs `entrants`")
    owners: dict[str, str] = {}
    for entrant in entrants:
        folder = folded(part_of_path(entrant.name))
        if folder in owners:
            names = " and ".join(dict.fromkeys([owners[folder], entrant.name]))
            raise UsageError(
                f"two entrants of one name, {one_line(names)}: rename one in a file of entrants"
            )
        owners[folder] = entrant.name
        settings_from(entrant.settings, SeparationSettings, one_line(entrant.name))
        if entrant.training is not None:
            _check_training(entrant.training)
        elif entrant.model in ORACLES:
            if entrant.settings:
                raise UsageError(f"{entrant.name}: an oracle has no settings")
        else:
            _check_model(entrant.model)


def _check_training(plan: TrainingPlan) -> None:
    try:
        if plan.recipe == DICTIONARIES:
            DictionaryRecipe.from_settings(plan.settings)
        else:
            load_recipe(plan.recipe).changed(plan.settings)
    except ModelError as error:
        raise UsageError(str(error)) from error


def _check_model(name: str) -> None:
    try:
        _ = resolve(name).sources
    except WeightsError:  # a failure of that entrant alone
        return
    except UnknownNameError as error:
        if near := near_names(name, ORACLES):
            raise UnknownNameError("entrant", name, near) from error
        raise _with_hint(name, error) from error
    except UsageError as error:
        raise _with_hint(name, error) from error


def _with_hint(name: str, error: UsageError) -> UsageError:
    """Add how several entrants are named: a comma makes an ensemble."""
    if "," not in name:
        return error
    return UsageError(f"{error}; a comma makes an ensemble: repeat `entrants` for several")
