"""The plan of a song: what all players share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from numpy.random import Generator

from partita_synthesis.composition.form import EXCERPT_BARS, FormSection, draw_form
from partita_synthesis.composition.grooves import Cell, draw_cells
from partita_synthesis.composition.harmony import Harmony, place_chord, split_bar
from partita_synthesis.composition.random_choice import choose, happens, pick, uniform
from partita_synthesis.composition.style_schema import Style


class Event(NamedTuple):
    """A note as written.

    Attributes
    ----------
    beat, length : float
        In beats from the start of the song.
    pitch : int
        MIDI key.
    velocity : float
        0 to 1.
    syllable : str
    delay_s : float
        How much later than written, on purpose: the strings of a strum.
    """

    beat: float
    length: float
    pitch: int
    velocity: float
    syllable: str = ""
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the song.

    Attributes
    ----------
    start : float
        In beats.
    section : int
        Index of its section in the plan.
    kind : str
        Of its section.
    index, of : int
        Which bar of the section, and how many that has, those before the song's start included.
    energy : float
    chords : tuple of Harmony
        In order, without gaps.
    """

    start: float
    section: int
    kind: str
    index: int
    of: int
    energy: float
    chords: tuple[Harmony, ...]

    @property
    def left(self) -> int:
        """How many bars of the section follow."""
        return self.of - self.index - 1

    def chord_at(self, beat: float) -> Harmony:
        """Return the harmony at a beat of the song."""
        for chord in reversed(self.chords):
            if chord.start <= beat + 1e-6:
                return chord
        return self.chords[0]


