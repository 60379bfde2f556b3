"""Checks of values that people and files give: types by annotations, bounds by fields.

Recipes, configurations of models and the YAML files of other programs are all checked here. An
``int`` is never a bool, a ``float`` is finite, and a tuple may be given as a list.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from partita.errors import UnknownNameError

_KEY_CHARS = 60
_LONGEST_PRINTED_BITS = 100  # Python refuses to print very long numbers
_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 2, 60, 60


class Limits(NamedTuple):
    """Bounds of values whose fields have none of their own.

    Attributes
    ----------
    whole, number : float
        Largest magnitude of an ``int`` and of a ``float``.
    chars : float
        Longest text.
    items : float
        Longest tuple of any length.
    """

    whole: float = math.inf
    number: float = sys.float_info.max
    chars: float = math.inf
    items: float = math.inf


#: Of files that anybody may have written.
STRICT = Limits(whole=1_000_000, number=1e9, chars=200, items=64)
_NONE = Limits()


def bounded(default: Any, *, least: float | None = None, most: float | None = None) -> Any:
    """Return a dataclass field whose numbers are from `least` to `most`.

    Without `least`, they are within ±`most`.
    """
    return dataclasses.field(default=default, metadata={"least": least, "most": most})


def find_fault(cls: type, values: Mapping[str, Any], limits: Limits = _NONE) -> str | None:
    """Return what is wrong with values for the fields of a dataclass, None where nothing is.

    Checked are int, float, bool, str, Literal, None, and tuples and unions of these.
    """
    hints = _hints(cls)
    for field in dataclasses.fields(cls):
        if field.name in values:
            bounds = (field.metadata.get(name) for name in ("least", "most"))
            fault = value_fault(
                field.name, values[field.name], hints[field.name], *bounds, limits=limits
            )
            if fault:
                return fault
    return None


_hints = functools.cache(typing.get_type_hints)


def value_fault(
    name: str,
    value: object,
    hint: Any,
    least: float | None = None,
    most: float | None = None,
    *,
    limits: Limits = _NONE,
) -> str | None:
    """Return ``NAME must be …, not …`` where a value does not fit an annotation, else None."""
    bounds = _Bounds(least, most, limits)
    if _fits(value, hint, bounds):
        return None
    return f"{name} must be {_described(hint, bounds)}, not {shown(value)}"


def check_keys(keys: Iterable[object], cls: type, kind: str) -> None:
    """Raise UnknownNameError, with the near ones, for a key that a dataclass has no field for.

    Parameters
    ----------
    keys : iterable
    cls : dataclass
    kind : str
        What a key is, for the message.
    """
    known = {field.name for field in dataclasses.fields(cls)}
    for key in keys:
        if key not in known:
            raise UnknownNameError(kind, str(key)[:_KEY_CHARS], known)


def shown(value: object) -> str:
    """Return a value for a message: on one line, not longer than a line."""
    if type(value) is int and value.bit_length() > _LONGEST_PRINTED_BITS:
        return "a number of many digits"
    return _short.repr(value)


class _Bounds(NamedTuple):
    least: float | None
    most: float | None
    limits: Limits

    def span(self, limit: float) -> tuple[float, float]:
        """Return the lowest and the highest number; `limit` is the largest otherwise."""
        most = limit if self.most is None else self.most
        return -most if self.least is None else self.least, most


def _fits(value: Any, hint: Any, bounds: _Bounds) -> bool:
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    check = _CHECKS.get(kind)
    return check is None or check(value, parts, bounds)


def _is_int(value: Any, _parts: tuple[Any, ...], bounds: _Bounds) -> bool:
    least, most = bounds.span(bounds.limits.whole)
    return type(value) is int and least <= value <= most


def _is_float(value: Any, _parts: tuple[Any, ...], bounds: _Bounds) -> bool:
    least, most = bounds.span(bounds.limits.number)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and least <= value <= most  # which NaN never is


def _is_tuple(value: Any, parts: tuple[Any, ...], bounds: _Bounds) -> bool:
    if not isinstance(value, (tuple, list)):
        return False
    if parts[-1] is Ellipsis:
        parts = (parts[0],) * len(value)
        if len(value) > bounds.limits.items:
            return False
    return len(value) == len(parts) and all(
        _fits(each, part, bounds) for each, part in zip(value, parts, strict=True)
    )


def _is_one_of(value: Any, parts: tuple[Any, ...], bounds: _Bounds) -> bool:
    return any(_fits(value, part, bounds) for part in parts)


_CHECKS: Mapping[Any, Callable[[Any, tuple[Any, ...], _Bounds], bool]] = {
    int: _is_int,
    float: _is_float,
    bool: lambda value, _, __: isinstance(value, bool),
    str: lambda value, _, bounds: isinstance(value, str) and len(value) <= bounds.limits.chars,
    type(None): lambda value, _, __: value is None,
    Literal: lambda value, parts, _: isinstance(value, str) and value in parts,
    tuple: _is_tuple,
    types.UnionType: _is_one_of,
    typing.Union: _is_one_of,
}


def _described(hint: Any, bounds: _Bounds, *, many: bool = False) -> str:
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is Literal:
        return "one of " + ", ".join(map(str, parts))
    if kind is tuple:
        count = str(len(parts))
        if parts[-1] is Ellipsis:
            items = bounds.limits.items
            count = f"at most {items:g}"
            if math.isinf(items):
                count = "lists of" if many else "a list of"
        return f"{count} {_described(parts[0], bounds, many=True)}"
    if kind in (types.UnionType, typing.Union):
        return " or ".join(_described(part, bounds) for part in parts)
    chars = bounds.limits.chars
    one, several = {
        int: ("a whole number", "whole numbers"),
        float: ("a finite number", "finite numbers"),
        bool: ("true or false", "times true or false"),
        str: ("text" if math.isinf(chars) else f"text of at most {chars:g} characters", "texts"),
        type(None): ("null", "nulls"),
    }[kind]
    return (several if many else one) + (_range(kind, bounds) if kind in (int, float) else "")


def _range(kind: type, bounds: _Bounds) -> str:
    least, most = bounds.span(bounds.limits.whole if kind is int else math.inf)
    if math.isinf(most):
        return "" if math.isinf(least) else f" of {_plain(least)} or more"
    if least == -most:
        return f" within ±{_plain(most)}"
    return f" from {_plain(least)} to {_plain(most)}"


def _plain(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:,.15g}"
