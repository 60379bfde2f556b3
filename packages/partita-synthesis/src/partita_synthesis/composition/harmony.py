"""Roman numerals, chords, and the harmony of a song."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from partita.errors import UsageError

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_DEGREES = ("i", "ii", "iii", "iv", "v", "vi", "vii")
_NUMERAL = re.compile(
    r"(?P<shift>[b#]?)(?P<degree>VII|VI|V|IV|III|II|I|vii|vi|v|iv|iii|ii|i)"
    r"(?P<quality>[o+]?)(?P<extra>maj7|7|9|6|sus2|sus4|add9)?"
    r"(?:/(?P<of_shift>[b#]?)(?P<of>VII|VI|V|IV|III|II|I|vii|vi|v|iv|iii|ii|i))?"
)
#: Semitones above a root, from those that fit its chord best to those that fit least.
_FITTING = (0, 7, 5, 2, 9, 4, 3, 11, 10, 8, 6, 1)
_EXTRAS = {"7": (10,), "maj7": (11,), "9": (10, 14), "6": (9,), "add9": (14,)}


@dataclass(frozen=True, slots=True)
class Harmony:
    """A chord at its place in the song.

    Attributes
    ----------
    start, length : float
        In beats.
    root : int
        Pitch class.
    pitch_classes : tuple of int
        The root first, then third, fifth and what is above.
    scale : tuple of int
        Seven pitch classes that go with it, ascending.
    tonic : int
        Pitch class of the key that rules here.
    """

    start: float
    length: float
    root: int
    pitch_classes: tuple[int, ...]
    scale: tuple[int, ...]
    tonic: int

    @property
    def end(self) -> float:
        """Where the next one starts."""
        return self.start + self.length


@cache
def spell(numeral: str, mode: str, colour: str) -> tuple[int, tuple[int, ...]]:
    """Return root and pitch classes of a numeral, in the key of C.

    Degrees are those of the mode's own scale: VI in C minor is A flat. ``X/Y`` is X in the major
    key of Y.

    Parameters
    ----------
    numeral : str
    mode : str
        ``"major"`` or ``"minor"``.
    colour : str
        What to add to plain chords: ``"seventh"``, ``"ninth"``, or nothing.
    """
    found = _NUMERAL.fullmatch(numeral)
    if found is None:
        raise UsageError(f"{numeral!r} is no Roman numeral")
    scale = SCALES[mode]
    base = 0
    if found["of"]:
        base = scale[_DEGREES.index(found["of"].lower())] + _shift(found["of_shift"])
        scale = SCALES["major"]
    degree = found["degree"]
    root = (base + scale[_DEGREES.index(degree.lower())] + _shift(found["shift"])) % 12
    third = 4 if degree.isupper() else 3
    fifth = {"o": 6, "+": 8}.get(found["quality"], 7)
    if found["quality"] == "o":
        third = 3
    extra = found["extra"] or ""
    if extra.startswith("sus"):
        third = 5 if extra == "sus4" else 2
    above = _EXTRAS.get(extra, ())
    if not extra and colour in ("seventh", "ninth"):
        tones = {(base + tone) % 12 for tone in scale}
        above = _colour(root, fifth, tones, with_ninth=colour == "ninth")
    return root, tuple((root + interval) % 12 for interval in (0, third, fifth, *above))


def _shift(accidental: str) -> int:
    return {"b": -1, "#": 1}.get(accidental, 0)


def _colour(root: int, fifth: int, tones: set[int], *, with_ninth: bool) -> tuple[int, ...]:
    candidates = (9, 10) if fifth == 6 else (10, 11)
    inside = [interval for interval in candidates if (root + interval) % 12 in tones]
    seventh = inside[0] if inside else 10
    if with_ninth and fifth == 7 and (root + 2) % 12 in tones:
        return seventh, 14
    return (seventh,)


@cache
def scale_around(pitch_classes: tuple[int, ...], tonic: int, mode: str) -> tuple[int, ...]:
    """Return the mode's scale, bent so that it holds the chord, which begins with its root."""
    scale = {(tonic + tone) % 12 for tone in SCALES[mode]}
    for tone in pitch_classes:
        if tone in scale:
            continue
        # of the two neighbours of a foreign tone goes the one that fits the chord less
        near = [(tone + step) % 12 for step in (-1, 1)]
        near = [other for other in near if other in scale and other not in pitch_classes]
        if near:
            root = pitch_classes[0]
            scale.remove(max(near, key=lambda other: _FITTING.index((other - root) % 12)))
        scale.add(tone)
    return tuple(sorted(scale))


def place_chord(
    numeral: str, start: float, length: float, *, tonic: int, mode: str, colour: str
) -> Harmony:
    """Put the chord of a numeral in its place."""
    root, tones = spell(numeral, mode, colour)
    moved = tuple((tone + tonic) % 12 for tone in tones)
    scale = scale_around(moved, tonic, mode)
    return Harmony(start, length, (root + tonic) % 12, moved, scale, tonic)


def split_bar(words: Sequence[str], beats: int) -> list[tuple[int, int, str]]:
    """Return start, length (in beats) and numeral of each chord of a bar, the first the longest."""
    words = words[:beats]
    each, more = divmod(beats, len(words))
    parts, start = [], 0
    for index, word in enumerate(words):
        length = each + (index < more)
        parts.append((start, length, word))
        start += length
    return parts
