"""Drummers and percussionists."""

from __future__ import annotations

from numpy.random import Generator

from partita_synthesis.composition.drum_strokes import PIECES
from partita_synthesis.composition.grooves import Cell, draw_cell, suiting
from partita_synthesis.composition.plan import Bar, Event, Plan
from partita_synthesis.composition.random_choice import choose, happens, pick

_KICK, _SNARE, _CRASH = PIECES["kick"], PIECES["snare"], PIECES["crash"]
_HATS = (PIECES["closed_hat"], PIECES["pedal_hat"], PIECES["open_hat"])
_TOMS = tuple(PIECES[name] for name in ("high_tom", "high_mid_tom", "low_tom", "high_floor_tom"))
_HIT_BEATS = 0.2
#: Pieces that calm sections may do with.
_REDUCED = (
    (_KICK,),
    _HATS,
    (_KICK, *_HATS),
    (*_HATS, PIECES["rim"]),
    (_KICK, PIECES["ride"], PIECES["rim"]),
)


def play_drums(plan: Plan, rng: Generator) -> list[Event]:
    """Return all hits of a drummer."""
    events: list[Event] = []
    reduced = {
        kind: choose(rng, _REDUCED) for kind in ("intro", "breakdown", "outro") if happens(rng, 0.5)
    }
    previous: Bar | None = None
    for bar in plan.bars:
        hits = plan.cells[bar.section].bar(bar.index)
        if bar.kind in reduced:
            pieces = reduced[bar.kind]
            hits = tuple(hit for hit in hits if hit[1] in pieces) or hits
        opens = bar.index == 0 and previous is not None and bar.energy > 0.35
        fill = _fill(plan, bar, rng)
        fill_at = min((event.beat for event in fill), default=bar.start + plan.beats_per_bar)
        for beat, key, velocity in hits:
            at = bar.start + beat
            if at >= fill_at - 1e-6 and key != _KICK:
                continue
            if opens and beat == 0 and key in _HATS:
                continue
            events.append(Event(at, _HIT_BEATS, key, velocity))
        events += fill
        if opens and happens(rng, 0.85):
            crash = choose(rng, (_CRASH, _CRASH, PIECES["second_crash"]))
            events.append(Event(bar.start, 2.0, crash, 0.75 + 0.2 * bar.energy))
        previous = bar
    return events


def _fill(plan: Plan, bar: Bar, rng: Generator) -> list[Event]:
    """Return what the drummer plays at the end of a phrase instead of the groove."""
    ends_section, ends_phrase = bar.left == 0, bar.index % 4 == 3
    kind = pick(rng, plan.style.fills)
    likely = 0.8 if ends_section else 0.25 if ends_phrase else 0.0
    if not happens(rng, likely) or kind == "none":
        return []
    end = bar.start + plan.beats_per_bar
    if kind == "roll" and ends_section:
        return _roll(end, float(plan.beats_per_bar), rng)
    length = choose(rng, (0.5, 1.0, 1.0, 2.0)) if ends_section else 0.5
    return _run(kind, end, length, rng)


def _roll(end: float, length: float, rng: Generator) -> list[Event]:
    """Return a snare that grows louder, in the end twice as fast."""
    beats = [end - length + step / 2 for step in range(int(length))]
    beats += [end - length / 2 + step / 4 for step in range(int(length * 2))]
    key = choose(rng, (_SNARE, PIECES["electric_snare"], PIECES["clap"]))
    return [
        Event(beat, _HIT_BEATS, key, 0.45 + 0.5 * (beat - end + length) / length) for beat in beats
    ]


def _run(kind: str, end: float, length: float, rng: Generator) -> list[Event]:
    steps = max(int(length * 4), 1)
    density = {"light": 0.5, "snare": 0.75, "roll": 0.6}.get(kind, 0.88)
    keys = [_SNARE] * steps
    if kind == "toms":
        used = sorted(int(rng.random() * len(_TOMS)) for _ in range(steps))
        keys = [_TOMS[tom] for tom in used]
        for step in range(min(steps // 2, int(rng.random() * 5))):
            keys[step] = _SNARE
    events = []
    for step, key in enumerate(keys):
        if step == 0 or happens(rng, density):
            velocity = (0.55 if step % 2 else 0.75) + 0.2 * step / steps
            events.append(Event(end - length + step / 4, _HIT_BEATS, key, velocity))
    return events


def play_percussion(plan: Plan, rng: Generator) -> list[Event]:
    """Return all hits of a percussionist, who has one or two patterns for the whole song."""
    busy = draw_cell(suiting(plan.style.percussion, 0.9, rng), plan.beats_per_bar, rng)
    calm = busy
    if happens(rng, 0.5):
        calm = draw_cell(suiting(plan.style.percussion, 0.4, rng), plan.beats_per_bar, rng)
    events = []
    for bar in plan.bars:
        cell: Cell = busy if bar.energy > 0.6 else calm
        for beat, key, velocity in cell.bar(bar.index):
            events.append(Event(bar.start + beat, _HIT_BEATS, key, velocity))
    return events