@dataclass(frozen=True)
class Plan:
    """What all players of a song share.

    Attributes
    ----------
    style : Style
    tempo_bpm : float
    swing : float
        Ratio of a swung pair's first note.
    key : int
    mode : str
    colour : str
    pentatonic : bool
        Whether melodies keep to five notes.
    sections : sequence of FormSection
    bars : sequence of Bar
    cells : sequence of Cell
        The drums of each section, also where no drummer plays: the bass follows them.
    is_whole : bool
        Whether the song comes to its end, rather than being cut out of a longer one.
    """

    style: Style
    tempo_bpm: float
    swing: float
    key: int
    mode: str
    colour: str
    pentatonic: bool
    sections: Sequence[FormSection]
    bars: Sequence[Bar]
    cells: Sequence[Cell]
    is_whole: bool

    @property
    def beats_per_bar(self) -> int:
        """Quarter notes in a bar."""
        return self.style.beats_per_bar

    @property
    def length(self) -> float:
        """Of the song, in beats; the last bar may be cut off by the song's duration."""
        return float(len(self.bars) * self.beats_per_bar)

    def bar_at(self, beat: float) -> Bar:
        """Return the bar of a beat; beyond the end, the last one."""
        return self.bars[min(int(beat // self.beats_per_bar), len(self.bars) - 1)]

    def chord_at(self, beat: float) -> Harmony:
        """Return the harmony at a beat."""
        return self.bar_at(beat).chord_at(beat)

    def chords(self) -> list[Harmony]:
        """Return all chords in order, neighbours that are the same as one."""
        joined: list[Harmony] = []
        for bar in self.bars:
            for chord in bar.chords:
                if joined and joined[-1].pitch_classes == chord.pitch_classes:
                    last = joined.pop()
                    length = last.length + chord.length
                    chord = Harmony(  # noqa: PLW2901 (one with the last)
                        last.start, length, last.root, last.pitch_classes, last.scale, last.tonic
                    )
                joined.append(chord)
        return joined

    def next_chord(self, beat: float) -> Harmony:
        """Return the harmony that follows the one at `beat`."""
        return self.chord_at(min(self.chord_at(beat).end, self.length - 1e-3))


def draw_plan(
    style: Style,
    duration_s: float,
    rng: Generator,
    *,
    tempo_bpm: float | None,
    key: int | None,
    mode: str | None,
) -> Plan:
    """Draw the plan of a song."""
    # All is drawn, wanted or not, so that a given key leaves the rest of the song as it was.
    drawn_tempo = uniform(rng, *style.tempo_bpm)
    drawn_key, drawn_mode = int(rng.random() * 12), pick(rng, style.modes)
    key = drawn_key if key is None else key
    mode = drawn_mode if mode is None else mode
    tempo = drawn_tempo if tempo_bpm is None else tempo_bpm
    bar_s = style.beats_per_bar * 60 / tempo
    bars = max(math.ceil(duration_s / bar_s - 1e-6), 1)
    if tempo_bpm is None and bars >= EXCERPT_BARS[0]:  # let it end with a full bar
        bars = round(duration_s / bar_s)
        fitting = bars * style.beats_per_bar * 60 / duration_s
        if style.tempo_bpm[0] <= fitting <= style.tempo_bpm[1]:
            tempo = fitting
        else:
            bars = math.ceil(duration_s / bar_s)
    sections, is_whole = draw_form(style, bars, rng)
    colour = pick(rng, style.colours)
    harmonist = _Harmonist(style, key, mode, colour, rng)
    return Plan(
        style=style,
        tempo_bpm=tempo,
        swing=uniform(rng, *style.swing.ratio),
        key=key,
        mode=mode,
        colour=colour,
        pentatonic=happens(rng, style.tune.pentatonic),
        sections=sections,
        bars=harmonist.bars(sections, is_whole=is_whole),
        cells=draw_cells(style, sections, rng),
        is_whole=is_whole,
    )


class _Harmonist:
    """Writes the chords: those of a kind of section once, then with variations."""

    def __init__(self, style: Style, key: int, mode: str, colour: str, rng: Generator) -> None:
        self._style, self._key, self._mode, self._colour = style, key, mode, colour
        self._rng = rng
        self._progressions: dict[str, list[str]] = {}

    def bars(self, sections: Sequence[FormSection], *, is_whole: bool) -> list[Bar]:
        beats = self._style.beats_per_bar
        lift_at = self._key_change(sections)
        bars: list[Bar] = []
        for number, section in enumerate(sections):
            tonic = (self._key + lift_at[number]) % 12
            words = self._words(section)[section.first :][: section.bars]
            if is_whole and number == len(sections) - 1:
                words[-1] = "I" if self._mode == "major" else "i"
            for index, word in enumerate(words, section.first):
                start = float(len(bars) * beats)
                chords = tuple(
                    place_chord(
                        numeral,
                        start + offset,
                        float(length),
                        tonic=tonic,
                        mode=self._mode,
                        colour=self._colour,
                    )
                    for offset, length, numeral in split_bar(word.split(","), beats)
                )
                bars.append(
                    Bar(start, number, section.kind, index, section.whole, section.energy, chords)
                )
        return bars

    def _key_change(self, sections: Sequence[FormSection]) -> list[int]:
        choruses = [number for number, part in enumerate(sections) if part.kind == "chorus"]
        changes = happens(self._rng, self._style.key_change)
        lift = choose(self._rng, (1, 2, 2))
        if not changes or len(choruses) < 3:
            return [0] * len(sections)
        return [lift if number >= choruses[-1] else 0 for number in range(len(sections))]

    def _words(self, section: FormSection) -> list[str]:
        """Return a word of numerals for each bar of the whole section."""
        line = self._progression(section.kind)
        words = [line[index % len(line)] for index in range(section.whole)]
        for index in range(section.whole - 1):
            if happens(self._rng, self._style.surprises):
                words[index] = self._surprise(words[index], words[index + 1])
        # half of the sections lead back to the tonic with a dominant
        ends_on_dominant = words[-1].lstrip("b#").upper().startswith("V")
        wants = self._style.surprises * 3
        if len(words) >= 4 and not ends_on_dominant and happens(self._rng, wants):
            words[-1] = words[-1].split(",")[0] + ",V"
        return words

    def _progression(self, kind: str) -> list[str]:
        if kind not in self._progressions:
            kinds = self._style.progressions[self._mode]
            relative = {"prechorus": "bridge", "intro": "verse", "outro": "chorus"}
            known = [name for name in (kind, relative.get(kind, ""), "verse") if name in kinds]
            source = known[0]
            if source != kind and happens(self._rng, 0.4):
                source = choose(self._rng, ("verse", "chorus"))
            if source in self._progressions:  # sections that have none borrow from the song
                self._progressions[kind] = self._progressions[source]
            else:
                self._progressions[kind] = choose(self._rng, kinds[source]).split()
        return self._progressions[kind]

    def _surprise(self, word: str, following: str) -> str:
        """Return a bar with a secondary dominant to the next chord, or with a borrowed chord."""
        target = following.split(",", maxsplit=1)[0].rstrip("+oadjmsu0123456789")
        first = word.split(",", maxsplit=1)[0]
        if self._mode == "major" and first == "IV" and happens(self._rng, 0.5):
            return "IV,iv"
        if "/" in target or target in ("I", "i", "vii", "ii") or target == first:
            return word
        return f"{first},V7/{target}"
