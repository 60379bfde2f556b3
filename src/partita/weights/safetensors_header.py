"""The head of a safetensors file, read before anything that it declares is believed."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partita.errors import WeightsCorruptError, one_line

#: demucs, our largest, has 30 kB.
_MOST_HEADER_BYTES = 4_000_000
_MOST_TENSORS = 20_000
#: Of one text: what DiffQ quantised has a long description.
_MOST_CHARS = 2_000_000
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
#: Bytes of a number of each type that weights are kept in.
_SIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8}


@dataclass(frozen=True)
class Header:
    """What a file of weights says of itself.

    Attributes
    ----------
    metadata : mapping of str to str
    shapes : mapping of str to tuple of int
        Of the tensors, by their names.
    types : mapping of str to str
        ``F32`` and so on, by the tensors' names.
    """

    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]


def read_header(path: Path) -> Header:
    """Read the head of a safetensors file; tensors stay where they are.

    Raises
    ------
    WeightsCorruptError
        It is no regular file, no safetensors file, or declares what is not there.
    """
    try:
        entries, content_bytes = _entries(path)
        metadata = entries.pop(_METADATA, {})
        _check(_are_texts(metadata), "its metadata are not texts")
        _check(len(entries) <= _MOST_TENSORS, f"it holds {len(entries):,} tensors")
        shapes = {name: _shape(name, entry, content_bytes) for name, entry in entries.items()}
        types = {name: entry["dtype"] for name, entry in entries.items()}
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise WeightsCorruptError(
            f"{one_line(path)}: not a readable safetensors file ({reason or one_line(error)})"
        ) from error
    return Header(metadata, shapes, types)


def _entries(path: Path) -> tuple[dict[str, Any], int]:
    """Return the head as it stands there, and the bytes behind it."""
    _check(stat.S_ISREG(path.stat().st_mode), "it is no regular file")  # a pipe would wait forever
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        content_bytes = path.stat().st_size - _LENGTH_BYTES - length
        _check(length > 0 and content_bytes >= 0, "it is cut short, or something else")
        _check(length <= _MOST_HEADER_BYTES, f"its header has {length:,} bytes")
        text = file.read(length)
    entries = json.loads(text, object_pairs_hook=_without_repeats)
    _check(isinstance(entries, dict), "its header is no table")
    return entries, content_bytes


def _shape(name: str, entry: Any, content_bytes: int) -> tuple[int, ...]:
    """Return the shape that an entry says, once it fits the bytes that it says."""
    shown = repr(name[:60])
    _check(isinstance(entry, dict), f"{shown} is no tensor")
    shape, span, kind = entry.get("shape"), entry.get("data_offsets"), entry.get("dtype")
    _check(_are_sizes(shape) and _are_sizes(span) and len(span) == 2, f"{shown} is no tensor")
    _check(isinstance(kind, str) and kind in _SIZES, f"{shown} has type {str(kind)[:20]!r}")
    start, end = span
    _check(start <= end <= content_bytes, f"{shown} is not all there")
    _check(math.prod(shape) * _SIZES[kind] == end - start, f"{shown} has another size")
    return tuple(shape)


def _are_sizes(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= 8
        and all(type(value) is int and 0 <= value < 1 << 48 for value in values)
    )


def _are_texts(values: Any) -> bool:
    return isinstance(values, dict) and all(
        isinstance(value, str) and len(value) <= _MOST_CHARS for value in values.values()
    )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    _check(len(table) == len(pairs), "its header says things twice")
    return table


def _check(condition: bool, fault: str) -> None:
    if not condition:
        raise ValueError(fault)
