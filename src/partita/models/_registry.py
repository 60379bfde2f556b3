"""The registry of models by name."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

from partita.errors import ModelError, UnknownNameError, UsageError, one_line
from partita.models._built_in import BUILT_IN
from partita.models._protocol import ModelConfig, SeparationModel
from partita.models._without_weights import build_without_weights
from partita.plugins import MODELS, load_plugin, plugin_names

_MOST_WINDOW_S = 600
_MODELS: dict[str, type[SeparationModel]] = {}
ModelType = TypeVar("ModelType", bound=type[SeparationModel])
_log = logging.getLogger(__name__)


def register_model(name: str) -> Callable[[ModelType], ModelType]:
    """Register a model class under a name.

    Parameters
    ----------
    name : str
        Unique. A class that is defined again, as in a notebook, replaces the earlier one.

    Raises
    ------
    ValueError
        Another model has the name.
    TypeError
        The class is not a `SeparationModel`.

    Notes
    -----
    Other distributions add models through entry points of the group ``partita.models``: the name
    is the model's, the object its class.

    Examples
    --------
    >>> @register_model("mine")  # doctest: +SKIP
    ... class Mine(SeparationModel):
    ...     def forward(self, mixture):  # [B, C, T] -> [B, S, C, T]
    ...         return torch.stack(4 * [mixture / 4], dim=1)
    """

    def register(cls: ModelType) -> ModelType:
        if _is_taken(name, cls):
            raise ValueError(f"two models are called {name!r}")
        if not (isinstance(cls, type) and issubclass(cls, SeparationModel)):
            raise TypeError(
                f"{name!r} is not a partita.models.SeparationModel; "
                "Separator accepts plain modules without registration"
            )
        cls.registry_name = name
        _state_config(cls)
        _MODELS[name] = cls
        return cls

    return register


def _is_taken(name: str, new: type) -> bool:
    """Return whether another class than a model's earlier version has its name."""
    if name in _MODELS:
        old = _MODELS[name].__module__, _MODELS[name].__qualname__
    elif name in BUILT_IN:
        old = _home(name)
    else:
        return False
    return (new.__module__, new.__qualname__) != old


def _home(name: str) -> tuple[str, str]:
    """Return module and class of a model that comes with partita."""
    file, class_name = BUILT_IN[name]
    return f"partita.models.{file}", class_name


def _state_config(cls: type[SeparationModel]) -> None:
    """Annotate the constructor with the class of the configuration, not with its name.

    The mixin of `huggingface_hub` builds configurations from the annotation.
    """
    if "__init__" not in vars(cls):  # that of its base has another configuration
        build = cls.__init__

        def __init__(self: SeparationModel, config: ModelConfig) -> None:  # noqa: N807
            build(self, config)

        setattr(cls, "__init__", __init__)  # noqa: B010
    vars(cls)["__init__"].__annotations__["config"] = cls.config_type


def list_models() -> list[str]:
    """Return the names of all models, including installed plug-ins."""
    for name in plugin_names(MODELS):
        _load(name)
    return sorted(_MODELS.keys() | BUILT_IN.keys())


def find_model(name: str) -> type[SeparationModel] | None:
    """Return the class of a model, None if the name is unknown."""
    if name not in _MODELS and name in BUILT_IN:
        file, class_name = _home(name)
        _MODELS.setdefault(name, getattr(import_module(file), class_name))
    elif name not in _MODELS and name in plugin_names(MODELS):
        _load(name)
    return _MODELS.get(name)


def _load(name: str) -> None:
    """Register a plug-in's model, unless the name is taken; warn if it cannot be imported."""
    if name in _MODELS or name in BUILT_IN:
        return
    try:
        found = load_plugin(MODELS, name, f"model {name}")
        if name not in _MODELS:  # its decorator registers it
            register_model(name)(found)
    except (UsageError, TypeError) as error:
        _log.warning("%s", error)


def config_type(name: str) -> type[ModelConfig]:
    """Return the class of a model's configuration.

    Raises
    ------
    UnknownNameError
        No such model.
    """
    return _model(name).config_type


def _model(name: str) -> type[SeparationModel]:
    found = find_model(name)
    if found is None:
        raise UnknownNameError("model", name, list_models())
    return found


def create_model(
    name: str, config: Mapping[str, Any] | None = None, *, initialise: bool = True
) -> SeparationModel:
    """Build a model.

    Parameters
    ----------
    name : str
        A registered name.
    config : mapping, optional
        Values that differ from the defaults of the model's configuration.
    initialise : bool
        False leaves the weights without storage, for a state dict that is assigned next; that
        spares the time and memory of random numbers nobody uses.

    Raises
    ------
    UnknownNameError
        No such model, or no such configuration key.
    ModelError
        A configuration value of the wrong type or out of range; more layers or weights or a longer
        window than any model has.
    """
    values = config_type(name).from_dict({} if config is None else config)
    build = functools.partial(_model(name), values)
    try:
        empty = build_without_weights(build)
    except (
        ArithmeticError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise ModelError(f"{name}: cannot be built so: {one_line(error)}") from error
    if empty.window is not None and empty.window.length > _MOST_WINDOW_S * empty.sample_rate:
        raise ModelError(f"{name}: its window is longer than {_MOST_WINDOW_S} s")
    return build() if initialise else empty
