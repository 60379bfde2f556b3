"""Melodies: motifs of two bars, phrases made of them, and rests for breath."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from numpy.random import Generator

from partita_synthesis.composition.harmony import Harmony
from partita_synthesis.composition.plan import Bar, Event, Plan
from partita_synthesis.composition.random_choice import choose, happens, pick
from partita_synthesis.composition.voicing import fold, nearest_tone
from partita_synthesis.instruments import Instrument

_FIVE = {"major": (0, 2, 4, 7, 9), "minor": (0, 3, 5, 7, 10)}
#: Which motifs follow each other, two bars each.
_ORDERS = ("aaba", "abab", "aabc", "abac", "aaab")
_MOTIF_BARS = 2
_STEPS = {0: 1.6, 1: 3.0, -1: 3.4, 2: 1.4, -2: 1.4, 3: 0.5, -3: 0.4, 4: 0.2}


@dataclass(frozen=True)
class Motif:
    """A tune of two bars.

    Attributes
    ----------
    rhythm : tuple of (float, float)
        Beat from its start, and length.
    steps : tuple of int
        Of each note from the one before, in steps of the scale; the first from the middle.
    """

    rhythm: tuple[tuple[float, float], ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Manner:
    """How a melody is to be in a section.

    Attributes
    ----------
    low, high : int
        MIDI keys.
    density, syncopation : float
        0 to 1.
    """

    low: int
    high: int
    density: float
    syncopation: float


@dataclass(frozen=True)
class Phrase:
    """A motif at its place.

    Attributes
    ----------
    bar : Bar
        The one that it begins with.
    letter : str
        Phrases of sections of the same kind and letter have the same notes.
    events : list of Event
    """

    bar: Bar
    letter: str
    events: list[Event]


class Melodist:
    """Makes the phrases of a song; sections of a kind have the same ones.

    Parameters
    ----------
    plan : Plan
    rng : Generator
    """

    def __init__(self, plan: Plan, rng: Generator) -> None:
        self._plan, self._rng = plan, rng
        self._motifs: dict[tuple[str, str], Motif] = {}
        self._orders: dict[str, str] = {}
        self._ladders: dict[tuple[Harmony | int, ...], list[int]] = {}

    def phrases(self, manners: dict[str, Manner]) -> Iterator[Phrase]:
        """Yield all phrases of the song, in the manner of each kind of section."""
        for bar in self._plan.bars:
            if bar.index % _MOTIF_BARS:
                continue
            if bar.kind not in self._orders:
                self._orders[bar.kind] = choose(self._rng, _ORDERS)
            order = self._orders[bar.kind]
            letter = order[bar.index // _MOTIF_BARS % len(order)]
            manner = manners[bar.kind]
            if (bar.kind, letter) not in self._motifs:
                self._motifs[bar.kind, letter] = self._draw_motif(manner)
            yield Phrase(bar, letter, self._set(self._motifs[bar.kind, letter], bar, manner))

    def _draw_motif(self, manner: Manner) -> Motif:
        rng = self._rng
        rhythm = draw_rhythm(_MOTIF_BARS * self._plan.beats_per_bar, manner, rng)
        steps = [choose(rng, (-2, -1, 0, 1, 2))]
        height = steps[0]
        for _ in rhythm[1:]:
            step = pick(rng, _STEPS)
            if abs(height + step) > 5:  # back towards the middle
                step = -step
            steps.append(step)
            height += step
        return Motif(tuple(rhythm), tuple(steps))

    def _set(self, motif: Motif, bar: Bar, manner: Manner) -> list[Event]:
        plan = self._plan
        end = min(plan.length, bar.start + (bar.left + 1) * plan.beats_per_bar)
        middle = (manner.low + manner.high) // 2
        pitch = middle
        events = []
        for index, ((offset, length), step) in enumerate(
            zip(motif.rhythm, motif.steps, strict=True)
        ):
            beat = bar.start + offset
            if beat > end - 0.2:
                break
            chord = plan.chord_at(beat)
            ladder = self._ladder(chord, manner)
            place = min(max(bisect_left(ladder, pitch) + step, 0), len(ladder) - 1)
            pitch = ladder[place]
            is_last = index == len(motif.rhythm) - 1
            is_strong = is_last or length >= 1 or offset % 2 == 0
            if is_strong and pitch % 12 not in chord.pitch_classes:
                pitch = nearest_tone(chord.pitch_classes[:3], pitch, manner.low, manner.high)
            arch = 0.08 * (pitch - middle) / 6
            loud = (0.78 if is_strong else 0.68) + arch
            events.append(Event(beat, min(length, end - beat), pitch, loud))
        return events

    def _ladder(self, chord: Harmony, manner: Manner) -> list[int]:
        key = (chord, manner.low, manner.high)
        if key not in self._ladders:
            tones = set(chord.scale)
            if self._plan.pentatonic:
                five = {(chord.tonic + tone) % 12 for tone in _FIVE[self._plan.mode]}
                tones = (tones & five) | set(chord.pitch_classes[:3])
            pitches = range(manner.low, manner.high + 1)
            self._ladders[key] = [pitch for pitch in pitches if pitch % 12 in tones]
        return self._ladders[key]


def draw_rhythm(beats: int, manner: Manner, rng: Generator) -> list[tuple[float, float]]:
    """Return start and length in beats of the notes of a motif, with a rest at its end."""
    dense, off = manner.density, manner.syncopation
    end = beats - choose(rng, (0.5, 1.0, 1.0, 1.5, 2.0))
    beat = pick(rng, {0.0: 2.0, 0.5: 1.0 + off, 1.0: 1.0 - dense / 2})
    fast = max(dense - 0.55, 0) * 2
    on_beat = {
        0.5: 0.4 + 2.2 * dense,
        1.0: 1.0,
        1.5: off,
        2.0: 1 - dense,
        0.25: fast,
        0.75: off * fast,
    }
    half_way = {0.5: 2.0, 1.0: 1.5 * off, 1.5: off * 0.7, 0.25: fast}
    between = {0.25: 1.0, 0.75: 0.4 * off}
    notes: list[tuple[float, float]] = []
    while beat < end - 0.2:
        lengths = on_beat if beat % 1 == 0 else half_way if beat % 1 == 0.5 else between
        length = min(pick(rng, lengths), end - beat)
        notes.append((beat, length))
        beat += length
        if beat % 0.5 == 0 and happens(rng, 0.08):
            beat += 0.5
    while len(notes) > 2 and notes[-1][1] < 0.5:  # a motif does not end with a short note
        notes.pop()
    last = notes[-1][0]
    return [*notes[:-1], (last, max(end - last, 0.5))]


def play_lead(
    plan: Plan, instrument: Instrument, sung: Sequence[Event], rng: Generator
) -> list[Event]:
    """Return all notes of a lead: melodies of its own, and answers where somebody sings.

    Parameters
    ----------
    plan : Plan
    instrument : Instrument
    sung : sequence of Event
        What the singer sings; the lead keeps silent meanwhile, but for some kinds of section
        where it plays against it.
    rng : Generator
    """
    low, high = lead_range(instrument, rng)
    tune = plan.style.tune
    manner = Manner(low, high, tune.density, tune.syncopation)
    wide = Manner(
        max(low - 4, instrument.lowest),
        min(high + 5, instrument.highest),
        min(tune.density + 0.25, 1.0),
        tune.syncopation,
    )
    manners = {bar.kind: wide if bar.kind == "solo" else manner for bar in plan.bars}
    phrases = list(Melodist(plan, rng).phrases(manners))
    counters = {kind for kind in manners if happens(rng, 0.4)}
    taken = {half for note in sung for half in _halves(note.beat, note.length)}
    events: list[Event] = []
    for phrase in phrases:
        free = phrase.events
        if phrase.bar.kind not in counters:
            free = [event for event in free if taken.isdisjoint(_halves(event.beat, 0.5))]
        if len(free) * 3 >= len(phrase.events):  # too few notes for an answer
            events += free
    return events


def _halves(beat: float, length: float) -> range:
    """Return the numbers of the half beats that a note touches."""
    return range(int(beat * 2), int((beat + length - 0.01) * 2) + 1)


def lead_range(instrument: Instrument, rng: Generator) -> tuple[int, int]:
    """Return lowest and highest key of a melody, in the better part of an instrument's range."""
    wanted = 67 + int(rng.random() * 10)
    middle = min(max(wanted, instrument.lowest + 8), instrument.highest - 8)
    return max(middle - 8, instrument.lowest), min(middle + 8, instrument.highest)


def harmonise(plan: Plan, tune: Sequence[Event], steps: int, instrument: Instrument) -> list[Event]:
    """Return a second voice to a melody, so many steps of the scale above or below it."""
    low, high = instrument.lowest, instrument.highest
    voice = []
    for event in tune:
        chord = plan.chord_at(event.beat)
        scale = chord.scale
        place = bisect_left(scale, event.pitch % 12) % len(scale)
        octave, degree = divmod(place + steps, len(scale))
        pitch = event.pitch - event.pitch % 12 + 12 * octave + scale[degree]
        if event.length >= 1 and pitch % 12 not in chord.pitch_classes:
            others = [tone for tone in chord.pitch_classes if tone != event.pitch % 12]
            pitch = nearest_tone(others, fold(pitch, low, high), low, high)
        voice.append(event._replace(pitch=fold(pitch, low, high), velocity=event.velocity * 0.85))
    return voice
