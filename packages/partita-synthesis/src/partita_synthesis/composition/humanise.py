"""From written notes to played ones: tempo changes, swing, errors of timing and velocity."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from partita_synthesis.composition.plan import Event, Plan
from partita_synthesis.score import Note

_Floats = npt.NDArray[np.float64]
_SHORTEST_S = 0.02
#: Players who cannot sound two notes at once.
MONOPHONIC = ("bass", "lead", "vocals")
#: Roles that are steadier (or less so) than the style's feel.
_STEADINESS = {"drums": 0.7, "percussion": 0.9, "bass": 0.8, "vocals": 1.7, "lead": 1.3}


@dataclass(frozen=True)
class Clock:
    """Where the beats fall.

    Attributes
    ----------
    beats_s : array of float
        Seconds of beat 0, 1, …, some beyond the end of the song.
    swing : float
        Ratio of a swung pair's first note: 0.5 is straight.
    unit : float
        Length in beats of what is swung.
    """

    beats_s: _Floats
    swing: float
    unit: float

    def seconds(self, beats: _Floats) -> _Floats:
        """Return when written beats are played."""
        pair = 2 * self.unit
        whole = np.floor(beats / pair + 1e-9) * pair
        within = (beats - whole) / self.unit
        swung = np.where(
            within < 1, within * self.swing, self.swing + (within - 1) * (1 - self.swing)
        )
        played = whole + swung * pair
        return np.interp(played, np.arange(len(self.beats_s)), self.beats_s)


def draw_clock(plan: Plan, rng: Generator) -> Clock:
    """Draw how the tempo wanders; on average over the song it is the plan's."""
    beats = int(plan.length)
    drift = plan.style.feel.drift_percent / 100
    # a wave of a few bars and one of many, each of its own phase
    phases, places = rng.random(2) * 2 * np.pi, np.arange(beats)
    wave = np.sin(places / 11 + phases[0]) + np.sin(places / 47 + phases[1])
    lengths = 60 / plan.tempo_bpm * (1 + drift / 2 * wave)
    lengths *= 60 / plan.tempo_bpm * beats / lengths.sum()
    beats_s = np.concatenate([[0.0], np.cumsum(lengths)])
    tail = beats_s[-1] + np.arange(1, 17) * 60 / plan.tempo_bpm
    return Clock(np.concatenate([beats_s, tail]), plan.swing, plan.style.swing.unit_beats)


def perform(
    plan: Plan,
    clock: Clock,
    role: str,
    events: Sequence[Event],
    duration_s: float,
    rng: Generator,
) -> list[Note]:
    """Return the notes as played, by start.

    Parameters
    ----------
    plan : Plan
    clock : Clock
    role : str
    events : sequence of Event
        In any order.
    duration_s : float
        Notes that would start later are left out.
    rng : Generator
    """
    if not events:
        return []
    beats = np.array([event.beat for event in events])
    ends = beats + np.array([event.length for event in events])
    feel = plan.style.feel
    timing = feel.timing_ms / 1000 * _STEADINESS.get(role, 1.0)
    written_s = clock.seconds(beats)
    # a habit of coming early or late, and an error that differs from note to note
    habit = float(np.clip(rng.normal(0, timing * 0.6), -0.03, 0.03))
    slips = np.clip(rng.normal(0, 1, len(events)), -2.5, 2.5) * timing
    starts = written_s + habit + slips + [event.delay_s for event in events]
    starts = np.where(
        written_s < duration_s, np.clip(starts, 0, np.nextafter(duration_s, 0)), np.inf
    )
    lengths = np.maximum(clock.seconds(ends) - written_s, _SHORTEST_S)
    energies = np.array([bar.energy for bar in plan.bars])
    bars = np.minimum((beats // plan.beats_per_bar).astype(int), len(plan.bars) - 1)
    loud = np.array([event.velocity for event in events]) * (0.78 + 0.34 * energies[bars]) * 115
    loud += np.clip(rng.normal(0, 1, len(events)), -2.5, 2.5) * feel.velocity
    velocities = np.clip(np.rint(loud), 1, 127).astype(int)
    order = np.argsort(starts, kind="stable")
    order = order[starts[order] < duration_s]
    if role in MONOPHONIC and len(order):
        order, lengths = _one_at_a_time(order, starts, lengths)
    notes = zip(
        order.tolist(),
        starts[order].tolist(),
        lengths[order].tolist(),
        velocities[order].tolist(),
        strict=True,
    )
    played = [
        Note(start, length, events[index].pitch, velocity, events[index].syllable)
        for index, start, length, velocity in notes
    ]
    return _release_before_striking(played)


def _one_at_a_time(
    order: npt.NDArray[np.int_], starts: _Floats, lengths: _Floats
) -> tuple[npt.NDArray[np.int_], _Floats]:
    """Leave out notes right on top of others, and end each before the next starts."""
    apart = np.append(np.diff(starts[order]) >= 2 * _SHORTEST_S, True)
    order = order[apart]
    until_next = np.append(np.diff(starts[order]), np.inf)
    cut = lengths.copy()
    cut[order] = np.minimum(lengths[order], until_next)
    return order, cut


def _release_before_striking(notes: list[Note]) -> list[Note]:
    """End notes before the same key is struck again."""
    following: dict[int, float] = {}
    released: list[Note] = []
    for note in reversed(notes):
        limit = following.get(note.pitch, np.inf) - note.start_s
        following[note.pitch] = note.start_s
        if limit < 1e-3:  # the same key twice at once
            continue
        if note.duration_s > limit:
            note = dataclasses.replace(note, duration_s=limit)  # noqa: PLW2901 (from here on it is shorter)
        released.append(note)
    released.reverse()
    return released
