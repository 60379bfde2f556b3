"""Settings that files and people give: dataclasses that check themselves, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from partita.errors import UsageError, one_line
from partita.validation import check_keys, find_fault

_BYTES_MAX = 1 << 24  # of a file of settings


class Settings:
    """Base of frozen dataclasses of settings: their fields say what values may be."""

    def __post_init__(self) -> None:
        fault = find_fault(type(self), vars(self))
        self.require(fault is None, fault or "")

    def require(self, condition: bool, message: str) -> None:
        """Raise `UsageError` unless a condition holds."""
        if not condition:
            raise UsageError(message)


_Settings = TypeVar("_Settings")


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


def settings_from(values: Mapping[str, Any], cls: type[_Settings], where: str) -> _Settings:
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
        A value of the wrong type, or out of range.
    UnknownNameError
        A key that the dataclass does not have.
    """
    check_keys(values, cls, f"setting in {where}")
    if fault := find_fault(cls, values):
        raise UsageError(f"{where}: {fault}")
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
