"""Styles of music, read from ``style_files``.

``style_files/common.toml`` says how the files are written, and holds what a style does not say
itself. A test checks every file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from partita.errors import UnknownNameError
from partita_synthesis.composition.drum_strokes import PIECES, STROKES
from partita_synthesis.composition.style_schema import (
    SWING_UNITS,
    WORKED_OUT,
    BandSeat,
    Feel,
    Groove,
    Pattern,
    Style,
    Swing,
    Tune,
)

_FILES = Path(__file__).parent / "style_files"
_COMMON = "common"


def style_names() -> tuple[str, ...]:
    """Return the names of all styles, sorted."""
    return tuple(sorted(path.stem for path in _FILES.glob("*.toml") if path.stem != _COMMON))


@cache
def load_style(name: str) -> Style:
    """Return a style by name.

    Raises
    ------
    UnknownNameError
        There is no style of that name.
    """
    if name not in style_names():
        raise UnknownNameError("style", name, style_names())
    common, own = (
        tomllib.loads((_FILES / f"{stem}.toml").read_text("utf-8")) for stem in (_COMMON, name)
    )
    table = common | own
    # a song may be asked for in a mode that the style does not favour
    table["progressions"] = common["progressions"] | own.get("progressions", {})
    return Style(**{"name": name} | table | _parsed(table))


def _parsed(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not in a file as they are in `Style`."""
    swing = table["swing"]
    return {
        "tempo_bpm": tuple(table["tempo_bpm"]),
        "energy": tuple(table["energy"]),
        "swing": Swing(SWING_UNITS[swing["unit"]], tuple(swing["ratio"])),
        "progressions": {
            mode: {kind: tuple(lines) for kind, lines in kinds.items()}
            for mode, kinds in table["progressions"].items()
        },
        "forms": tuple(tuple(form.split()) for form in table["forms"]),
        "tune": Tune(**table["tune"]),
        "feel": Feel(**table["feel"]),
        "band": {role: BandSeat(**{"most": 1} | seat) for role, seat in table["band"].items()},
        **{key: tuple(map(_groove, table[key])) for key in ("grooves", "percussion")},
        **{
            key: tuple(map(_pattern, table[key]))
            for key in ("bass", "comping", "riffs", "arpeggios")
        },
    }


def _pattern(line: str | Mapping[str, Any]) -> Pattern:
    table: Mapping[str, Any] = {"pattern": line} if isinstance(line, str) else line
    text = table["pattern"] if table["pattern"] in WORKED_OUT else _letters(table["pattern"])
    return Pattern(text, tuple(table.get("energy", (0.0, 1.0))), table.get("weight", 1.0))


def _groove(line: Mapping[str, Any]) -> Groove:
    texts = {
        PIECES[piece]: _letters(text)
        for piece, text in line.items()
        if piece not in ("energy", "weight")
    }
    steps = max(map(len, texts.values()))
    hits = sorted(
        (step, key, *STROKES[text[step % len(text)]])
        for key, text in texts.items()
        for step in range(steps)
        if text[step % len(text)] != "."
    )
    energy = tuple(line.get("energy", (0.0, 1.0)))
    return Groove(steps, tuple(hits), energy, line.get("weight", 1.0))


def _letters(text: str) -> str:
    return text.replace(" ", "").replace("|", "")
