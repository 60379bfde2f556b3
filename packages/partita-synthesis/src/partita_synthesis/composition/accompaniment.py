"""Players of chords, pads, arpeggios and riffs."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.random import Generator

from partita_synthesis.composition.basslines import notes_of
from partita_synthesis.composition.grooves import suiting
from partita_synthesis.composition.harmony import Harmony
from partita_synthesis.composition.plan import Bar, Event, Plan
from partita_synthesis.composition.random_choice import choose, happens, pick, uniform
from partita_synthesis.composition.voicing import (
    Voicer,
    fold,
    is_distorted,
    is_guitar,
    nearest_tone,
)
from partita_synthesis.instruments import Instrument

#: Letters of comping and riffs → loudness.
_LOUDNESS = {"X": 0.92, "x": 0.76, "u": 0.62, "o": 0.42, "m": 0.7}
_SUSTAINED = "sustained"
#: Time between the notes of a chord on a keyboard.
_ROLLED_S = 0.003


def chord_voicer(plan: Plan, instrument: Instrument, rng: Generator) -> Voicer:
    """Return a voicer in the manner of the instrument."""
    centre = 60 + int(rng.random() * 7)
    if not {"chords", "pad"} & set(instrument.roles):
        return Voicer(instrument, "single", centre)
    if is_distorted(instrument) or (plan.colour == "power" and is_guitar(instrument)):
        return Voicer(instrument, "power", centre - 10)
    if is_guitar(instrument) and happens(rng, 0.75):
        return Voicer(instrument, "strummed", centre)
    return Voicer(instrument, "close", centre)


def play_chords(plan: Plan, instrument: Instrument, rng: Generator) -> list[Event]:
    """Return all notes of a player of chords: a pattern for each kind of section."""
    voicer = chord_voicer(plan, instrument, rng)
    gap_s = plan.style.feel.strum_ms / 1000 if is_guitar(instrument) else _ROLLED_S
    holds = 0.55 if "pad" in instrument.roles else 0.05
    patterns: dict[str, str] = {}
    events: list[Event] = []
    for bar in plan.bars:
        if bar.kind not in patterns:
            pattern = suiting(plan.style.comping, bar.energy, rng).text
            is_calm = bar.energy < 0.3 and happens(rng, 0.4)
            patterns[bar.kind] = _SUSTAINED if is_calm or happens(rng, holds) else pattern
        if patterns[bar.kind] == _SUSTAINED:
            for chord in bar.chords:
                events += _strike(voicer.notes(chord), "x", chord.start, chord.length, gap_s)
        else:
            events += _comp(plan, bar, voicer, patterns[bar.kind], gap_s)
    return events


def _comp(plan: Plan, bar: Bar, voicer: Voicer, text: str, gap_s: float) -> list[Event]:
    events: list[Event] = []
    for letter, beat, length in notes_of(text, bar, plan.beats_per_bar):
        start, left = beat, length
        while left > 1e-6:  # what is held over a change of chord is struck anew
            chord = bar.chord_at(start)
            lasting = min(left, chord.end - start)
            events += _strike(voicer.notes(chord), letter, start, lasting, gap_s)
            start, left = start + lasting, left - lasting
    return events


def _strike(
    notes: tuple[int, ...], letter: str, beat: float, length: float, gap_s: float
) -> list[Event]:
    if letter == "u":  # an upstroke: the upper strings, downwards
        notes = notes[-1:-4:-1]
    elif letter == "m":  # muted with the palm: the lower strings
        notes = notes[:2]
    sounding = 0.15 if letter in "mo" and length < 0.3 else length * 0.95
    loud = _LOUDNESS[letter]
    return [
        Event(beat, sounding, note, loud - 0.02 * order, "", order * gap_s)
        for order, note in enumerate(notes)
    ]


def play_pad(plan: Plan, instrument: Instrument, rng: Generator) -> list[Event]:
    """Return all notes of a pad: chords held until they change, for four bars at most."""
    manner = "close" if {"chords", "pad"} & set(instrument.roles) else "single"
    voicer = Voicer(instrument, manner, 58 + int(rng.random() * 12))
    loud = uniform(rng, 0.5, 0.75)
    most = 4.0 * plan.beats_per_bar
    events = []
    for chord in plan.chords():
        start = chord.start
        while start < chord.end - 1e-6:
            length = min(chord.end - start, most)
            events += [Event(start, length, note, loud) for note in voicer.notes(chord)]
            start += length
    return events


def play_arpeggio(plan: Plan, instrument: Instrument, rng: Generator) -> list[Event]:
    """Return all notes of broken chords."""
    patterns: dict[str, str] = {}
    floor = fold(choose(rng, (48, 52, 55, 60)), instrument.lowest, instrument.highest - 12)
    ladders: dict[tuple[int, ...], list[int]] = {}
    events = []
    for bar in plan.bars:
        if bar.kind not in patterns:
            if patterns and happens(rng, 0.6):
                patterns[bar.kind] = next(iter(patterns.values()))
            else:
                patterns[bar.kind] = suiting(plan.style.arpeggios, bar.energy, rng).text
        for letter, beat, length in notes_of(patterns[bar.kind], bar, plan.beats_per_bar):
            tones = bar.chord_at(beat).pitch_classes
            if tones not in ladders:
                ladders[tones] = _ladder(tones, floor, instrument.highest)
            ladder = ladders[tones]
            loud = 0.74 if beat == int(beat) else 0.62
            events.append(Event(beat, length * 0.95, ladder[int(letter) % len(ladder)], loud))
    return events


def _ladder(tones: tuple[int, ...], floor: int, highest: int) -> list[int]:
    return [pitch for pitch in range(floor, highest + 1) if pitch % 12 in tones]


@dataclass(frozen=True)
class _Motif:
    """A riff: a rhythm, and for each of its notes how many steps it lies above the root."""

    text: str
    steps: tuple[int, ...]


def play_riff(plan: Plan, instrument: Instrument, rng: Generator) -> list[Event]:
    """Return all notes of a riff: a motif for each kind of section, moved with the chords."""
    has_fifths = is_distorted(instrument) and happens(rng, 0.8)
    low = instrument.lowest
    if not is_distorted(instrument) and happens(rng, 0.6):
        low = min(low + 12, instrument.highest - 19)
    low = max(low, instrument.lowest)
    motifs: dict[str, _Motif] = {}
    events: list[Event] = []
    for bar in plan.bars:
        if bar.kind not in motifs:
            if motifs and happens(rng, 0.4):
                motifs[bar.kind] = next(iter(motifs.values()))
            else:
                motifs[bar.kind] = _draw_motif(plan, bar, rng)
        motif = motifs[bar.kind]
        notes = list(notes_of(motif.text, bar, plan.beats_per_bar))
        whole_bars = len(motif.text) // (4 * plan.beats_per_bar)
        first = len(motif.steps) - len(notes) if whole_bars > 1 and bar.index % whole_bars else 0
        for (letter, beat, length), step in zip(notes, motif.steps[first:], strict=False):
            chord = bar.chord_at(beat)
            pitch = fold(_above(chord, step, low), instrument.lowest, instrument.highest)
            if length >= 1:  # what stays must fit
                tones = chord.pitch_classes[:3]
                pitch = nearest_tone(tones, pitch, instrument.lowest, instrument.highest)
            sounding = 0.16 if letter == "m" else length * 0.92
            events.append(Event(beat, sounding, pitch, _LOUDNESS[letter]))
            if has_fifths and pitch + 7 <= instrument.highest:
                events.append(Event(beat, sounding, pitch + 7, _LOUDNESS[letter] - 0.05))
    return events


def _draw_motif(plan: Plan, bar: Bar, rng: Generator) -> _Motif:
    text = suiting(plan.style.riffs, bar.energy, rng).text
    steps: list[int] = []
    step = 0
    for letter in text:
        if letter in "-.":
            continue
        if letter == "m" or not steps:
            step = 0
        else:
            step += pick(rng, {0: 3.0, 1: 1.5, 2: 1.0, -1: 1.5, -2: 1.0, 4: 0.3})
            step = 0 if abs(step) > 5 else step
        steps.append(step)
    return _Motif(text, tuple(steps))


def _above(chord: Harmony, step: int, low: int) -> int:
    """Return the pitch so many steps of the scale above the chord's root, as low as it may be."""
    scale = chord.scale
    octave, degree = divmod(scale.index(chord.root) + step, len(scale))
    root = low + (chord.root - low) % 12
    return root + 12 * octave + scale[degree] - chord.root
