"""YAML files of MSST's checkpoints (Music-Source-Separation-Training).

Nothing here imports PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line
from partita.stem_names import is_source_name
from partita.validation import shown, value_fault

_MOST_BYTES = 200_000
#: Limit after the expansion of aliases.
_MOST_EXPANDED = 1_000_000
_TUPLE = "tag:yaml.org,2002:python/tuple"
_RESIDUAL = "residual"
_DEFAULT_RATE = 44100


@dataclass(frozen=True)
class MsstConfig:
    """The content of a YAML file.

    Attributes
    ----------
    origin : str
        The file, for messages; empty: no file.
    values : mapping
        ``audio``, ``model``, ``training``, ``inference``, …
    """

    origin: str
    values: Mapping[str, Any]

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section; empty if it is missing.

        Raises
        ------
        WeightsCorruptError
            It is not a table.
        """
        found = self.values.get(name)
        if found is None:
            return {}
        if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
            raise self.error(f"{name} is not a table")
        return found

    def whole(self, section: str, key: str, default: int | None = None) -> int | None:
        """Return a positive integer; the default if it is missing.

        Raises
        ------
        WeightsCorruptError
            It is another value.
        """
        found = self.section(section).get(key)
        if found is None:
            return default
        if fault := value_fault(f"{section}.{key}", found, int, least=1):
            raise self.error(fault)
        number: int = found
        return number

    def error(self, fault: str) -> WeightsCorruptError:
        """Return an error about this file."""
        return WeightsCorruptError(f"{self.origin or 'configuration'}: {fault}")

    @property
    def sample_rate(self) -> int:
        """In hertz."""
        rate = self.whole("audio", "sample_rate") or self.whole("training", "samplerate")
        return rate or self.whole("model", "sample_rate") or _DEFAULT_RATE

    @property
    def instruments(self) -> tuple[str, ...]:
        """The stems of the training; empty if missing."""
        found = self.section("training").get("instruments")
        if found is None:
            return ()
        if fault := value_fault("training.instruments", found, tuple[str, ...]):
            raise self.error(fault)
        if not found:
            raise self.error("training.instruments is empty")
        return tuple(self._stem_name(name) for name in found)

    @property
    def target(self) -> str | None:
        """The only instrument that is separated; None: all instruments."""
        found = self.section("training").get("target_instrument")
        if found in (None, ""):
            return None
        name = self._stem_name(found)
        if self.instruments and name not in self.instruments:
            raise self.error(f"training.target_instrument {name!r} is not one of its instruments")
        return name

    @property
    def sources(self) -> tuple[str, ...]:
        """The stems; a single one is followed by the rest of the mixture (`has_residual`).

        Raises
        ------
        WeightsCorruptError
            Instruments are missing or repeated.
        """
        instruments, target = self.instruments, self.target
        if len(set(instruments)) < len(instruments):
            raise self.error(f"training.instruments names one twice: {', '.join(instruments)}")
        if not (target or instruments):
            raise self.error("training.instruments is missing: nothing else names the stems")
        one = target or (instruments[0] if len(instruments) == 1 else None)
        if one is None:
            return instruments
        others = [name for name in instruments if name != one]
        return one, others[0] if len(others) == 1 else _RESIDUAL

    @property
    def has_residual(self) -> bool:
        """Whether the last of `sources` is the rest of the mixture."""
        return self.target is not None or len(self.instruments) == 1

    def window(self, default_samples: int, default_count: int = 2) -> tuple[int, int]:
        """Return the samples of a window and of its overlap.

        ``inference.num_overlap`` is the number of windows that cover a sample.

        Raises
        ------
        WeightsCorruptError
            The hop would be zero.
        """
        length = self.whole("inference", "chunk_size") or self.whole("audio", "chunk_size")
        length = length or default_samples
        count = self.whole("inference", "num_overlap") or default_count
        if count > length:
            raise self.error(f"inference.num_overlap {count} exceeds the samples of a window")
        return length, length - length // count

    def _stem_name(self, found: object) -> str:
        """Return a stem's name that is valid as a file name."""
        name = str(found).strip()
        for character in "+/\\. ":
            name = name.replace(character, "_")
        if not isinstance(found, str) or not is_source_name(name):
            raise self.error(f"an instrument is called {shown(found)}")
        return name


def read_config(path: Path) -> MsstConfig:
    """Read a YAML file with the safe loader; Python tuples are allowed, nothing is executed.

    Raises
    ------
    WeightsUnavailableError
        It cannot be read.
    WeightsCorruptError
        It is not a configuration.
    """
    import yaml

    name = one_line(path)
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise WeightsUnavailableError(f"{name}: {one_line(error.strerror or error)}") from error
    if len(text) > _MOST_BYTES:
        raise WeightsCorruptError(f"{name}: too large for a configuration")
    try:
        values = yaml.load(text, Loader=_loader())  # noqa: S506 (a SafeLoader)
        size = _expanded_size(values, {})
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, TypeError) as error:
        raise WeightsCorruptError(f"{name}: not a readable YAML file ({_reason(error)})") from error
    if size > _MOST_EXPANDED:
        raise WeightsCorruptError(f"{name}: too large for a configuration with its aliases")
    if not isinstance(values, Mapping):
        raise WeightsCorruptError(f"{name}: not a configuration (a table of sections)")
    return MsstConfig(name, values)


def _expanded_size(value: object, sizes: dict[int, float]) -> float:
    """Return the size of a value with its aliases expanded, in characters and values.

    Parameters
    ----------
    value : object
    sizes : dict of int to float
        Sizes of known parts by identity; a part that contains itself is infinite.
    """
    if not isinstance(value, Mapping | list | tuple | set):
        return 1 + len(value) if isinstance(value, str | bytes) else 1
    if id(value) not in sizes:
        sizes[id(value)] = math.inf
        parts = [*value, *value.values()] if isinstance(value, Mapping) else value
        sizes[id(value)] = 1 + sum(_expanded_size(part, sizes) for part in parts)
    return sizes[id(value)]


def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """PyYAML's safe loader, and tuples."""

    Loader.add_constructor(_TUPLE, lambda loader, node: tuple(loader.construct_sequence(node)))
    return Loader


def _reason(error: Exception) -> str:
    problem = getattr(error, "problem", None)
    mark = getattr(error, "problem_mark", None)
    reason = one_line(problem or error)[:200]
    return f"line {mark.line + 1}: {reason}" if mark is not None else reason
