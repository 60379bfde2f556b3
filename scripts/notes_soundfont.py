"""Make a SoundFont of recorded notes, a folder for each instrument and a file for each note.

    python scripts/notes_soundfont.py FOLDER OUT.sf2

FOLDER holds what npm unpacks of tonejs-instrument-*-mp3 (notes by Karoryfer, of VSCO 2, of the
University of Iowa, and from Freesound; CC-BY 3.0, collected by Nicholaus P. Brosowsky): in
``bass-electric/package/Cs2.mp3`` the electric bass plays C sharp 2, MIDI key 37. Instruments that
are not there are left out. Each note is played from where it begins to where it has faded, up to
eight seconds, without a loop.
"""

from __future__ import annotations

import argparse
import itertools
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from partita.files import whole_file

NAME, LICENCE = "tonejs-instruments", "CC-BY 3.0 Nicholaus P. Brosowsky"
RATE = 44100
#: General MIDI programs, from 0, that each instrument plays.
PROGRAMS = {
    "piano": (0, 1, 2),
    "xylophone": (13,),
    "organ": (16, 19),
    "harmonium": (20, 21),
    "guitar-nylon": (24,),
    "guitar-acoustic": (25,),
    "guitar-electric": (26, 27, 28),
    "contrabass": (32, 43),
    "bass-electric": (33, 34),
    "violin": (40,),
    "cello": (42,),
    "harp": (46,),
    "trumpet": (56,),
    "trombone": (57,),
    "tuba": (58,),
    "french-horn": (60,),
    "saxophone": (64, 65, 66, 67),
    "bassoon": (70,),
    "clarinet": (71,),
    "flute": (73,),
}
_PITCHES = ("C", "Cs", "D", "Ds", "E", "F", "Fs", "G", "Gs", "A", "As", "B")
_MAX_S, _LEAD_SAMPLES, _FADE_SAMPLES = 8, 200, 400
_BEGIN, _END = 10 ** (-40 / 20), 10 ** (-60 / 20)  # of a note's loudest sample
_LOUDEST = 0.5  # of an instrument's typical note
_GUARD = np.zeros(46, np.int16)  # so many zeros follow each sample (section 6.2)
_KEYS, _MODES, _RELEASE, _SAMPLE, _ROOT, _INSTRUMENT = 43, 54, 38, 53, 58, 41  # generators
_RELEASE_TIMECENTS = round(1200 * np.log2(0.2))


@dataclass(frozen=True)
class Note:
    """A recorded note: its key in MIDI, and one channel."""

    key: int
    samples: NDArray[np.float64]


def main() -> None:
    """Write the SoundFont."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    found = {name: read_notes(arguments.folder / name) for name in PROGRAMS}
    recorded = {name: notes for name, notes in found.items() if notes}
    if not recorded:
        parser.error(f"{arguments.folder} has no folder such as bass-electric with notes in it")
    with whole_file(arguments.out) as partial:
        partial.write_bytes(soundfont(recorded))


def read_notes(folder: Path) -> list[Note]:
    """Read the notes below a folder, lowest first."""
    notes = []
    for path in folder.rglob("*.mp3"):
        named = re.fullmatch(r"([A-G]s?)(\d)", path.stem)
        if named is not None:
            samples, rate = soundfile.read(path, always_2d=True)
            samples = soxr.resample(samples.mean(axis=1), rate, RATE)
            key = 12 * (int(named[2]) + 1) + _PITCHES.index(named[1])
            notes.append(Note(key, trimmed(samples)))
    return sorted(notes, key=lambda note: note.key)


def trimmed(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a note from its begin to its end, faded there."""
    levels = np.abs(samples) / np.abs(samples).max()
    begin = max(0, int(np.argmax(levels > _BEGIN)) - _LEAD_SAMPLES)
    end = min(len(samples) - int(np.argmax(levels[::-1] > _END)), begin + _MAX_S * RATE)
    note = samples[begin:end].copy()
    fade = min(len(note), _FADE_SAMPLES)
    note[len(note) - fade :] *= np.linspace(1, 0, fade)
    return note


