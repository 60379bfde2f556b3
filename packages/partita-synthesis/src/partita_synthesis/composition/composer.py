"""Composing a song: the plan first, then one player after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from partita.errors import UnknownNameError, UsageError
from partita_synthesis.composition.accompaniment import (
    chord_voicer,
    play_arpeggio,
    play_chords,
    play_pad,
    play_riff,
)
from partita_synthesis.composition.basslines import play_bass
from partita_synthesis.composition.drum_patterns import play_drums, play_percussion
from partita_synthesis.composition.drum_strokes import PIECES
from partita_synthesis.composition.entrances import draw_entrances
from partita_synthesis.composition.humanise import Clock, draw_clock, perform
from partita_synthesis.composition.melody import harmonise, play_lead
from partita_synthesis.composition.plan import Event, Plan, draw_plan
from partita_synthesis.composition.random_choice import choose, happens
from partita_synthesis.composition.style_schema import MODES, Style
from partita_synthesis.composition.vocal_parts import (
    mend_melismas,
    play_backing,
    play_vocals,
)
from partita_synthesis.composition.voicing import nearest_tone
from partita_synthesis.instruments import Instrument, instruments
from partita_synthesis.score import ROLES, Chord, Note, Part, Player, Score, Section

SHORTEST_S = 0.5
TEMPI_BPM = (20.0, 400.0)
#: In songs at least so long, everybody plays something.
_EVERYBODY_S = 8.0
_KITS = ("drums", "percussion")
#: Accompanying first, for the others listen to it; backing vocals and leads to the singer.
_ORDER = (*(role for role in ROLES if role != "lead"), "lead")
_ACCOMPANIMENT = {
    "bass": play_bass,
    "chords": play_chords,
    "riff": play_riff,
    "arpeggio": play_arpeggio,
    "pad": play_pad,
}
_Mask = npt.NDArray[np.bool_]


def compose(
    style: Style,
    players: Sequence[Player],
    duration_s: float,
    rng: Generator,
    *,
    tempo_bpm: float | None = None,
    key: int | None = None,
    mode: str | None = None,
) -> Score:
    """Compose a song.

    Songs of about a minute and more have a beginning and an end; short ones are cut out of the
    midst of a song, most often of a verse or a chorus. From 8 s on every player plays something,
    as far as its instrument allows.

    Parameters
    ----------
    style : Style
    players : sequence of Player
        Any instrument may be given any role.
    duration_s : float
        At least 0.5.
    rng : Generator
        The song depends on it and the other arguments alone.
    tempo_bpm : float, optional
        Quarter notes in a minute, 20 to 400; drawn from the style's by default.
    key : int, optional
        Pitch class of the tonic, 0 (C) to 11.
    mode : str, optional
        ``"major"`` or ``"minor"``.

    Raises
    ------
    UsageError
        An argument is out of range.
    UnknownNameError
        There is no such role, instrument or mode.
    """
    _check(players, duration_s, tempo_bpm, key, mode)
    plan = draw_plan(style, duration_s, rng, tempo_bpm=tempo_bpm, key=key, mode=mode)
    clock = draw_clock(plan, rng)
    masks = draw_entrances(plan, players, rng)
    notes = _Band(plan, players, masks, rng).play(clock, duration_s)
    starts = [*clock.beats_s[: int(plan.length) + 1].tolist()]
    return Score(
        style=style.name,
        tempo_bpm=plan.tempo_bpm,
        key=plan.key,
        mode=plan.mode,
        duration_s=duration_s,
        beats_s=tuple(beat for beat in starts if beat < duration_s),
        chords=_chords(plan, clock, duration_s),
        sections=_sections(plan, clock, duration_s),
        parts=tuple(
            Part(player, tuple(played)) for player, played in zip(players, notes, strict=True)
        ),
    )


def _check(
    players: Sequence[Player],
    duration_s: float,
    tempo_bpm: float | None,
    key: int | None,
    mode: str | None,
) -> None:
    if not SHORTEST_S <= duration_s < math.inf:
        raise UsageError(f"duration {duration_s:g} s: a song lasts at least {SHORTEST_S:g} s")
    slowest, fastest = TEMPI_BPM
    if tempo_bpm is not None and not slowest <= tempo_bpm <= fastest:
        raise UsageError(f"tempo {tempo_bpm:g} is not from {slowest:g} to {fastest:g} a minute")
    if key is not None and key not in range(12):
        raise UsageError(f"key {key} is not from 0 (C) to 11 (B)")
    if mode is not None and mode not in MODES:
        raise UnknownNameError("mode", mode, MODES)
    for player in players:
        if player.role not in ROLES:
            raise UnknownNameError("role", player.role, ROLES)
        if player.instrument not in instruments():
            raise UnknownNameError("instrument", player.instrument, instruments())


class _Band:
    """The players of a song, each with a generator of its own."""

    def __init__(
        self, plan: Plan, players: Sequence[Player], masks: Sequence[_Mask], rng: Generator
    ) -> None:
        self._plan, self._players, self._masks = plan, players, masks
        self._ends = plan.is_whole and happens(rng, 0.8)
        seeds = rng.integers(2**63, size=(len(players), 2)).tolist()
        self._seeds: list[list[int]] = seeds
        for index, player in enumerate(players):
            first = self._first(player.role)
            likely = 0.7 if player in players[:index] else 0.5
            if first != index and player.role not in _KITS and happens(rng, likely):
                seeds[index][0] = seeds[first][0]  # the part is played twice over
        self._events: list[list[Event]] = [[] for _ in players]

    def _first(self, role: str) -> int:
        return next(index for index, player in enumerate(self._players) if player.role == role)

    def play(self, clock: Clock, duration_s: float) -> list[list[Note]]:
        """Return the notes of each player."""
        order = sorted(
            range(len(self._players)), key=lambda index: _ORDER.index(self._players[index].role)
        )
        for index in order:
            events = mend_melismas(self._within(self._masks[index], self._write(index)))
            self._events[index] = self._ending(index, events) if self._ends else events
        played = [self._perform(index, clock, duration_s) for index in range(len(self._players))]
        is_silent = not any(played)
        for index in order:
            if not played[index] and (duration_s >= _EVERYBODY_S or is_silent):
                self._events[index] = self._plainest(index)
                played[index] = self._perform(index, clock, duration_s)
        return played

    def _perform(self, index: int, clock: Clock, duration_s: float) -> list[Note]:
        rng = np.random.default_rng(self._seeds[index][1])
        role = self._players[index].role
        return perform(self._plan, clock, role, self._events[index], duration_s, rng)

    def _instrument(self, index: int) -> Instrument:
        return instruments()[self._players[index].instrument]

    def _task(self, index: int) -> str:
        """Return the role that the instrument can play: drum kits have no tunes."""
        role, is_kit = self._players[index].role, self._instrument(index).is_drums
        if is_kit == (role in _KITS):
            return role
        return "drums" if is_kit else "riff"

    def _write(self, index: int) -> list[Event]:
        plan, role, instrument = self._plan, self._task(index), self._instrument(index)
        rng = np.random.default_rng(self._seeds[index][0])
        voice = sum(self._task(other) == role for other in range(index))
        if role in _ACCOMPANIMENT:
            return _ACCOMPANIMENT[role](plan, instrument, rng)
        if role in _KITS:
            return play_drums(plan, rng) if role == "drums" else play_percussion(plan, rng)
        if role == "backing_vocals":
            return play_backing(plan, instrument, self._of("vocals"), voice, rng)
        if voice:
            return harmonise(plan, self._of(role), choose(rng, (0, 0, 2, -2)), instrument)
        if role == "vocals":
            return play_vocals(plan, instrument, rng)
        return play_lead(plan, instrument, self._of("vocals"), rng)

    def _of(self, role: str) -> list[Event]:
        """Return what the first player of a role plays, if there is one."""
        roles = [self._task(index) for index in range(len(self._players))]
        return self._events[roles.index(role)] if role in roles else []

    def _within(self, mask: _Mask, events: list[Event]) -> list[Event]:
        """Return what is played in the bars of the mask, cut off where a rest begins."""
        beats = self._plan.beats_per_bar
        plays = mask.tolist()
        ends = [0.0] * len(plays)
        end = self._plan.length
        for bar in reversed(range(len(plays))):
            if not plays[bar]:
                end = float(bar * beats)
            ends[bar] = end
        kept = []
        for event in events:
            bar = int(event.beat // beats)
            if bar < len(plays) and plays[bar]:
                longest = ends[bar] - event.beat
                kept.append(event if event.length <= longest else event._replace(length=longest))
        return kept

    def _ending(self, index: int, events: list[Event]) -> list[Event]:
        """Return `events` with a last chord, held, instead of the last bar."""
        last = self._plan.bars[-1]
        kept = [event for event in events if event.beat < last.start]
        if not self._masks[index][-1] or not kept:
            return kept
        length, chord = float(self._plan.beats_per_bar), last.chords[0]
        role, instrument = self._task(index), self._instrument(index)
        if role == "drums":
            pitches = [PIECES["kick"], PIECES["crash"]]
        elif role == "percussion":
            pitches = [kept[-1].pitch]
        elif role in ("chords", "pad"):
            voicer = chord_voicer(
                self._plan, instrument, np.random.default_rng(self._seeds[index][0])
            )
            pitches = list(voicer.notes(chord))
        else:
            tones = chord.pitch_classes[: 1 if role in ("bass", "riff") else 3]
            low, high = instrument.lowest, instrument.highest
            pitches = [nearest_tone(tones, kept[-1].pitch, low, high)]
        is_sung = bool(kept[-1].syllable)
        return kept + [
            Event(last.start, length, pitch, 0.85, "la" if is_sung else "") for pitch in pitches
        ]

    def _plainest(self, index: int) -> list[Event]:
        """Return a note for each chord: for a player who would rest all the time."""
        role, instrument = self._task(index), self._instrument(index)
        middle = (instrument.lowest + instrument.highest) // 2
        word = "oo" if "vocals" in role else ""
        events = []
        for chord in self._plan.chords():
            pitch = PIECES["kick"] if role in _KITS else None
            if pitch is None:
                low, high = instrument.lowest, instrument.highest
                pitch = nearest_tone((chord.root,), middle, low, high)
            events.append(Event(chord.start, min(chord.length, 4.0), pitch, 0.7, word))
        return events


def _chords(plan: Plan, clock: Clock, duration_s: float) -> tuple[Chord, ...]:
    harmonies = plan.chords()
    starts = clock.beats_s[[int(harmony.start) for harmony in harmonies]].tolist()
    bounds = [start for start in starts if start < duration_s] + [duration_s]
    return tuple(
        Chord(start, end - start, harmony.root, tuple(dict.fromkeys(harmony.pitch_classes)))
        for (start, end), harmony in zip(pairwise(bounds), harmonies, strict=False)
    )


def _sections(plan: Plan, clock: Clock, duration_s: float) -> tuple[Section, ...]:
    ends = np.cumsum([section.bars for section in plan.sections]) * plan.beats_per_bar
    bounds = [0.0, *clock.beats_s[ends[:-1]].tolist(), duration_s]
    return tuple(
        Section(section.kind, start, end - start, section.energy)
        for (start, end), section in zip(pairwise(bounds), plan.sections, strict=True)
        if start < duration_s
    )
