"""Scores: who plays which note when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: What a part does in a song.
ROLES = (
    "drums",
    "percussion",
    "bass",
    "chords",  # strummed, comped or held: whatever carries the harmony
    "riff",
    "arpeggio",
    "pad",
    "lead",
    "vocals",
    "backing_vocals",
)


@dataclass(frozen=True, slots=True)
class Note:
    """A note, or a hit of a drum.

    Attributes
    ----------
    start_s, duration_s : float
        In seconds; as played, not as written.
    pitch : int
        MIDI key, 0 to 127; of drums, General MIDI's percussion key (36 is the bass drum).
    velocity : int
        1 to 127.
    syllable : str
        What is sung, such as ``"la"``; empty elsewhere.
    """

    start_s: float
    duration_s: float
    pitch: int
    velocity: int
    syllable: str = ""


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord and its time.

    Attributes
    ----------
    start_s, duration_s : float
        In seconds.
    root : int
        Pitch class, 0 (C) to 11.
    pitch_classes : tuple of int
        The root's among them.
    """

    start_s: float
    duration_s: float
    root: int
    pitch_classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A section: verse, chorus, ….

    Attributes
    ----------
    name : str
    start_s, duration_s : float
        In seconds.
    energy : float
        0 (sparse) to 1 (everybody plays).
    """

    name: str
    start_s: float
    duration_s: float
    energy: float


@dataclass(frozen=True)
class Player:
    """A player: a role and an instrument.

    Attributes
    ----------
    role : str
        One of `ROLES`.
    instrument : str
        Name in the table of instruments.
    """

    role: str
    instrument: str


@dataclass(frozen=True)
class Part:
    """What one player plays.

    Attributes
    ----------
    player : Player
    notes : sequence of Note
        By start. A part may be empty.
    """

    player: Player
    notes: Sequence[Note]


@dataclass(frozen=True)
class Score:
    """A song as notes.

    Attributes
    ----------
    style : str
    tempo_bpm : float
        Quarter notes in a minute; of songs whose tempo changes, the mean.
    key : int
        Pitch class of the tonic, 0 (C) to 11.
    mode : str
        ``"major"`` or ``"minor"``.
    duration_s : float
        No note starts later; those that sound on are faded out.
    beats_s : sequence of float
        Where the beats fall, as written.
    chords : sequence of Chord
        Without gaps or overlaps, where they are known.
    sections : sequence of Section
    parts : sequence of Part
    """

    style: str
    tempo_bpm: float
    key: int
    mode: str
    duration_s: float
    beats_s: Sequence[float]
    chords: Sequence[Chord]
    sections: Sequence[Section]
    parts: Sequence[Part]
