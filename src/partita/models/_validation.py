"""What configurations may hold: types by their annotations, values within sane bounds.

Configurations come with files of weights, which anybody may have written, so they are checked
before a module is built: what one asks for bounds the memory and the time that building takes.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

#: Bounds of a field that has none of its own (`bounded`).
MOST_NUMBER = 1_000_000
_MOST_FLOAT = 1e9
MOST_ITEMS = 64
_MOST_CHARS = 200
#: The largest published set, umxl, has 113 million weights; ours makes 300 tensors.
_MOST_WEIGHTS = 2_000_000_000
_MOST_STEPS = 20_000

_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 2, 60, 60
_Module = TypeVar("_Module", bound=nn.Module)


def bounded(default: Any, *, most: int) -> Any:
    """Return a field of whole numbers within ±`most`, for those that make models slow or deep."""
    return dataclasses.field(default=default, metadata={"most": most})


def type_fault(config: Any) -> str | None:
    """Say what is wrong with the fields of a dataclass, None where all are as annotated.

    Whole numbers are ``int`` and nothing else, numbers are finite, texts, numbers and tuples are
    bounded. Annotations other than int, float, bool, str, Literal, None, tuples and unions of
    these are not checked.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        hint, value = hints[field.name], getattr(config, field.name)
        most = field.metadata.get("most", MOST_NUMBER)
        if not _fits(value, hint, most):
            return f"{field.name} must be {_described(hint, most)}, not {shown(value)}"
    return None


def shown(value: object) -> str:
    """Return a value for a message: on one line, not longer than a line."""
    if type(value) is int and value.bit_length() > 100:  # Python prints no very long ones
        return "a number of many digits"
    return _short.repr(value)


def _fits(value: Any, hint: Any, most: float) -> bool:
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    check = _CHECKS.get(kind)
    return check is None or check(value, parts, most)


def _is_tuple(value: Any, parts: tuple[Any, ...], most: float) -> bool:
    if not isinstance(value, tuple):
        return False
    if parts[-1] is Ellipsis:
        return len(value) <= MOST_ITEMS and all(_fits(each, parts[0], most) for each in value)
    return len(value) == len(parts) and all(
        _fits(each, part, most) for each, part in zip(value, parts, strict=True)
    )


def _is_float(value: Any, _parts: tuple[Any, ...], _most: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= _MOST_FLOAT and math.isfinite(value)  # whole numbers may be too large


def _is_one_of(value: Any, parts: tuple[Any, ...], most: float) -> bool:
    return any(_fits(value, part, most) for part in parts)


_CHECKS: Mapping[Any, Callable[[Any, tuple[Any, ...], float], bool]] = {
    int: lambda value, _, most: type(value) is int and abs(value) <= most,
    float: _is_float,
    bool: lambda value, _, __: isinstance(value, bool),
    str: lambda value, _, __: isinstance(value, str) and len(value) <= _MOST_CHARS,
    type(None): lambda value, _, __: value is None,
    Literal: lambda value, parts, _: isinstance(value, str) and value in parts,
    tuple: _is_tuple,
    types.UnionType: _is_one_of,
    typing.Union: _is_one_of,
}


def _described(hint: Any, most: float, *, many: bool = False) -> str:
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is Literal:
        return "one of " + ", ".join(map(str, parts))
    if kind is tuple:
        if parts[-1] is Ellipsis:
            return f"at most {MOST_ITEMS} {_described(parts[0], most, many=True)}"
        return f"{len(parts)} {_described(parts[0], most, many=True)}"
    if kind in (types.UnionType, typing.Union):
        return " or ".join(_described(part, most) for part in parts)
    one, several = {
        int: (f"a whole number within ±{most:,}", f"whole numbers within ±{most:,}"),
        float: ("a finite number", "finite numbers"),
        bool: ("true or false", "times true or false"),
        str: (f"text of at most {_MOST_CHARS} characters", "texts"),
        type(None): ("null", "nulls"),
    }[kind]
    return several if many else one


class _Steps(TorchFunctionMode):
    """Ends the building of a model that takes too many steps."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        self._count += 1
        if self._count > _MOST_STEPS:
            raise OverflowError("it has too many layers")
        return func(*args, **(kwargs or {}))


def build_without_weights(build: Callable[[], _Module]) -> _Module:
    """Build a model whose tensors have shapes, but no storage.

    Raises
    ------
    OverflowError
        It has too many layers or weights.
    """
    with torch.device("meta"), _Steps():
        model = build()
    weights = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    if weights > _MOST_WEIGHTS:
        raise OverflowError(f"it has {weights:,} weights, more than {_MOST_WEIGHTS:,}")
    return model
