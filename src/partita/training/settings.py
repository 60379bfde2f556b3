"""Settings as people write them: ``key=value`` on the command line, tables in files."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from partita.errors import UnknownNameError, UsageError, one_line

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "str": str,
}
_NAMES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
#: How other programs call it, where that is no part of our name.
_ELSEWHERE = {
    **dict.fromkeys(("n_fft", "nfft", "stft_size"), "fft_samples"),
    **dict.fromkeys(("dtype", "amp", "mixed_precision"), "precision"),
    **dict.fromkeys(("seq_dur", "duration", "segment", "chunk_size"), "excerpt_s"),
    **dict.fromkeys(("grad_clip", "max_grad_norm", "gradient_clip_val"), "clip_norm"),
    **dict.fromkeys(("targets", "target", "stems", "instruments"), "sources"),
    "lrate": "learning_rate",
}
_BYTES_MAX = 1 << 24  # of a file of settings
_TUPLE, _OPTIONAL = "tuple[", " | None"
Settings = TypeVar("Settings")


def parse_settings(texts: Iterable[str], *types: type) -> dict[str, Any]:
    """Read ``key=value`` texts for the fields of dataclasses.

    Numbers, ``true`` and ``false`` are read as in JSON, anything else is text; fields that are
    tuples take values with commas between them. Fields that are mappings cannot be set.

    Parameters
    ----------
    texts : iterable of str
    *types : dataclass
        Whose fields may be set; of a name that several have, the first counts.

    Raises
    ------
    UsageError
        A text without ``=``, a value of the wrong type, or a key given twice.
    UnknownNameError
        A key that none of the types has.
    """
    fields = {f.name: str(f.type) for each in reversed(types) for f in dataclasses.fields(each)}
    fields = {name: kind for name, kind in fields.items() if not kind.startswith("Mapping")}
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text!r} is not of the form key=value")
        if key not in fields:
            meant = _ELSEWHERE.get(key.lower())
            if meant in fields:
                raise UsageError(f"unknown setting {key!r}; it is called {meant}")
            raise UnknownNameError("setting", key, fields)
        if key in values:
            raise UsageError(f"--set names {key!r} twice")
        values[key] = _read(key, value, fields[key])
    return values


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of settings.

    Raises
    ------
    UsageError
        The file cannot be read, is not TOML, or is larger than any settings.
    """
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise UsageError(f"{one_line(path.name)}: is larger than any file of settings")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{one_line(path)}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{one_line(path.name)}: is not TOML: {one_line(error)}") from None


def settings_from(values: Mapping[str, Any], cls: type[Settings], where: str) -> Settings:
    """Fill a dataclass with values as a file of settings holds them, lists standing for tuples.

    Parameters
    ----------
    values : mapping
    cls : dataclass
    where : str
        What is read, for messages.

    Raises
    ------
    UsageError
        A value of the wrong type.
    UnknownNameError
        A key that the dataclass does not have.
    """
    kinds = {field.name: str(field.type) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    plain: dict[str, Any] = {}
    for key, value in values.items():
        if key not in kinds:
            raise UnknownNameError(f"setting in {where}", key, kinds)
        if not _fits(value, kinds[key]):
            raise UsageError(f"{where}: {key} = {value!r} is not {_name(kinds[key])}")
        plain[key] = tuple(value) if isinstance(value, list) else value
    return cls(**plain)


def _fits(value: Any, kind: str) -> bool:
    if kind.endswith(_OPTIONAL):
        return value is None or _fits(value, kind.removesuffix(_OPTIONAL))
    if kind.startswith(_TUPLE):
        return isinstance(value, (list, tuple)) and all(_fits(v, _each(kind)) for v in value)
    if kind not in _KINDS:
        return True
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, _KINDS[kind]) and isinstance(value, bool) == (kind == "bool")


def _each(kind: str) -> str:
    """Return the kind of a tuple's items."""
    return kind.removeprefix(_TUPLE).partition(",")[0]


def _name(kind: str) -> str:
    if kind.endswith(_OPTIONAL):
        return f"{_name(kind.removesuffix(_OPTIONAL))} or null"
    if kind.startswith(_TUPLE):
        return f"a list, each item {_name(_each(kind))}"
    return _NAMES[kind]


def _read(key: str, text: str, kind: str) -> Any:
    value: Any
    if kind.startswith(_TUPLE) and not (kind.endswith(_OPTIONAL) and text == "null"):
        parts = [part.strip() for part in text.split(",") if part.strip()]
        value = tuple(parts if _each(kind) == "str" else map(_plain, parts))
    else:
        value = text if kind == "str" else _plain(text)
    if not _fits(value, kind):
        raise UsageError(f"--set {key}={text}: {text!r} is not {_name(kind)}")
    return value


def _plain(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, (list, dict)):
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value
