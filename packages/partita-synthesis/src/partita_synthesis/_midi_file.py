"""Standard MIDI files, read with mido: notes with their lengths, names, tempos.

mido is pure Python: a damaged file raises an exception. Faster readers in C++ (symusic) crash the
process on some.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mido
import numpy as np
from numpy.typing import NDArray

from partita.errors import AudioReadError, one_line

DRUM_CHANNEL = 9
_BYTES_MAX = 2 << 20  # mido takes 250 bytes and 10 µs for each event
#: mido takes as many bytes for one number, in quadratic time; numbers have four at most.
_ENDLESS_NUMBER = re.compile(rb"[\x80-\xff]{1000}")
_BEATS_MAX = 1_000_000
_DEFAULT_TEMPO_US = 500_000


@dataclass(frozen=True)
class RawNote:
    """A note as the file has it, times in ticks."""

    start: int
    end: int
    pitch: int
    velocity: int


@dataclass
class RawMidi:
    """What is used of a MIDI file.

    Attributes
    ----------
    notes : mapping
        (track, channel, program) → notes by start.
    names : mapping of int to str
        Track → name.
    tempos : list of tuple of int
        Tick and microseconds per quarter note.
    ticks_per_beat : int
        Ticks of a quarter note; in files that count seconds, of a second.
    in_seconds : bool
        The file counts seconds, and its tempos mean nothing.
    """

    notes: dict[tuple[int, int, int], list[RawNote]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    tempos: list[tuple[int, int]] = field(default_factory=list)
    ticks_per_beat: int = 480
    in_seconds: bool = False

    def seconds(self, ticks: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the times of ticks."""
        tempos = [(0, _DEFAULT_TEMPO_US)]
        if self.in_seconds:
            tempos = [(0, 1_000_000)]
        else:
            tempos += sorted(self.tempos, key=lambda tempo: tempo[0])
        at = np.array([tick for tick, _ in tempos], np.float64)
        tick_s = np.array([us for _, us in tempos], np.float64) / 1e6 / self.ticks_per_beat
        begin_s = np.concatenate(([0.0], np.cumsum(np.diff(at) * tick_s[:-1])))
        which = np.searchsorted(at, ticks, side="right") - 1
        return np.asarray(begin_s[which] + (np.asarray(ticks) - at[which]) * tick_s[which])


def read_midi_file(path: Path) -> RawMidi:
    """Read a file, all formats.

    Raises
    ------
    AudioReadError
        It is not there, no MIDI file, cut short or damaged.
    """
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise _broken(path, "it is larger than any song")
        content = path.read_bytes()
    except OSError as error:
        raise _broken(path, error.strerror or "unknown reason") from None
    begin = content.find(b"MThd", 0, 64)  # some are wrapped in RIFF
    if begin < 0:
        raise _broken(path, "this is no MIDI file")
    try:
        if _ENDLESS_NUMBER.search(content):
            raise ValueError("a number without an end")
        file = mido.MidiFile(file=io.BytesIO(content[begin:]))
    except EOFError:
        raise _broken(path, "the file is cut short") from None
    except Exception as error:  # mido's own, OSError, ValueError, LookupError, OverflowError
        raise _broken(path, f"it is damaged: {one_line(error)}") from None
    midi = RawMidi()
    division = file.ticks_per_beat
    if division < 0:  # the upper byte: frames a second, negative; the lower: ticks a frame
        midi.in_seconds = True
        division = -(division >> 8) * (division & 0xFF)
    if not division:
        raise _broken(path, "its header is damaged")
    midi.ticks_per_beat = division
    for index, track in enumerate(file.tracks):
        _add_track(midi, index, track)
    last = max((notes[-1].end for notes in midi.notes.values()), default=0)
    if last / division > _BEATS_MAX:
        raise _broken(path, "it is longer than any song")
    return midi


def _add_track(midi: RawMidi, index: int, track: mido.MidiTrack) -> None:
    tick = 0
    programs: dict[int, int] = defaultdict(int)
    notes: dict[tuple[int, int, int], list[RawNote]] = defaultdict(list)
    held: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for event in track:
        tick += event.time
        if event.type == "program_change":
            programs[event.channel] = event.program
        elif event.type == "note_on" and event.velocity:
            start = tick, event.velocity, programs[event.channel]
            held[event.channel, event.note].append(start)
        elif event.type in ("note_on", "note_off") and held[event.channel, event.note]:
            begun, velocity, program = held[event.channel, event.note].pop(0)
            note = RawNote(begun, tick, event.note, velocity)
            notes[index, event.channel, program].append(note)
        elif event.type == "set_tempo" and event.tempo:
            midi.tempos.append((tick, event.tempo))
        elif event.type == "track_name" and index not in midi.names:
            name = event.name.encode("latin1").decode("utf-8", "replace")  # mido reads Latin-1
            midi.names[index] = one_line(name.strip())[:80]
    for (channel, pitch), unended in held.items():  # they end with the track
        for begun, velocity, program in unended:
            notes[index, channel, program].append(RawNote(begun, tick, pitch, velocity))
    for which, some in notes.items():
        midi.notes[which] = sorted(some, key=lambda note: (note.start, note.pitch, note.end))


def _broken(path: Path, why: str) -> AudioReadError:
    return AudioReadError(f"cannot read {one_line(path)} as MIDI: {why}")


def by_part(
    notes: Mapping[tuple[int, int, int], list[RawNote]],
) -> dict[tuple[int, int, int], list[RawNote]]:
    """Return notes by part: all drums together, under track and program of the first."""
    parts: dict[tuple[int, int, int], list[RawNote]] = {}
    drums: tuple[int, int, int] | None = None
    for which in sorted(notes):
        if which[1] == DRUM_CHANNEL:
            drums = drums or which
            parts.setdefault(drums, []).extend(notes[which])
        else:
            parts[which] = list(notes[which])
    return {
        which: sorted(some, key=lambda note: (note.start, note.pitch, note.end))
        for which, some in parts.items()
    }