def soundfont(recorded: Mapping[str, Sequence[Note]]) -> bytes:
    """Return a SoundFont of instruments (Technical Specification 2.04, with section numbers)."""
    information = (
        chunk(b"ifil", struct.pack("<HH", 2, 4)),
        chunk(b"isng", b"EMU8000\0"),
        chunk(b"INAM", NAME.encode() + b"\0"),
        chunk(b"ICOP", LICENCE.encode() + b"\0"),
    )
    samples, headers = sample_tables(recorded)
    presets = (*preset_tables(recorded), *instrument_tables(recorded), headers)
    lists = {b"INFO": information, b"sdta": (samples,), b"pdta": presets}
    body = (chunk(b"LIST", name + b"".join(chunks)) for name, chunks in lists.items())
    return chunk(b"RIFF", b"sfbk" + b"".join(body))


def sample_tables(recorded: Mapping[str, Sequence[Note]]) -> tuple[bytes, bytes]:
    """Return the samples of all notes (6.1), as loud in every instrument, and headers (7.10)."""
    samples: list[NDArray[np.int16]] = []
    headers, start = [], 0
    for name, notes in recorded.items():
        loudest = float(np.median([np.abs(note.samples).max() for note in notes]))
        for note in notes:
            scaled = note.samples * (_LOUDEST / loudest)
            samples += [np.round(scaled.clip(-1, 1) * 32767).astype(np.int16), _GUARD]
            end, title = start + len(note.samples), f"{name} {note.key}"[:19].encode()
            places = (start, end, start, end)  # the loop's are not used
            headers.append(struct.pack("<20sIIIIIBbHH", title, *places, RATE, note.key, 0, 0, 1))
            start = end + len(_GUARD)
    headers.append(struct.pack("<20s26x", b"EOS"))
    sound = np.concatenate(samples).astype("<i2").tobytes()
    return chunk(b"smpl", sound), chunk(b"shdr", b"".join(headers))


def preset_tables(recorded: Mapping[str, Sequence[Note]]) -> Iterator[bytes]:
    """Yield the presets (7.2 to 7.5), each of which is one instrument."""
    presets = sorted(
        (program, index) for index, name in enumerate(recorded) for program in PROGRAMS[name]
    )
    header = "<20sHHHIII"  # name, program, bank, first bag
    names = [
        struct.pack(header, f"program {program}".encode(), program, 0, bag, 0, 0, 0)
        for bag, (program, _) in enumerate(presets)
    ]
    yield chunk(b"phdr", b"".join((*names, struct.pack(header, b"EOP", 0, 0, len(names), 0, 0, 0))))
    yield chunk(b"pbag", b"".join(struct.pack("<HH", bag, 0) for bag in range(len(names) + 1)))
    yield chunk(b"pmod", bytes(10))
    generators = (struct.pack("<HH", _INSTRUMENT, index) for _, index in presets)
    yield chunk(b"pgen", b"".join((*generators, bytes(4))))


def instrument_tables(recorded: Mapping[str, Sequence[Note]]) -> Iterator[bytes]:
    """Yield the instruments (7.6 to 7.9), a zone for each note."""
    instruments: list[bytes] = []
    zones: list[int] = []
    generators: list[tuple[int, int]] = []
    for name, notes in recorded.items():
        instruments.append(struct.pack("<20sH", name.encode(), len(zones)))
        for note, (low, high) in zip(notes, key_ranges(notes), strict=True):
            sample = len(zones)
            zones.append(len(generators))
            generators += [
                (_KEYS, low | high << 8),  # first (8.1.2)
                (_MODES, 0),
                (_ROOT, note.key),
                (_RELEASE, _RELEASE_TIMECENTS & 0xFFFF),
                (_SAMPLE, sample),  # last
            ]
    instruments.append(struct.pack("<20sH", b"EOI", len(zones)))
    yield chunk(b"inst", b"".join(instruments))
    zones.append(len(generators))
    yield chunk(b"ibag", b"".join(struct.pack("<HH", first, 0) for first in zones))
    yield chunk(b"imod", bytes(10))
    yield chunk(b"igen", b"".join(struct.pack("<HH", *each) for each in [*generators, (0, 0)]))


def key_ranges(notes: Sequence[Note]) -> list[tuple[int, int]]:
    """Return which keys each note plays: those nearer to it than to others."""
    keys = [note.key for note in notes]
    between = [(low + high) // 2 for low, high in itertools.pairwise(keys)]
    return list(zip([0, *(key + 1 for key in between)], [*between, 127], strict=True))


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


if __name__ == "__main__":
    main()
