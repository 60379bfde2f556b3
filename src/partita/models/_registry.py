"""The registry: a decorator puts a model in, a name takes it out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from partita.errors import ModelError, UnknownNameError, one_line
from partita.models._protocol import ModelConfig, SeparationModel
from partita.models._without_weights import build_without_weights

_MOST_WINDOW_S = 600
_MODELS: dict[str, type[SeparationModel]] = {}
ModelType = TypeVar("ModelType", bound=type[SeparationModel])


def register_model(name: str) -> Callable[[ModelType], ModelType]:
    """Register a model class under a name."""

    def register(cls: ModelType) -> ModelType:
        if name in _MODELS:
            raise ValueError(f"two models are called {name!r}")
        cls.registry_name = name
        _state_config(cls)
        _MODELS[name] = cls
        return cls

    return register


def _state_config(cls: type[SeparationModel]) -> None:
    """Annotate a constructor with the configuration's class in the place of its name.

    `huggingface_hub`'s mixin makes configurations by it.
    """
    if "__init__" not in vars(cls):  # that of its base has another configuration
        build = cls.__init__

        def __init__(self: SeparationModel, config: ModelConfig) -> None:  # noqa: N807
            build(self, config)

        setattr(cls, "__init__", __init__)  # noqa: B010
    vars(cls)["__init__"].__annotations__["config"] = cls.config_type


def list_models() -> list[str]:
    """Return the names of all registered models."""
    return sorted(_MODELS)


def config_type(name: str) -> type[ModelConfig]:
    """Return the class of a model's configuration.

    Raises
    ------
    UnknownNameError
        No such model.
    """
    if name not in _MODELS:
        raise UnknownNameError("model", name, _MODELS)
    return _MODELS[name].config_type


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
    build = functools.partial(_MODELS[name], values)
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
