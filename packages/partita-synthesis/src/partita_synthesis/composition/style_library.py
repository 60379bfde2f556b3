"""Styles of music, read from ``style_files``.

How the files are written is told in ``style_files/common.toml``, which also holds whatever a
style does not say itself.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from partita.errors import UnknownNameError, UsageError
from partita_synthesis.composition.drum_strokes import PIECES, STEPS_PER_BEAT, STROKES
from partita_synthesis.composition.harmony import check_numerals
from partita_synthesis.composition.style_schema import (
    COLOURS,
    FILLS,
    MODES,
    SECTION_KINDS,
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
from partita_synthesis.instruments import instruments
from partita_synthesis.score import ROLES

_FILES = Path(__file__).parent / "style_files"
_COMMON = "common"
_LETTERS = {
    "bass": "Rr8573daTx-.",
    "comping": "Xxuom-.",
    "riffs": "Xxm-.",
    "arpeggios": "0123456789-.",
}


def style_names() -> tuple[str, ...]:
    """Return the names of all styles, by alphabet."""
    return tuple(sorted(path.stem for path in _FILES.glob("*.toml") if path.stem != _COMMON))


@cache
def load_style(name: str) -> Style:
    """Return a style by name.

    Raises
    ------
    UnknownNameError
        There is no style of that name.
    UsageError
        Its file makes no sense.
    """
    if name not in style_names():
        raise UnknownNameError("style", name, style_names())
    try:
        table = tomllib.loads((_FILES / f"{name}.toml").read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"style {name}: not readable as TOML: {error}") from error
    return parse_style(name, table)


@cache
def _common() -> dict[str, Any]:
    return tomllib.loads((_FILES / f"{_COMMON}.toml").read_text("utf-8"))


def parse_style(name: str, table: Mapping[str, Any]) -> Style:
    """Make a style of the table that a file holds; ``common.toml`` adds what it lacks.

    Raises
    ------
    UsageError
        Something is missing, unknown or out of range; the message says what and where.
    """
    common = _common()
    unknown = sorted(table.keys() - Style.__dataclass_fields__.keys())
    if unknown:
        raise UsageError(f"style {name}: unknown key {unknown[0]!r}")
    full = {**common, **table}
    absent = sorted(Style.__dataclass_fields__.keys() - full.keys() - {"name"})
    if absent:
        raise UsageError(f"style {name}: {absent[0]} is missing")
    # a song may be asked for in a mode that the style does not favour
    full["progressions"] = {**common["progressions"], **full["progressions"]}
    try:
        return _read_style(name, full)
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        raise UsageError(f"style {name}: a value of the wrong kind: {error!r}") from error


def _read_style(name: str, table: Mapping[str, Any]) -> Style:
    where = f"style {name}"
    beats = table["beats_per_bar"]
    if beats not in (3, 4):
        raise UsageError(f"{where}: beats_per_bar {beats} is neither 3 nor 4")
    bar = beats * STEPS_PER_BEAT
    patterns = {
        key: tuple(_pattern(f"{where}: {key}", line, _LETTERS[key], bar) for line in table[key])
        for key in _LETTERS
    }
    kits = {
        key: tuple(_groove(f"{where}: {key}", line, bar) for line in table[key])
        for key in ("grooves", "percussion")
    }
    empty = [key for key, value in (*patterns.items(), *kits.items()) if not value]
    if empty:
        raise UsageError(f"{where}: {empty[0]} is empty")
    swing, tune, feel = table["swing"], table["tune"], table["feel"]
    if swing["unit"] not in SWING_UNITS:
        raise UnknownNameError("unit of swing", swing["unit"], SWING_UNITS)
    return Style(
        name=name,
        weight=_number(f"{where}: weight", table["weight"], 0.01, 100),
        tempo_bpm=_span(f"{where}: tempo_bpm", table["tempo_bpm"], 30, 300),
        beats_per_bar=beats,
        swing=Swing(
            SWING_UNITS[swing["unit"]], _span(f"{where}: swing.ratio", swing["ratio"], 0.5, 0.75)
        ),
        energy=_span(f"{where}: energy", table["energy"], 0, 1),
        modes=_weights(f"{where}: modes", table["modes"], MODES),
        colours=_weights(f"{where}: colours", table["colours"], COLOURS),
        progressions=_progressions(where, table["progressions"]),
        surprises=_number(f"{where}: surprises", table["surprises"], 0, 1),
        key_change=_number(f"{where}: key_change", table["key_change"], 0, 1),
        forms=tuple(_form(where, form) for form in table["forms"]),
        fills=_weights(f"{where}: fills", table["fills"], FILLS),
        tune=Tune(**{key: _number(f"{where}: tune.{key}", tune[key], 0, 1) for key in tune}),
        feel=Feel(**{key: _number(f"{where}: feel.{key}", feel[key], 0, 60) for key in feel}),
        band={role: _seat(where, role, seat) for role, seat in table["band"].items()},
        grooves=kits["grooves"],
        percussion=kits["percussion"],
        bass=patterns["bass"],
        comping=patterns["comping"],
        riffs=patterns["riffs"],
        arpeggios=patterns["arpeggios"],
    )


def _number(where: str, value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise UsageError(f"{where}: {value} is not from {least:g} to {most:g}")
    return float(value)


def _span(where: str, value: Sequence[float], least: float, most: float) -> tuple[float, float]:
    if len(value) != 2 or not least <= value[0] <= value[1] <= most:
        raise UsageError(f"{where}: {value} is not [least, most] within {least:g} to {most:g}")
    return float(value[0]), float(value[1])


def _weights(where: str, value: Mapping[str, float], known: Sequence[str]) -> dict[str, float]:
    for name, weight in value.items():
        if name not in known:
            raise UnknownNameError(f"name in {where}", name, known)
        _number(f"{where}.{name}", weight, 0, math.inf)
    if not sum(value.values()) > 0:
        raise UsageError(f"{where}: no weight is above 0")
    return {name: float(weight) for name, weight in value.items()}


def _letters(where: str, text: str, alphabet: str, bar: int) -> str:
    letters = text.replace(" ", "").replace("|", "")
    strange = sorted(set(letters) - set(alphabet))
    if strange:
        raise UsageError(f"{where}: {text!r} has {strange[0]!r}, which is none of {alphabet}")
    if not letters or len(letters) % bar:
        raise UsageError(
            f"{where}: {text!r} has {len(letters)} steps; a bar has {bar}, so write {bar} "
            f"or {2 * bar}"
        )
    return letters


def _pattern(where: str, line: str | Mapping[str, Any], alphabet: str, bar: int) -> Pattern:
    table: Mapping[str, Any] = {"pattern": line} if isinstance(line, str) else line
    text = table["pattern"]
    if not (alphabet == _LETTERS["bass"] and text in WORKED_OUT):
        text = _letters(where, text, alphabet, bar)
    if text[0] == "-":
        raise UsageError(f"{where}: {text!r} begins by holding a note that never began")
    energy = _span(f"{where}: energy", table.get("energy", (0, 1)), 0, 1)
    return Pattern(text, energy, _number(f"{where}: weight", table.get("weight", 1), 0, 100))


def _groove(where: str, line: Mapping[str, Any], bar: int) -> Groove:
    pieces = {key: text for key, text in line.items() if key not in ("energy", "weight")}
    for piece in pieces:
        if piece not in PIECES:
            raise UnknownNameError(f"piece in {where}", piece, PIECES)
    texts = {
        piece: _letters(f"{where}: {piece}", text, "".join(STROKES), bar)
        for piece, text in pieces.items()
    }
    if not texts:
        raise UsageError(f"{where}: a groove without pieces")
    steps = max(map(len, texts.values()))
    hits = sorted(
        (step, PIECES[piece], *STROKES[text[step % len(text)]])
        for piece, text in texts.items()
        for step in range(steps)
        if text[step % len(text)] != "."
    )
    energy = _span(f"{where}: energy", line.get("energy", (0, 1)), 0, 1)
    weight = _number(f"{where}: weight", line.get("weight", 1), 0, 100)
    return Groove(steps, tuple(hits), energy, weight)


def _progressions(
    where: str, table: Mapping[str, Mapping[str, Sequence[str]]]
) -> dict[str, dict[str, tuple[str, ...]]]:
    for mode, kinds in table.items():
        if mode not in MODES:
            raise UnknownNameError(f"mode in {where}", mode, MODES)
        for kind, progressions in kinds.items():
            if kind not in SECTION_KINDS:
                raise UnknownNameError(f"kind of section in {where}", kind, SECTION_KINDS)
            for numerals in progressions:
                check_numerals(f"{where}: progressions.{mode}.{kind}", numerals)
        if not all(kinds.get(kind) for kind in ("verse", "chorus")):
            raise UsageError(f"{where}: progressions.{mode} need some of verse and of chorus")
    return {
        mode: {kind: tuple(lines) for kind, lines in kinds.items()} for mode, kinds in table.items()
    }


def _form(where: str, text: str) -> tuple[str, ...]:
    kinds = tuple(text.split())
    for kind in kinds:
        if kind not in SECTION_KINDS:
            raise UnknownNameError(f"kind of section in {where}: forms", kind, SECTION_KINDS)
    if "chorus" not in kinds or "verse" not in kinds:
        raise UsageError(f"{where}: the form {text!r} lacks a verse or a chorus")
    return kinds


def _seat(where: str, role: str, table: Mapping[str, Any]) -> BandSeat:
    if role not in ROLES:
        raise UnknownNameError(f"role in {where}: band", role, ROLES)
    names = table["instruments"]
    known = instruments()
    for name in names:
        if name not in known:
            raise UnknownNameError(f"instrument in {where}: band.{role}", name, known)
        if role not in known[name].roles:
            raise UsageError(f"{where}: band.{role}: {name} does not play {role}")
    return BandSeat(
        probability=_number(f"{where}: band.{role}.probability", table["probability"], 0, 1),
        most=int(_number(f"{where}: band.{role}.most", table.get("most", 1), 1, 8)),
        instruments=_weights(f"{where}: band.{role}.instruments", names, tuple(known)),
    )
