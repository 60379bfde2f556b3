"""The form of a song: its sections, how long they are, and how much goes on in them."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.random import Generator

from partita_synthesis.composition.random_choice import choose, happens, pick, uniform
from partita_synthesis.composition.style_schema import Style

_BARS = {
    "intro": 4,
    "verse": 8,
    "prechorus": 4,
    "chorus": 8,
    "bridge": 8,
    "solo": 8,
    "breakdown": 4,
    "outro": 4,
}
_ENERGY = {
    "intro": 0.3,
    "verse": 0.48,
    "prechorus": 0.65,
    "chorus": 0.92,
    "bridge": 0.5,
    "solo": 0.8,
    "breakdown": 0.18,
    "outro": 0.4,
}
#: Where an excerpt begins: the songs of a training last seconds, which are seldom an intro.
_BEGINNINGS = {
    "intro": 0.4,
    "verse": 3.0,
    "prechorus": 1.0,
    "chorus": 3.0,
    "bridge": 1.0,
    "solo": 1.0,
    "breakdown": 0.6,
    "outro": 0.2,
}
#: Songs of fewer bars are always excerpts; those of more than the second number never are.
EXCERPT_BARS = (20, 32)


@dataclass(frozen=True, slots=True)
class FormSection:
    """A section, or the part of it that the song contains.

    Attributes
    ----------
    kind : str
    first : int
        Bars before the song begins, where it begins within the section.
    bars : int
        Bars in the song.
    whole : int
        Bars of the whole section.
    energy : float
        0 to 1.
    """

    kind: str
    first: int
    bars: int
    whole: int
    energy: float


def draw_form(style: Style, bars: int, rng: Generator) -> tuple[list[FormSection], bool]:
    """Return sections of so many bars together, and whether the song comes to an end in them."""
    form = list(choose(rng, style.forms))
    lift = uniform(rng, -0.08, 0.08)
    fewest, most = EXCERPT_BARS
    if bars < fewest or (bars < most and happens(rng, 0.5)):
        pieces, is_whole = _excerpt(form, bars, rng), False
    else:
        pieces, is_whole = _fit(form, bars, rng), True
    low, high = style.energy
    seen: dict[str, int] = {}
    sections = []
    for kind, first, length, whole in pieces:
        times = seen.get(kind, 0)
        seen[kind] = times + 1
        energy = _ENERGY[kind] + lift + 0.05 * min(times, 2) + uniform(rng, -0.04, 0.04)
        energy = min(max(low + (high - low) * energy, 0.0), 1.0)
        sections.append(FormSection(kind, first, length, whole, energy))
    return sections, is_whole


def _excerpt(form: list[str], bars: int, rng: Generator) -> list[tuple[str, int, int, int]]:
    start = pick(rng, {index: _BEGINNINGS[kind] for index, kind in enumerate(form)})
    first = choose(rng, range(0, _BARS[form[start]], 2)) if happens(rng, 0.4) else 0
    while start and sum(_BARS[kind] for kind in form[start:]) - first < bars:
        start, first = start - 1, 0  # the song would be over: begin earlier
    pieces = []
    left = bars
    while left > 0:
        kind = form[start] if start < len(form) else "chorus"
        length = min(left, _BARS[kind] - first)
        pieces.append((kind, first, length, _BARS[kind]))
        left -= length
        first, start = 0, start + 1
    return pieces


def _fit(form: list[str], bars: int, rng: Generator) -> list[tuple[str, int, int, int]]:
    middle = form[1:-1] or form
    while sum(_BARS[kind] for kind in form) + 16 < bars:  # long songs go round again
        form = [*form[:-1], *middle, form[-1]]
    lengths = [_BARS[kind] for kind in form]
    if sum(lengths) > bars * 1.3:
        lengths = [length // 2 for length in lengths]
    while sum(lengths) > bars and len(form) > 1:
        last_chorus = len(form) - 1 - form[::-1].index("chorus")
        victims = [index for index in range(len(form)) if index != last_chorus]
        victim = choose(rng, victims)
        del form[victim], lengths[victim]
    while bars - sum(lengths) >= 4:
        lengths[choose(rng, range(len(form)))] += 4
    lengths[-1] += bars - sum(lengths)
    return [(kind, 0, length, length) for kind, length in zip(form, lengths, strict=True)]
