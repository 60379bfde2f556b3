"""The table of instruments, and the stems they can belong to."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

_TABLE = Path(__file__).parent / "instruments.toml"


@dataclass(frozen=True)
class Instrument:
    """A line of ``instruments.toml``.

    Attributes
    ----------
    name : str
    program : int
        General MIDI's, 0 to 127; of drums, the kit; -1 of singers.
    is_drums : bool
    words : tuple of str
        What a stem that holds it may be called, its own name first.
    lowest, highest : int
        MIDI keys.
    roles : tuple of str
        Of `partita_synthesis.score.ROLES`.
    synthesis : str
        Which of the own synthesisers can play it: ``bass``, ``lead``, ``pad``, ``drums``,
        ``voice``, or none.
    """

    name: str
    program: int
    is_drums: bool
    words: tuple[str, ...]
    lowest: int
    highest: int
    roles: tuple[str, ...]
    synthesis: str = ""


@cache
def instruments() -> Mapping[str, Instrument]:
    """Return all instruments by name, in the order of the table."""
    table = tomllib.loads(_TABLE.read_text("utf-8"))
    return MappingProxyType(
        {
            name: Instrument(
                name=name,
                program=line.get("program", -1),
                is_drums=line.get("is_drums", False),
                words=(name, *line["words"]),
                lowest=line["range"][0],
                highest=line["range"][1],
                roles=tuple(line["roles"]),
                synthesis=line.get("synthesis", ""),
            )
            for name, line in table.items()
        }
    )
