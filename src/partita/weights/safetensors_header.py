"""Headers of safetensors files, validated before anything is allocated."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partita.errors import WeightsCorruptError, one_line

#: demucs's header, our largest, has 30 kB.
_MOST_HEADER_BYTES = 4_000_000
_MOST_TENSORS = 20_000
#: Of one text; the description of quantised states is long.
_MOST_CHARS = 2_000_000
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
#: Bytes per value of each type.
_SIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8}


@dataclass(frozen=True)
class Header:
    """The header of a safetensors file.

    Attributes
    ----------
    metadata : mapping of str to str
    shapes : mapping of str to tuple of int
        Tensor name → shape.
    types : mapping of str to str
        Tensor name → ``F32`` and so on.
    """

    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file without its tensors.

    Raises
    ------
    WeightsCorruptError
        It is not a regular file, not a safetensors file, or declares more than it holds.
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
    """Return the entries of the header, and the number of bytes after it."""
    _check(
        stat.S_ISREG(path.stat().st_mode), "it is not a regular file"
    )  # a pipe would wait forever
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        content_bytes = path.stat().st_size - _LENGTH_BYTES - length
        _check(length > 0 and content_bytes >= 0, "it is cut short or another kind of file")
        _check(length <= _MOST_HEADER_BYTES, f"its header has {length:,} bytes")
        text = file.read(length)
    entries = json.loads(text, object_pairs_hook=_without_repeats)
    _check(isinstance(entries, dict), "its header is not a table")
    return entries, content_bytes


def _shape(name: str, entry: Any, content_bytes: int) -> tuple[int, ...]:
    """Return the shape of an entry after checking it against the entry's bytes."""
    shown = repr(name[:60])
    _check(isinstance(entry, dict), f"{shown} is not a tensor")
    shape, span, kind = entry.get("shape"), entry.get("data_offsets"), entry.get("dtype")
    _check(_are_sizes(shape) and _are_sizes(span) and len(span) == 2, f"{shown} is not a tensor")
    _check(isinstance(kind, str) and kind in _SIZES, f"{shown} has type {str(kind)[:20]!r}")
    start, end = span
    _check(start <= end <= content_bytes, f"{shown} is incomplete")
    _check(
        math.prod(shape) * _SIZES[kind] == end - start,
        f"{shown} has a size that contradicts its shape",
    )
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
    _check(len(table) == len(pairs), "its header has an entry twice")
    return table


def _check(condition: bool, fault: str) -> None:
    if not condition:
        raise ValueError(fault)
