"""Grooves of a song: which one each section has, and which of its possible hits are played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from numpy.random import Generator

from partita_synthesis.composition.drum_strokes import PIECES, STEPS_PER_BEAT
from partita_synthesis.composition.form import FormSection
from partita_synthesis.composition.random_choice import happens, pick
from partita_synthesis.composition.style_schema import Groove, Pattern, Style

_KICKS = (PIECES["kick"], PIECES["second_kick"])
_P = TypeVar("_P", Groove, Pattern)
#: How many bars pass before a groove repeats to the letter.
_CELL_BARS = 4


@dataclass(frozen=True)
class Cell:
    """A groove whose optional hits are decided.

    Attributes
    ----------
    bars : tuple of tuple of (float, int, float)
        For each bar its hits: beat within the bar, General MIDI key, velocity from 0 to 1.
    """

    bars: tuple[tuple[tuple[float, int, float], ...], ...]

    def bar(self, index: int) -> tuple[tuple[float, int, float], ...]:
        """Return the hits of a bar of the section."""
        return self.bars[index % len(self.bars)]

    def kicks(self, index: int) -> tuple[float, ...]:
        """Return the beats of a bar where the bass drum sounds."""
        return self._kicks[index % len(self.bars)]

    @cached_property
    def _kicks(self) -> tuple[tuple[float, ...], ...]:
        return tuple(
            tuple(sorted({beat for beat, key, _ in bar if key in _KICKS})) for bar in self.bars
        )


def suiting(patterns: Sequence[_P], energy: float, rng: Generator) -> _P:
    """Draw one of the patterns that suit an energy; the nearest where none does."""

    def distance(pattern: _P) -> float:
        low, high = pattern.energy
        return max(low - energy, energy - high, 0.0)

    least = min(map(distance, patterns))
    near = {
        index: pattern.weight
        for index, pattern in enumerate(patterns)
        if distance(pattern) <= least
    }
    return patterns[pick(rng, near)]


def draw_cells(style: Style, sections: Sequence[FormSection], rng: Generator) -> list[Cell]:
    """Draw the drums of each section; those of a kind have the same groove."""
    known: dict[str, Cell] = {}
    for section in sections:
        if section.kind not in known:
            groove = suiting(style.grooves, section.energy, rng)
            known[section.kind] = draw_cell(groove, style.beats_per_bar, rng)
    return [known[section.kind] for section in sections]


def draw_cell(groove: Groove, beats_per_bar: int, rng: Generator) -> Cell:
    """Draw which of a groove's hits are played: mostly the same in each of its repeats."""
    bar_steps = beats_per_bar * STEPS_PER_BEAT
    first = [happens(rng, hit[3]) for hit in groove.hits]
    bars: list[tuple[tuple[float, int, float], ...]] = []
    while len(bars) < _CELL_BARS:
        played = [
            happens(rng, hit[3]) if happens(rng, 0.2) else was
            for hit, was in zip(groove.hits, first, strict=True)
        ]
        hits = [hit for hit, plays in zip(groove.hits, played, strict=True) if plays]
        bars += [
            tuple(
                ((step - start) / STEPS_PER_BEAT, key, velocity)
                for step, key, velocity, _ in hits
                if start <= step < start + bar_steps
            )
            for start in range(0, groove.steps, bar_steps)
        ]
    return Cell(tuple(bars))
