"""Make a SoundFont of recorded notes, a folder for each instrument and a file for each note.

    python packages/partita-synthesis/scripts/notes_soundfont.py FOLDER OUT.sf2

FOLDER holds one of two collections; instruments that are not there are left out.

* What npm unpacks of tonejs-instrument-*-mp3 (notes by Karoryfer, of VSCO 2, of the University of
  Iowa, and from Freesound; CC-BY 3.0, collected by Nicholaus P. Brosowsky): in
  ``bass-electric/package/Cs2.mp3`` the electric bass plays C sharp 2, MIDI key 37.
* Basses and a guitar by Karoryfer (CC0): ``double-bass-arco/bb1_mf_2.opus`` is B flat 1, played
  mezzo forte, take 2.

Each note is played from where it begins to where it has faded, up to eight seconds, without a
loop. Harder velocities play louder layers, and neighbouring velocities alternate between the takes
of a layer. All layers of a key are made as loud, since the velocity alone sets the volume. The
pitch of each note is measured and corrected.
"""

from __future__ import annotations

import argparse
import itertools
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy import signal

from partita.audio.extensions import AUDIO_EXTENSIONS
from partita.files import whole_file

RATE = 44100


@dataclass(frozen=True)
class Collection:
    """Recorded instruments of one origin.

    Attributes
    ----------
    name, licence : str
        What the SoundFont says of itself.
    programs : mapping of str to tuple of int
        Folder of an instrument → General MIDI programs, from 0, that it plays.
    """

    name: str
    licence: str
    programs: Mapping[str, tuple[int, ...]]


COLLECTIONS = (
    Collection(
        "tonejs-instruments",
        "CC-BY 3.0 Nicholaus P. Brosowsky",
        {
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
        },
    ),
    Collection(
        "Karoryfer basses and guitar",
        "CC0 1.0 D. Smolken (Karoryfer Lecolds)",
        {
            "archtop-guitar": (26, 27),
            "double-bass-pizzicato": (32, 35),  # a bass without frets, too
            "fashion-bass": (33,),
            "growly-bass": (34,),
            "double-bass-arco": (43,),
        },
    ),
)
_NAMED = re.compile(r"([A-Ga-g])([sb]?)(\d)(?:_(pp|p|mp|mf|m|f|ff|vl\d)_(\d))?")
_PITCHES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_DYNAMICS = ("pp", "p", "mp", "m", "mf", "f", "ff")
_MAX_S, _LEAD_SAMPLES, _FADE_S = 8, 200, 0.3
_BEGIN, _END = 10 ** (-40 / 20), 10 ** (-60 / 20)  # of a note's loudest sample
_LOUDEST, _CLIPPED = 0.5, 0.99  # of an instrument's typical note, and of its loudest
_LEVEL_S = 0.5  # of a note's begin, whose RMS is its level
_PITCH_S = (0.3, 0.9)  # where pitch is measured: strings that are struck hard begin sharp
_LOWEST_HZ = 20
_LIKENESS = 0.6  # of what has a pitch, and how like it is to itself a period later
_NEARLY = 0.93
_NEAR_SEMITONES = 1.5
_IN_TUNE_CENTS = 10
_TAKE_VELOCITIES = 3  # neighbouring velocities that play the same take
_GUARD = np.zeros(46, np.int16)  # so many zeros follow each sample (section 6.2)
# Generators:
_RELEASE, _INSTRUMENT, _KEYS, _VELOCITIES, _SAMPLE, _MODES, _ROOT = 38, 41, 43, 44, 53, 54, 58
_RELEASE_TIMECENTS = round(1200 * np.log2(0.2))


@dataclass(frozen=True, eq=False)
class Note:
    """A recorded note.

    Attributes
    ----------
    key : int
        In MIDI.
    samples : ndarray
        float64 ``[samples]``, at `RATE`.
    layer : int
        How hard it is played, compared with others; higher is harder.
    take : int
        Which of several alike.
    cents : float
        How far it is above the key.
    """

    key: int
    samples: NDArray[np.float64]
    layer: int = 0
    take: int = 0
    cents: float = 0.0


