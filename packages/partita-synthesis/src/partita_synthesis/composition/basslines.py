"""Bass players."""

from __future__ import annotations

from collections.abc import Iterator

from numpy.random import Generator

from partita_synthesis.composition.drum_strokes import STEPS_PER_BEAT
from partita_synthesis.composition.grooves import suiting
from partita_synthesis.composition.harmony import Harmony
from partita_synthesis.composition.plan import Bar, Event, Plan
from partita_synthesis.composition.random_choice import choose, happens
from partita_synthesis.composition.style_schema import WORKED_OUT, Pattern
from partita_synthesis.instruments import Instrument

#: Letters of patterns → loudness.
_LOUDNESS = {"R": 0.86, "8": 0.8, "r": 0.62, "x": 0.4}


class _Register:
    """Where on the instrument the roots lie."""

    def __init__(self, instrument: Instrument, rng: Generator) -> None:
        self._lowest, self._highest = instrument.lowest, instrument.highest
        floor = max(self._lowest, 28) + choose(rng, (0, 0, 2, 5))
        self._floor = max(min(floor, self._highest - 11), self._lowest)

    def root(self, pitch_class: int) -> int:
        return self._floor + (pitch_class - self._floor) % 12

    def fold(self, pitch: int) -> int:
        while pitch > self._highest:
            pitch -= 12
        while pitch < self._lowest:
            pitch += 12
        return pitch


def play_bass(plan: Plan, instrument: Instrument, rng: Generator) -> list[Event]:
    """Return all notes of a bass player: a kind of line for each kind of section."""
    register = _Register(instrument, rng)
    lines: dict[str, Pattern] = {}
    events: list[Event] = []
    walker = register.root(plan.key)
    for bar in plan.bars:
        if bar.kind not in lines:
            reuse = lines and happens(rng, 0.35)
            lines[bar.kind] = (
                choose(rng, list(lines.values()))
                if reuse
                else suiting(plan.style.bass, bar.energy, rng)
            )
        text = lines[bar.kind].text
        if text == "walking":
            line = _walk(plan, bar, register, walker, rng)
            walker = line[-1].pitch
        elif text in WORKED_OUT:
            line = _follow_kick(plan, bar, register, is_long=text == "long")
        else:
            line = _play_pattern(plan, bar, register, text)
            if bar.index % 4 == 3 and happens(rng, 0.3):
                line = _run_up(plan, bar, register, line)
        events += line
    return events


def notes_of(text: str, bar: Bar, beats_per_bar: int) -> Iterator[tuple[str, float, float]]:
    """Yield letter, beat and length in beats of each note of a pattern in a bar."""
    steps = beats_per_bar * STEPS_PER_BEAT
    offset = bar.index * steps % len(text)
    part = text[offset : offset + steps]
    for step, letter in enumerate(part):
        if letter not in "-.":
            end = step + 1
            while end < steps and part[end] == "-":
                end += 1
            yield letter, bar.start + step / STEPS_PER_BEAT, (end - step) / STEPS_PER_BEAT


def _pitch(letter: str, chord: Harmony, target: Harmony, register: _Register) -> int:
    root = register.root(chord.root)
    tones = [(tone - chord.root) % 12 for tone in chord.pitch_classes]
    above = {
        "8": 12,
        "5": tones[2],
        "d": tones[2] - 12,
        "3": tones[1],
        "7": tones[3] if len(tones) > 3 else 10,
    }
    if letter == "T":
        return register.fold(register.root(chord.tonic))
    if letter == "a":  # leads to the next root from a semitone below
        return register.fold(register.root(target.root) - 1)
    return register.fold(root + above.get(letter, 0))


def _play_pattern(plan: Plan, bar: Bar, register: _Register, text: str) -> list[Event]:
    events = []
    for written, beat, length in notes_of(text, bar, plan.beats_per_bar):
        chord = bar.chord_at(beat)
        # a new chord is heard from its root
        begins = abs(chord.start - beat) < 1e-6 and written in "8573da"
        letter = "R" if begins else written
        pitch = _pitch(letter, chord, plan.next_chord(beat), register)
        sounding = 0.12 if letter == "x" else length * 0.94
        events.append(Event(beat, sounding, pitch, _LOUDNESS.get(letter, 0.74)))
        if begins or written == "T":
            continue
        if length > chord.end - beat > 0:  # held over a change of chord: go with it
            later = bar.chord_at(chord.end)
            events[-1] = events[-1]._replace(length=chord.end - beat)
            rest = beat + length - chord.end
            events.append(Event(chord.end, rest * 0.94, register.root(later.root), 0.74))
    return events


def _follow_kick(plan: Plan, bar: Bar, register: _Register, *, is_long: bool) -> list[Event]:
    """Return roots together with the bass drum and at changes of chord."""
    starts = {bar.start + kick for kick in plan.cells[bar.section].kicks(bar.index)}
    starts |= {chord.start for chord in bar.chords}
    beats = sorted(starts)
    events = []
    for beat, following in zip(beats, [*beats[1:], bar.start + plan.beats_per_bar], strict=True):
        root = register.root(bar.chord_at(beat).root)
        length = following - beat if is_long else min(following - beat, 0.75) * 0.92
        events.append(Event(beat, length, root, 0.85 if beat == int(beat) else 0.74))
    return events


def _walk(plan: Plan, bar: Bar, register: _Register, before: int, rng: Generator) -> list[Event]:
    """Return a note on each beat: root, steps on the way, and a leading note to what follows."""
    events = []
    pitch = before
    for beat_index in range(plan.beats_per_bar):
        beat = bar.start + beat_index
        chord = bar.chord_at(beat)
        following = plan.next_chord(beat)
        if chord.start == beat:
            root = register.root(chord.root)
            pitch = min((root, register.fold(root + 12)), key=lambda near: abs(near - pitch))
        elif chord.end <= beat + 1 and following.root != chord.root:
            target = register.root(following.root)
            pitch = register.fold(target + choose(rng, (-1, -1, 1, 2, -5)))
        else:
            steps = [pitch + step for step in (-4, -3, -2, -1, 1, 2, 3, 4)]
            likely = [step for step in steps if step % 12 in chord.pitch_classes]
            if not likely or happens(rng, 0.3):
                likely = [step for step in steps if step % 12 in chord.scale]
            pitch = register.fold(choose(rng, likely))
        events.append(Event(beat, 0.93, pitch, 0.8 if beat_index % 2 else 0.74))
        if happens(rng, 0.08):
            events.append(Event(beat + 0.5, 0.4, pitch, 0.5))
            events[-2] = events[-2]._replace(length=0.48)
    return events


def _run_up(plan: Plan, bar: Bar, register: _Register, line: list[Event]) -> list[Event]:
    """Return a bar's `line` with its last beat leading to the next chord by steps."""
    end = bar.start + plan.beats_per_bar
    following = plan.next_chord(end - 0.01)
    here = bar.chord_at(end - 1)
    if following.root == here.root:
        return line
    target = register.root(following.root)
    low = [target - step for step in range(1, 6) if (target - step) % 12 in here.scale][:2]
    if len(low) < 2 or low[-1] != register.fold(low[-1]):
        return line
    kept = [
        event._replace(length=min(event.length, end - 1 - event.beat))
        for event in line
        if event.beat < end - 1
    ]
    return [*kept, Event(end - 1, 0.46, low[1], 0.76), Event(end - 0.5, 0.46, low[0], 0.78)]
