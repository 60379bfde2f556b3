"""Songs from MIDI files."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from partita.errors import AudioReadError, UsageError, one_line
from partita_synthesis._midi_file import (
    DRUM_CHANNEL,
    RawMidi,
    RawNote,
    by_part,
    read_midi_file,
)
from partita_synthesis.instruments import Instrument, instruments
from partita_synthesis.keys import fit_key
from partita_synthesis.score import Chord, Note, Part, Player, Score, Section

SUFFIXES = (".mid", ".midi", ".kar")

_SHORTEST_S = 0.02
_BASS_PROGRAMS = range(32, 40)
_VOICE_PROGRAMS = (52, 53, 54, 85)
_VOICE_NAME = re.compile(r"\b(vocals?|voice|vox|sing(er|ing)?|melod(y|ie|ia)|solista)\b", re.I)
_BACKING_NAME = re.compile(r"back|bgv|harmon|choir|chor", re.I)
_ARPEGGIO_NAME = re.compile(r"arpeg", re.I)
_SINGERS = ("soprano", "alto", "tenor", "baritone")
# General MIDI's effects that can stand for an instrument of the table; the others fall silent.
_INSTEAD = {
    **{96: 88, 97: 94, 98: 92, 99: 88, 100: 90, 101: 92, 102: 94, 103: 93},
    **{112: 9, 113: 114, 115: 13, 116: 47, 117: 47, 118: 47},
}
_TRIADS = tuple(
    (root, (root, (root + third) % 12, (root + 7) % 12)) for third in (4, 3) for root in range(12)
)


@dataclass(frozen=True)
class MidiSong:
    """A song as a MIDI file has it.

    Attributes
    ----------
    path : Path
    tempo_bpm : float
        The mean.
    key : int
        Pitch class of the tonic, estimated.
    mode : str
        ``"major"`` or ``"minor"``, estimated.
    duration_s : float
        Until the last note ends.
    beats_s : sequence of float
        Quarter notes.
    parts : sequence of Part
        None is empty. Roles are estimated.
    """

    path: Path
    tempo_bpm: float
    key: int
    mode: str
    duration_s: float
    beats_s: Sequence[float]
    parts: Sequence[Part]

    def score(self, start_s: float = 0.0, duration_s: float | None = None) -> Score:
        """Return an excerpt as a score.

        Notes that began before it are held on, hits are not. Players who are silent in it are
        left out.

        Parameters
        ----------
        start_s : float
            0 to `duration_s` of the song.
        duration_s : float, optional
            Left out: to the end.

        Raises
        ------
        UsageError
            The song is over by then.
        """
        if duration_s is None:
            duration_s = self.duration_s - start_s
        if not 0 <= start_s < self.duration_s or not duration_s > 0:
            raise UsageError(
                f"{one_line(self.path)} lasts {self.duration_s:.1f} s: no excerpt of"
                f" {duration_s:g} s begins at {start_s:g} s"
            )
        end_s = start_s + duration_s
        parts = [
            Part(part.player, _cut(part.notes, start_s, end_s, part.player.role == "drums"))
            for part in self.parts
        ]
        beats_s = [beat - start_s for beat in self.beats_s if start_s <= beat < end_s]
        return Score(
            style="midi",
            tempo_bpm=self.tempo_bpm,
            key=self.key,
            mode=self.mode,
            duration_s=duration_s,
            beats_s=beats_s,
            chords=_chords(parts, beats_s, duration_s),
            sections=[Section("excerpt", 0.0, duration_s, 0.7)],
            parts=[part for part in parts if part.notes],
        )


def find_midi(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the MIDI files in a folder and below, sorted.

    Raises
    ------
    UsageError
        There is no such folder, or no such file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{one_line(folder)}: no such folder")
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not found:
        raise UsageError(f"{one_line(folder)} has no MIDI files ({', '.join(SUFFIXES)})")
    return found


def read_midi(path: str | os.PathLike[str]) -> MidiSong:
    """Read a MIDI file.

    Raises
    ------
    AudioReadError
        It is not there, broken, or nobody plays in it.
    """
    path = Path(path)
    midi = read_midi_file(path)
    parts = [
        part
        for (track, channel, program), notes in by_part(midi.notes).items()
        if (part := _part(midi, notes, channel, program, midi.names.get(track, ""))) is not None
    ]
    if not parts:
        raise AudioReadError(f"cannot read {one_line(path)} as MIDI: nobody plays in it")
    duration_s = max(note.start_s + note.duration_s for part in parts for note in part.notes)
    last = max(notes[-1].end for notes in midi.notes.values())
    beats_s = midi.seconds(np.arange(0, last + 1, midi.ticks_per_beat, dtype=np.float64))
    if midi.in_seconds:
        tempo_bpm, beats_s = 120.0, np.arange(0, duration_s, 0.5)
    else:
        tempo_bpm = 60 * last / midi.ticks_per_beat / max(float(midi.seconds([last])[0]), 1e-6)
    key, mode = estimate_key([note for part in parts for note in _tuned(part)])
    return MidiSong(path, tempo_bpm, key, mode, duration_s, beats_s.tolist(), parts)


def estimate_key(notes: Sequence[Note]) -> tuple[int, str]:
    """Return tonic and mode that fit the notes best; C major where there are none."""
    return fit_key(_pitch_classes(notes))


def _part(
    midi: RawMidi, raw: Sequence[RawNote], channel: int, program: int, name: str
) -> Part | None:
    starts_s = midi.seconds([note.start for note in raw])
    lengths_s = np.maximum(midi.seconds([note.end for note in raw]) - starts_s, _SHORTEST_S)
    notes = [
        Note(float(start), float(length), note.pitch, note.velocity)
        for note, start, length in zip(raw, starts_s, lengths_s, strict=True)
    ]
    if channel == DRUM_CHANNEL:
        kits = [kit for kit in instruments().values() if kit.is_drums and kit.program <= program]
        hits = [note for note in notes if 35 <= note.pitch <= 81]
        return Part(Player("drums", kits[-1].name), hits) if hits else None
    instrument = _by_program().get(_INSTEAD.get(program, program))
    if instrument is None:
        return None
    role = _role(notes, program, name)
    if role in ("vocals", "backing_vocals"):
        return Part(Player(role, _singer(notes)), notes)
    return Part(Player(role, instrument.name), notes)


@cache
def _by_program() -> Mapping[int, Instrument]:
    return {
        instrument.program: instrument
        for instrument in instruments().values()
        if instrument.program >= 0 and not instrument.is_drums
    }


def _role(notes: Sequence[Note], program: int, name: str) -> str:
    """Estimate the role of a part from its name, its program and how it is played."""
    single = _is_single_line(notes)
    pitches = np.array([note.pitch for note in notes])
    lengths_s = np.array([note.duration_s for note in notes])
    if single and (_VOICE_NAME.search(name) or program in _VOICE_PROGRAMS):
        return "backing_vocals" if _BACKING_NAME.search(name) else "vocals"
    if program in _BASS_PROGRAMS or (single and np.median(pitches) < 48):
        return "bass"
    if _ARPEGGIO_NAME.search(name):
        return "arpeggio"
    if single and np.median(pitches) >= 60:
        return "lead"
    if np.median(lengths_s) > 1.5:
        return "pad"
    return "chords"


def _is_single_line(notes: Sequence[Note]) -> bool:
    """Whether hardly any notes sound together; slurs do not count."""
    together = sum(
        after.start_s < note.start_s + 0.7 * note.duration_s
        for note, after in itertools.pairwise(notes)
    )
    return together <= 0.05 * len(notes)


def _singer(notes: Sequence[Note]) -> str:
    """Return the singer who has most of the notes, the lower one of equals."""

    def within(name: str) -> int:
        singer = instruments()[name]
        return sum(singer.lowest <= note.pitch <= singer.highest for note in notes)

    return max(reversed(_SINGERS), key=within)


def _cut(notes: Sequence[Note], start_s: float, end_s: float, hits: bool) -> list[Note]:
    cut = []
    for note in notes:
        late_s = start_s - note.start_s
        if note.start_s >= end_s or (late_s > 0 and (hits or note.duration_s - late_s < 0.1)):
            continue
        begin_s, length_s = max(0.0, -late_s), note.duration_s - max(0.0, late_s)
        cut.append(replace(note, start_s=begin_s, duration_s=length_s))
    return sorted(cut, key=lambda note: note.start_s)


def _tuned(part: Part) -> Sequence[Note]:
    return () if part.player.role == "drums" else part.notes


def _pitch_classes(notes: Sequence[Note]) -> NDArray[np.float64]:
    """Return how long each pitch class sounds: ``[12]``."""
    classes = [note.pitch % 12 for note in notes]
    lengths_s = [min(note.duration_s, 4.0) for note in notes]
    weights = np.bincount(np.array(classes, np.intp), np.array(lengths_s, np.float64), 12)
    return weights.astype(np.float64)


def _chords(
    parts: Sequence[Part], beats_s: Sequence[float], duration_s: float
) -> tuple[Chord, ...]:
    """Return the triads that fit best, changing every second beat at most."""
    notes = sorted((note for part in parts for note in _tuned(part)), key=lambda note: note.start_s)
    if not notes:
        return ()
    edges = np.array([0.0, *(beat for beat in beats_s[::2] if beat > 0.05), duration_s])
    starts_s = np.array([note.start_s for note in notes])
    ends_s = starts_s + [note.duration_s for note in notes]
    classes = np.array([note.pitch % 12 for note in notes])
    templates = np.zeros((len(_TRIADS), 12))
    for row, (root, members) in enumerate(_TRIADS):
        templates[row] = -0.5
        templates[row, list(members)] = 1.0
        templates[row, root] = 1.2
    chords: list[Chord] = []
    before = 0
    for begin, end in itertools.pairwise(edges):
        inside = np.clip(np.minimum(ends_s, end) - np.maximum(starts_s, begin), 0, None)
        weights = np.bincount(classes, inside, 12)
        fits = templates @ weights
        best = int(fits.argmax())
        if not weights.any() or fits[best] <= fits[before] * 1.05:
            best = before  # no reason to change
        root, members = _TRIADS[best]
        if chords and best == before:
            chords[-1] = replace(chords[-1], duration_s=float(end) - chords[-1].start_s)
        else:
            chords.append(Chord(float(begin), float(end - begin), root, members))
        before = best
    return tuple(chords)
