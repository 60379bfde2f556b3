"""Parts of MIDI files and MMA, given to instruments of the wanted stems."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from partita_synthesis.instruments import Instrument, instruments
from partita_synthesis.score import Note, Part, Player, Score
from partita_synthesis.stems import StemPlan

_SYLLABLES = ("la", "na", "da", "do", "ma", "ha", "ta", "so", "we", "ba", "no", "ya")
_OTHER_INSTRUMENT = 0.5  # how often a part changes to another instrument of its stem
_BREATH_S = 0.06


def arrange(
    score: Score, plan: StemPlan, playable: Collection[str], rng: np.random.Generator
) -> Score | None:
    """Give the parts of a score to instruments of the stems.

    Parts of instruments that belong to no stem, or that nothing can play, go; half of the others
    change to another instrument of their stem that plays their role. A stem that has no part gets
    one, of those that went or of a stem that has several: one that fits the roles of its
    instruments, if there is any.

    Parameters
    ----------
    score : Score
    plan : StemPlan
    playable : collection of str
        Instruments for which there are sounds.
    rng : Generator

    Returns
    -------
    Score or None
        None: a stem has no part that it could play.
    """
    parts = [part for part in score.parts if part.notes]
    kept = [part for part in parts if _plays(part.player.instrument, plan, playable)]
    spare = [part for part in parts if part not in kept]
    kept = [_changed(part, plan, playable, rng) for part in kept]
    for stem in plan.names:
        if any(plan.owners[part.player.instrument] == stem for part in kept):
            continue
        members = [name for name in plan.instruments_of(stem) if name in playable]
        donors = spare + _doubled_up(kept, plan)
        pairs = [(part, name) for part in donors for name in members if _can_take(part, name)]
        if not pairs:
            return None
        usual = [pair for pair in pairs if pair[0].player.role in instruments()[pair[1]].roles]
        pairs = usual or pairs
        part, name = pairs[rng.integers(len(pairs))]
        (spare if part in spare else kept).remove(part)
        kept.append(_given(part, instruments()[name], rng))
    return dataclasses.replace(score, parts=tuple(kept))


def _plays(name: str, plan: StemPlan, playable: Collection[str]) -> bool:
    return name in plan.owners and name in playable


def _can_take(part: Part, name: str) -> bool:
    """Whether an instrument can play a part at all: hits are for drums, notes for the others."""
    return instruments()[part.player.instrument].is_drums == instruments()[name].is_drums


def _doubled_up(parts: Sequence[Part], plan: StemPlan) -> list[Part]:
    """Return the parts of stems that have several."""
    owners = [plan.owners[part.player.instrument] for part in parts]
    return [part for part, stem in zip(parts, owners, strict=True) if owners.count(stem) > 1]


def _changed(
    part: Part, plan: StemPlan, playable: Collection[str], rng: np.random.Generator
) -> Part:
    """Perhaps let another instrument of the same kind play."""
    old = instruments()[part.player.instrument]
    stem = plan.owners[old.name]
    similar = [
        name
        for name in plan.instruments_of(stem)
        if name in playable
        and part.player.role in instruments()[name].roles
        and set(instruments()[name].words) & set(old.words)
    ]
    if not similar or rng.random() >= _OTHER_INSTRUMENT:
        return _given(part, old, rng)
    return _given(part, instruments()[similar[rng.integers(len(similar))]], rng)


def _given(part: Part, instrument: Instrument, rng: np.random.Generator) -> Part:
    """Give a part to an instrument: in its range, and with syllables if it sings."""
    notes = part.notes
    if not instrument.is_drums:
        shift = _octaves(notes, instrument)
        notes = tuple(
            dataclasses.replace(note, pitch=_into(note.pitch + shift, instrument)) for note in notes
        )
    if instrument.synthesis == "voice":
        notes = _sung(notes, rng)
    role = part.player.role if part.player.role in instrument.roles else instrument.roles[0]
    return Part(Player(role, instrument.name), notes)


def _octaves(notes: Sequence[Note], instrument: Instrument) -> int:
    """Return the semitones, whole octaves, that bring a part nearest to the middle of a range."""
    middle = (instrument.lowest + instrument.highest) / 2
    mean = float(np.median([note.pitch for note in notes]))
    inside = instrument.lowest <= mean <= instrument.highest
    return 0 if inside else 12 * round((middle - mean) / 12)


def _into(pitch: int, instrument: Instrument) -> int:
    while pitch < instrument.lowest:
        pitch += 12
    while pitch > instrument.highest:
        pitch -= 12
    return pitch if pitch >= instrument.lowest else instrument.lowest


def _sung(notes: Sequence[Note], rng: np.random.Generator) -> tuple[Note, ...]:
    """Return the highest line of a part, one note at a time, with syllables."""
    line: list[Note] = []
    for note in sorted(notes, key=lambda each: (each.start_s, -each.pitch)):
        if line and note.start_s < line[-1].start_s + _BREATH_S:
            continue
        if line and line[-1].start_s + line[-1].duration_s > note.start_s:
            line[-1] = dataclasses.replace(line[-1], duration_s=note.start_s - line[-1].start_s)
        syllable = _SYLLABLES[rng.integers(len(_SYLLABLES))]
        line.append(dataclasses.replace(note, syllable=syllable))
    return tuple(line)
