"""Checkpoints that were imported under a name with ``partita models import``.

Each is a file of `partita.weights.checkpoint` in the cache. Nothing here imports
PyTorch.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from partita.errors import (
    UnknownNameError,
    UsageError,
    WeightsError,
    WeightsUnavailableError,
    one_line,
)
from partita.files import exists, folded
from partita.weights.cache_folder import cache_folder
from partita.weights.safetensors_header import read_header
from partita.weights.suffixes import CONFIGS, EXTERNAL, SAFETENSORS, UNREAD_PICKLES

UNKNOWN_LICENCE = "unknown"
_MOST_CHARS = 64
#: Letters of any script, without characters of paths, chains and ensembles.
_NAME = re.compile(r"[^\W_][\w.-]*")
_SUFFIXES = (SAFETENSORS, *EXTERNAL, *CONFIGS, *UNREAD_PICKLES, ".json")
#: Device names of Windows, with any suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class ImportedCheckpoint:
    """Facts about an imported checkpoint.

    Attributes
    ----------
    name : str
    path : Path
    model : str
        Name in the model registry; empty if the file is damaged.
    licence : str
    origin : str
        JSON: original file name → SHA-256.
    size : int
        In bytes.
    """

    name: str
    path: Path
    model: str
    licence: str
    origin: str
    size: int


def imported_path(name: str) -> Path:
    """Return the path for a name's checkpoint.

    Raises
    ------
    WeightsUnavailableError
        There is no cache folder.
    """
    return cache_folder() / "imported" / f"{_composed(name)}{SAFETENSORS}"


def imported_checkpoint(name: str) -> Path | None:
    """Return the checkpoint that was imported under a name; None: there is none."""
    if not is_name(name):
        return None
    try:
        path = imported_path(name)
    except WeightsUnavailableError:
        return None
    return path if exists(path) else None


def imported_names() -> list[str]:
    """Return the names of all imported checkpoints in alphabetical order."""
    try:
        found = sorted(cache_folder().glob(f"imported/*{SAFETENSORS}"))
    except (OSError, WeightsUnavailableError):
        return []
    names = [_composed(path.name.removesuffix(SAFETENSORS)) for path in found]
    return [name for name in names if is_name(name)]


def describe_imported(name: str) -> ImportedCheckpoint:
    """Return the facts of an imported checkpoint, even if it is damaged.

    Raises
    ------
    UnknownNameError
        Nothing was imported under that name.
    """
    path = imported_checkpoint(name)
    if path is None:
        raise UnknownNameError("imported model", name, imported_names())
    try:
        size, said = path.stat().st_size, read_header(path).metadata
    except (OSError, WeightsError):
        size, said = 0, {}
    return ImportedCheckpoint(
        name,
        path,
        said.get("model", ""),
        said.get("licence", UNKNOWN_LICENCE),
        said.get("origin", ""),
        size,
    )


def remove_imported(name: str) -> Path:
    """Remove an imported checkpoint; return its path.

    Raises
    ------
    UnknownNameError
        Nothing was imported under that name.
    WeightsUnavailableError
        It cannot be removed.
    """
    path = describe_imported(name).path
    try:
        path.unlink()
    except OSError as error:
        raise WeightsUnavailableError(
            f"{one_line(path)} cannot be removed ({error.strerror}): remove it by hand"
        ) from error
    return path


def is_name(name: str) -> bool:
    """Return whether a name is valid: one part of a path without the suffix of a file."""
    return (
        len(name) <= _MOST_CHARS
        and _NAME.fullmatch(_composed(name)) is not None
        and not name.endswith(".")
        and not name.lower().endswith(_SUFFIXES)
        and _DEVICES.fullmatch(name) is None
    )


def check_new_name(name: str, taken: Iterable[str]) -> None:
    """Check that a name is valid and free.

    Parameters
    ----------
    name : str
    taken : iterable of str
        Names in use, besides those of imported checkpoints. Upper and lower case count as equal, as
        in some file systems.

    Raises
    ------
    UsageError
        It is not valid, or it is taken.
    """
    if not is_name(name):
        raise UsageError(
            f"`name` {one_line(name)[:_MOST_CHARS]}: a name has up to {_MOST_CHARS} letters, "
            "digits, dots, - and _, begins with a letter or digit, and has no suffix of a file"
        )
    for other in imported_names():
        if folded(other) == folded(name):
            raise UsageError(
                f"`name` {name}: {other} is imported already: choose another name, or remove that "
                f"one with partita models remove {other}"
            )
    for other in taken:
        if folded(other) == folded(name):
            raise UsageError(f"`name` {name}: {other} is taken: choose another name")


def _composed(name: str) -> str:
    """Return a name in Unicode's composed form: some file systems decompose it."""
    return unicodedata.normalize("NFC", name)