def main() -> None:
    """Write the SoundFont, and print what was corrected."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    for collection in COLLECTIONS:
        found = {name: read_notes(arguments.folder / name) for name in collection.programs}
        recorded = {name: notes for name, notes in found.items() if notes}
        if recorded:
            break
    else:
        parser.error(f"{arguments.folder} has no folder such as bass-electric with notes in it")
    tuned = {name: in_tune(name, notes) for name, notes in recorded.items()}
    levelled = {name: as_loud(notes) for name, notes in tuned.items()}
    with whole_file(arguments.out) as partial:
        partial.write_bytes(soundfont(collection, levelled))


def read_notes(folder: Path) -> list[Note]:
    """Read the notes below a folder, lowest and softest first."""
    notes = []
    for path in sorted(folder.rglob("*.*")):
        named = _NAMED.fullmatch(path.stem)
        if named is not None and path.suffix in AUDIO_EXTENSIONS:
            samples, rate = soundfile.read(path, always_2d=True)
            samples = soxr.resample(samples.mean(axis=1), rate, RATE)
            letter, accidental, octave, dynamics, take = named.groups()
            key = 12 * (int(octave) + 1) + _PITCHES[letter.lower()]
            key += {"s": 1, "b": -1, "": 0}[accidental]
            if dynamics is None:
                layer = 0
            elif dynamics.startswith("vl"):
                layer = int(dynamics[2:])
            else:
                layer = _DYNAMICS.index(dynamics)
            notes.append(Note(key, trimmed(samples), layer, int(take or 0)))
    return sorted(notes, key=lambda note: (note.key, note.layer, note.take))


def trimmed(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a note from its begin to its end, faded there."""
    levels = np.abs(samples) / np.abs(samples).max()
    begin = max(0, int(np.argmax(levels > _BEGIN)) - _LEAD_SAMPLES)
    end = min(len(samples) - int(np.argmax(levels[::-1] > _END)), begin + _MAX_S * RATE)
    note = samples[begin:end].copy()
    fade = min(len(note) // 8, round(_FADE_S * RATE))
    note[len(note) - fade :] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    return note


def in_tune(name: str, notes: Sequence[Note]) -> list[Note]:
    """Return the notes of an instrument with measured pitches; print what their names say wrongly.

    Names that are octaves off are so for the whole instrument.
    """
    measured = [pitch(note.samples) for note in notes]
    octaves = [(found - note.key) / 12 for note, found in zip(notes, measured, strict=True)]
    shift = 12 * round(float(np.nanmedian(octaves)))
    tuned = []
    for note in notes:
        key = note.key + shift
        near = pitch(note.samples, around=key)
        cents = 0.0 if np.isnan(near) else 100 * (near - key)
        tuned.append(replace(note, key=key, cents=cents))
    off = np.abs([note.cents for note in tuned])
    print(
        f"{name}: {len(notes)} notes, {shift:+d} semitones, {np.median(off):.0f} cents off in the "
        f"median, {off.max():.0f} at most; {np.sum(off > _IN_TUNE_CENTS)} by more than "
        f"{_IN_TUNE_CENTS}"
    )
    return tuned


def pitch(samples: NDArray[np.float64], around: int | None = None) -> float:
    """Measure a note's pitch as a MIDI key.

    By the normalised square difference of its samples and the same some time later (McLeod &
    Wyvill 2005): of its peaks, the first that is nearly as high as the highest is the period.
    Where `around` is given, the period is within a semitone and a half of that key's, or nan.
    """
    low_cut = signal.butter(2, _LOWEST_HZ, "highpass", fs=RATE, output="sos")
    sound = signal.sosfiltfilt(low_cut, samples)
    begin, end = (round(seconds * RATE) for seconds in _PITCH_S)
    if len(sound) > 2 * begin:
        sound = sound[begin:end]
    lags = np.arange(min(RATE // _LOWEST_HZ, len(sound) // 2))
    power = np.abs(np.fft.rfft(sound, 2 * len(sound))) ** 2
    energies = np.concatenate(([0.0], np.cumsum(sound**2)))
    both = energies[len(sound) - lags] + energies[-1] - energies[lags]
    likeness = 2 * np.fft.irfft(power)[: len(lags)] / np.maximum(both, 1e-12)
    peaks, _ = signal.find_peaks(likeness, height=_LIKENESS)
    first_dip = int(np.argmax(likeness < 0))
    peaks = peaks[peaks > first_dip]
    if around is not None:
        keys = 69 + 12 * np.log2(RATE / peaks / 440)
        peaks = peaks[np.abs(keys - around) < _NEAR_SEMITONES]
        peaks = peaks[np.argsort(-likeness[peaks])][:1]
    if not len(peaks):
        return float("nan")
    period = peaks[likeness[peaks] > _NEARLY * likeness[peaks].max()][0]
    left, middle, right = likeness[period - 1 : period + 2]
    between = (left - right) / (2 * (left - 2 * middle + right))
    return float(69 + 12 * np.log2(RATE / (period + between) / 440))


def as_loud(notes: Sequence[Note]) -> list[Note]:
    """Return notes whose layers and takes are as loud as the hardest layer of their key."""
    levelled = []
    for _, group in itertools.groupby(notes, key=lambda note: note.key):
        alike = list(group)
        hardest = max(note.layer for note in alike)
        aim = np.mean([level(note.samples) for note in alike if note.layer == hardest])
        levelled += [
            replace(note, samples=note.samples * (aim / level(note.samples))) for note in alike
        ]
    return levelled


def level(samples: NDArray[np.float64]) -> float:
    """Return how loud a note begins: the RMS there."""
    return float(np.sqrt(np.mean(samples[: round(_LEVEL_S * RATE)] ** 2)))


def soundfont(collection: Collection, recorded: Mapping[str, Sequence[Note]]) -> bytes:
    """Return a SoundFont of instruments (Technical Specification 2.04, with section numbers)."""
    information = (
        chunk(b"ifil", struct.pack("<HH", 2, 4)),
        chunk(b"isng", b"EMU8000\0"),
        chunk(b"INAM", text(collection.name)),
        chunk(b"ICOP", text(collection.licence)),
    )
    samples, headers = sample_tables(recorded)
    presets = (*preset_tables(collection, recorded), *instrument_tables(recorded), headers)
    lists = {b"INFO": information, b"sdta": (samples,), b"pdta": presets}
    body = (chunk(b"LIST", name + b"".join(chunks)) for name, chunks in lists.items())
    return chunk(b"RIFF", b"sfbk" + b"".join(body))


def sample_tables(recorded: Mapping[str, Sequence[Note]]) -> tuple[bytes, bytes]:
    """Return the samples of all notes (6.1), as loud in every instrument, and headers (7.10)."""
    samples: list[NDArray[np.int16]] = []
    headers, start = [], 0
    for name, notes in recorded.items():
        peaks = [np.abs(note.samples).max() for note in notes]
        gain = min(_LOUDEST / np.median(peaks), _CLIPPED / max(peaks))
        for note in notes:
            samples += [np.round(gain * note.samples * 32767).astype(np.int16), _GUARD]
            end, title = start + len(note.samples), f"{name} {note.key}"[:19].encode()
            places = (start, end, start, end)  # the loop's are not used
            correction = 100 * (root(note) - note.key) - round(note.cents)
            headers.append(
                struct.pack("<20sIIIIIBbHH", title, *places, RATE, root(note), correction, 0, 1)
            )
            start = end + len(_GUARD)
    headers.append(struct.pack("<20s26x", b"EOS"))
    sound = np.concatenate(samples).astype("<i2").tobytes()
    return chunk(b"smpl", sound), chunk(b"shdr", b"".join(headers))


def root(note: Note) -> int:
    """Return the key that is nearest to the pitch of a note."""
    return note.key + round(note.cents / 100)


def preset_tables(
    collection: Collection, recorded: Mapping[str, Sequence[Note]]
) -> Iterator[bytes]:
    """Yield the presets (7.2 to 7.5), each of which is one instrument."""
    presets = sorted(
        (program, index)
        for index, name in enumerate(recorded)
        for program in collection.programs[name]
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
    """Yield the instruments (7.6 to 7.9), a zone for each note and the velocities that play it."""
    instruments: list[bytes] = []
    bags: list[int] = []
    generators: list[tuple[int, int]] = []
    first = 0  # sample of the instrument
    for name, notes in recorded.items():
        instruments.append(struct.pack("<20sH", name.encode(), len(bags)))
        for (low, high), (softest, hardest), index in zones(notes):
            bags.append(len(generators))
            generators += [
                (_KEYS, low | high << 8),  # first (8.1.2)
                (_VELOCITIES, softest | hardest << 8),  # second
                (_MODES, 0),
                (_ROOT, root(notes[index])),
                (_RELEASE, _RELEASE_TIMECENTS & 0xFFFF),
                (_SAMPLE, first + index),  # last
            ]
        first += len(notes)
    instruments.append(struct.pack("<20sH", b"EOI", len(bags)))
    yield chunk(b"inst", b"".join(instruments))
    bags.append(len(generators))
    yield chunk(b"ibag", b"".join(struct.pack("<HH", generator, 0) for generator in bags))
    yield chunk(b"imod", bytes(10))
    yield chunk(b"igen", b"".join(struct.pack("<HH", *each) for each in [*generators, (0, 0)]))


def zones(notes: Sequence[Note]) -> Iterator[tuple[tuple[int, int], tuple[int, int], int]]:
    """Yield keys, velocities, and the number of the note that they play."""
    keys = sorted({note.key for note in notes})
    for key, range_ in zip(keys, key_ranges(keys), strict=True):
        layers = sorted({note.layer for note in notes if note.key == key})
        for number, layer in enumerate(layers):
            takes = [
                index for index, note in enumerate(notes) if (note.key, note.layer) == (key, layer)
            ]
            softest, above = (128 * each // len(layers) for each in (number, number + 1))
            step = _TAKE_VELOCITIES if len(takes) > 1 else above - softest
            for turn, velocity in enumerate(range(softest, above, step)):
                hardest = min(velocity + step, above) - 1
                yield range_, (velocity, hardest), takes[turn % len(takes)]


def key_ranges(keys: Sequence[int]) -> list[tuple[int, int]]:
    """Return which keys each recorded key plays: those nearer to it than to others."""
    between = [(low + high) // 2 for low, high in itertools.pairwise(keys)]
    return list(zip([0, *(key + 1 for key in between)], [*between, 127], strict=True))


def text(content: str) -> bytes:
    """Return a text that ends with one zero or two, so that their number is even (section 5)."""
    return content.encode() + bytes(2 - len(content.encode()) % 2)


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


if __name__ == "__main__":
    main()
