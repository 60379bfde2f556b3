"""Standard MIDI files, read so that no file can do harm.

Libraries that are faster exist; those in reach crash the whole process on some damaged files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from partita.errors import AudioReadError, one_line

DRUM_CHANNEL = 9
_BYTES_MAX = 32 << 20
_BEATS_MAX = 1_000_000
_DEFAULT_TEMPO_US = 500_000
# Data bytes by the upper half of the status.
_LENGTHS = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}


@dataclass(frozen=True)
class RawNote:
    """A note as the file has it, times in ticks."""

    start: int
    end: int
    pitch: int
    velocity: int


@dataclass
class RawMidi:
    """What is used of a file.

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
        Tempos mean nothing: the file counts seconds.
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
        return _read(content, begin)
    except IndexError:
        raise _broken(path, "the file is cut short") from None
    except ValueError as error:
        raise _broken(path, str(error)) from None


def _read(content: bytes, at: int) -> RawMidi:
    midi = RawMidi()
    tracks = 0
    for name, body in _chunks(content, at):
        if name == b"MThd":
            division = int.from_bytes(body[4:6], "big")
            midi.in_seconds = bool(division & 0x8000)
            if midi.in_seconds:  # frames a second, negative, and ticks a frame
                division = (256 - (division >> 8)) * (division & 0xFF)
            if len(body) < 6 or not division:
                raise ValueError("its header is damaged")
            midi.ticks_per_beat = division
        elif name == b"MTrk":
            _read_track(midi, tracks, body)
            tracks += 1
    last = max((notes[-1].end for notes in midi.notes.values()), default=0)
    if last / midi.ticks_per_beat > _BEATS_MAX:
        raise ValueError("it is longer than any song")
    return midi


def _chunks(content: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "big")
        at += 8
        if name == b"MTrk" and at + size > len(content):
            raise IndexError(at)
        yield name, content[at : at + size]
        at += size


def _read_track(midi: RawMidi, track: int, body: bytes) -> None:
    at = tick = status = 0
    programs: dict[int, int] = defaultdict(int)
    notes: dict[tuple[int, int, int], list[RawNote]] = defaultdict(list)
    held: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    while at < len(body):
        wait, at = _number(body, at)
        tick += wait
        if body[at] & 0x80:
            status = body[at]
            at += 1
        if status >= 0xF0:
            kind = body[at] if status == 0xFF else -1
            size, at = _number(body, at + (status == 0xFF))
            if at + size > len(body):
                raise IndexError(at)
            _meta(midi, track, tick, kind, body[at : at + size])
            at += size
            status = 0
            continue
        if not status:
            raise ValueError("its events are damaged")
        kind, channel = status >> 4, status & 0xF
        first, second = body[at], body[at + 1] if _LENGTHS[kind] == 2 else 0
        at += _LENGTHS[kind]
        if first > 127 or second > 127:
            raise ValueError("its events are damaged")
        if kind == 0xC:
            programs[channel] = first
        elif kind == 0x9 and second:
            held[channel, first].append((tick, second, programs[channel]))
        elif kind in (0x8, 0x9) and held[channel, first]:
            start, velocity, program = held[channel, first].pop(0)
            notes[track, channel, program].append(RawNote(start, tick, first, velocity))
    for (channel, pitch), forgotten in held.items():  # never let go: they end with the track
        for start, velocity, program in forgotten:
            notes[track, channel, program].append(RawNote(start, tick, pitch, velocity))
    for which, some in notes.items():
        midi.notes[which] = sorted(some, key=lambda note: (note.start, note.pitch, note.end))


def _meta(midi: RawMidi, track: int, tick: int, kind: int, body: bytes) -> None:
    if kind == 0x51 and len(body) == 3:
        tempo_us = int.from_bytes(body, "big")
        if tempo_us:
            midi.tempos.append((tick, tempo_us))
    elif kind == 0x03 and track not in midi.names:
        midi.names[track] = one_line(body.decode("utf-8", "replace").strip())[:80]


def _number(body: bytes, at: int) -> tuple[int, int]:
    """Return a number of up to four bytes, and where it ends."""
    number = 0
    for _ in range(4):
        byte = body[at]
        at += 1
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            return number, at
    raise ValueError("its events are damaged")


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
