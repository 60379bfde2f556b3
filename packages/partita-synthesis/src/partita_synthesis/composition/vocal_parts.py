"""Singers: melodies with syllables, and the backing vocals."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.random import Generator

from partita_synthesis.composition.melody import Manner, Melodist, harmonise
from partita_synthesis.composition.plan import Event, Plan
from partita_synthesis.composition.random_choice import choose, happens, pick, uniform
from partita_synthesis.composition.voicing import nearest_tone
from partita_synthesis.instruments import Instrument

#: Continues the vowel of the note before.
MELISMA = "-"
_CONSONANTS = {
    "l": 2.0, "n": 2.0, "d": 1.6, "m": 1.5, "w": 1.3, "h": 1.2, "sh": 0.7, "b": 1.0, "r": 0.9,
    "y": 0.8, "t": 1.0, "k": 0.8, "s": 1.0, "f": 0.5, "g": 0.6, "": 0.8,
}  # fmt: skip
_VOWELS = {"a": 3.0, "e": 1.8, "i": 1.6, "o": 2.0, "u": 1.0, "oo": 0.6}
_HIGHER = {"prechorus": 1, "chorus": 3, "bridge": 2, "solo": 3}
_COMFORT = 14  # semitones


def play_vocals(plan: Plan, singer: Instrument, rng: Generator) -> list[Event]:
    """Return all notes of a singer.

    The words of choruses come back; verses have the same tune to other words.
    """
    lowest = singer.lowest + 1 + int(rng.random() * 3)
    manners = {}
    for bar in plan.bars:
        lift = _HIGHER.get(bar.kind, 0)
        low = min(lowest + lift, singer.highest - 12)
        high = min(low + _COMFORT, singer.highest)
        # choruses have longer notes than verses
        density = max(plan.style.tune.density - 0.12 * (bar.kind == "chorus"), 0.05)
        manners[bar.kind] = Manner(low, high, density, plan.style.tune.syncopation)
    words: dict[tuple[str, str], list[str]] = {}
    events: list[Event] = []
    for phrase in Melodist(plan, rng).phrases(manners):
        key = (phrase.bar.kind, phrase.letter)
        new = draw_words(phrase.events, rng)
        known = words.setdefault(key, new)
        sung = known if phrase.bar.kind != "verse" and len(known) >= len(new) else new
        events += with_words(phrase.events, sung)
    return events


def draw_words(tune: Sequence[Event], rng: Generator) -> list[str]:
    """Return a syllable for each note; some notes carry on the one before."""
    words: list[str] = []
    favourite = _syllable(rng)
    for index, event in enumerate(tune):
        before = tune[index - 1] if index else None
        is_tied = before is not None and event.beat - before.beat - before.length < 0.05
        if is_tied and before and before.pitch != event.pitch and happens(rng, 0.14):
            words.append(MELISMA)
        else:
            words.append(favourite if happens(rng, 0.12) else _syllable(rng))
    return words


def _syllable(rng: Generator) -> str:
    return pick(rng, _CONSONANTS) + pick(rng, _VOWELS)


def with_words(tune: Sequence[Event], words: Sequence[str]) -> list[Event]:
    """Return a tune with a syllable on each note."""
    return [
        event._replace(syllable=word) for event, word in zip(tune, words[: len(tune)], strict=True)
    ]


def play_backing(
    plan: Plan, singer: Instrument, sung: Sequence[Event], voice: int, rng: Generator
) -> list[Event]:
    """Return all notes of a backing singer: a second voice, ends of lines, or held vowels.

    Parameters
    ----------
    plan : Plan
    singer : Instrument
    sung : sequence of Event
        What the lead singer sings.
    voice : int
        0 for the first backing singer, 1 for the next, …
    rng : Generator
    """
    steps = (choose(rng, (2, -2)), choose(rng, (-5, 4, -2)), 2)[min(voice, 2)]
    second = harmonise(plan, sung, steps, singer)
    by_bar: dict[float, list[Event]] = {}
    for event in second:
        by_bar.setdefault(plan.bar_at(event.beat).start, []).append(event)
    manners: dict[str, str] = {}
    events: list[Event] = []
    loud, vowel = uniform(rng, 0.45, 0.65), choose(rng, ("oo", "oo", "a", "la", "na"))
    for bar in plan.bars:
        if bar.kind not in manners:
            likes = 3.0 if bar.kind == "chorus" else 0.6
            manners[bar.kind] = pick(rng, {"second": likes, "oohs": 1.0, "ends": 0.7})
        manner, voices = manners[bar.kind], by_bar.get(bar.start, [])
        if manner == "second" and voices:
            events += voices
        elif manner == "ends" and voices:
            events += voices[-3:] if bar.index % 2 else []
        else:
            middle = (singer.lowest + singer.highest) // 2 + (0, 4, -4)[voice % 3]
            for chord in bar.chords:
                tone = chord.pitch_classes[(voice + 1) % 3]
                pitch = nearest_tone((tone,), middle, singer.lowest, singer.highest)
                events.append(Event(chord.start, chord.length * 0.96, pitch, loud, vowel))
    return events


def mend_melismas(events: list[Event]) -> list[Event]:
    """Return `events` with a syllable on notes that carry on one which is not sung."""
    mended = []
    end = -1.0
    for event in events:
        is_lone = event.syllable == MELISMA and event.beat - end > 0.1
        mended.append(event._replace(syllable="la") if is_lone else event)
        end = event.beat + event.length
    return mended
