"""What is in a SoundFont file: version 2 (``.sf2``) and its compressed form (``.sf3``).

The names of the chunks are those of the SoundFont Technical Specification 2.04; its section
numbers are quoted where the code follows them.
"""

from __future__ import annotations

import functools
import io
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from partita.errors import UsageError, one_line
from partita_synthesis._sample_cache import SampleCache

DRUM_BANK = 128


class Gen(IntEnum):
    """The generators (section 8.1.2) that are followed; of four-fold ones, the first."""

    START = 0
    END = 1
    LOOP_START = 2
    LOOP_END = 3
    START_COARSE = 4
    MOD_LFO_TO_PITCH = 5
    VIBRATO_TO_PITCH = 6
    MOD_ENV_TO_PITCH = 7
    CUTOFF = 8
    RESONANCE = 9
    MOD_LFO_TO_CUTOFF = 10
    MOD_ENV_TO_CUTOFF = 11
    END_COARSE = 12
    MOD_LFO_TO_VOLUME = 13
    PAN = 17
    MOD_LFO = 21  # delay, frequency
    VIBRATO = 23  # delay, frequency
    MOD_ENV = 25  # delay, attack, hold, decay, sustain, release, and how keys change two of them
    MOD_ENV_SUSTAIN = 29
    VOLUME_ENV = 33  # the same
    VOLUME_SUSTAIN = 37
    VOLUME_RELEASE = 38
    INSTRUMENT = 41
    KEYS = 43
    VELOCITIES = 44
    LOOP_START_COARSE = 45
    FIXED_KEY = 46
    FIXED_VELOCITY = 47
    ATTENUATION = 48
    LOOP_END_COARSE = 50
    COARSE_TUNE = 51
    FINE_TUNE = 52
    SAMPLE = 53
    LOOP_MODE = 54
    CENTS_PER_KEY = 56
    EXCLUSIVE_CLASS = 57
    ROOT_KEY = 58


_GENERATORS = 61
_DEFAULTS = np.zeros(_GENERATORS, np.int32)
_DEFAULTS[[21, 23, 25, 26, 27, 28, 30, 33, 34, 35, 36, 38]] = -12000  # times
_DEFAULTS[Gen.CUTOFF] = 13500  # open
_DEFAULTS[Gen.CENTS_PER_KEY] = 100
_DEFAULTS[[Gen.FIXED_KEY, Gen.FIXED_VELOCITY, Gen.ROOT_KEY]] = -1
# Addresses, links and substitutions are not for presets, which only add.
_NOT_ADDED = [0, 1, 2, 3, 4, 12, 41, 43, 44, 45, 46, 47, 50, 53, 54, 57, 58]

_TABLES: dict[bytes, list[tuple[str, str]]] = {
    b"phdr": [
        ("name", "S20"),
        ("program", "<u2"),
        ("bank", "<u2"),
        ("bag", "<u2"),
        ("library", "<u4"),
        ("genre", "<u4"),
        ("morphology", "<u4"),
    ],
    b"inst": [("name", "S20"), ("bag", "<u2")],
    b"shdr": [
        ("name", "S20"),
        ("start", "<u4"),
        ("end", "<u4"),
        ("loop_start", "<u4"),
        ("loop_end", "<u4"),
        ("rate", "<u4"),
        ("root_key", "u1"),
        ("correction", "i1"),
        ("link", "<u2"),
        ("type", "<u2"),
    ],
}
for _letter in (b"p", b"i"):
    _TABLES[_letter + b"bag"] = [("generator", "<u2"), ("modulator", "<u2")]
    _TABLES[_letter + b"gen"] = [("operator", "<u2"), ("amount", "<i2")]
    _TABLES[_letter + b"mod"] = [
        ("source", "<u2"),
        ("target", "<u2"),
        ("amount", "<i2"),
        ("amount_source", "<u2"),
        ("transform", "<u2"),
    ]
_VORBIS = 0x10  # flag of a sample's type
# Section 8.4.1: louder when struck harder, 40 dB for a tenth of the velocity. Section 8.4.2 (also
# brighter) is left to the fonts, as other players do.
_DEFAULT_MODULATORS: dict[tuple[int, int], int] = {(0x0502, Gen.ATTENUATION): 960}
_DECODED_BYTES_MAX = 96 << 20
_decoded = SampleCache(_DECODED_BYTES_MAX)


@dataclass(frozen=True)
class Sample:
    """Where a sample is in the file, and how it loops.

    Attributes
    ----------
    start, end : int
        Frames of the sample chunk; of compressed samples, bytes.
    skip, trim : int
        Frames left out at begin and end.
    loop_start, loop_end : int
        Frames of what is left.
    rate : int
        In hertz.
    root_key : int
        The MIDI key that it sounds at its own rate.
    correction : int
        In cents.
    is_compressed : bool
    """

    start: int
    end: int
    skip: int
    trim: int
    loop_start: int
    loop_end: int
    rate: int
    root_key: int
    correction: int
    is_compressed: bool


@dataclass(frozen=True, eq=False)
class Zone:
    """A sample under some keys and velocities, and how it is played there.

    Attributes
    ----------
    keys, velocities : tuple of int
        Lowest and highest.
    sample : Sample
    generators : int32 [61]
        Values by number.
    modulators : mapping
        (source, generator) → amount.
    """

    keys: tuple[int, int]
    velocities: tuple[int, int]
    sample: Sample
    generators: NDArray[np.int32]
    modulators: Mapping[tuple[int, int], int]

    def matches(self, key: int, velocity: int) -> bool:
        """Whether a note of that key and velocity plays it."""
        return (
            self.keys[0] <= key <= self.keys[1]
            and self.velocities[0] <= velocity <= self.velocities[1]
        )


@dataclass(eq=False)
class SoundFontFile:
    """A file that stays open, its samples where they are on the disk.

    Attributes
    ----------
    path : Path
    info : mapping of str to str
        Texts by the names of their chunks, such as ``"INAM"``.
    presets : mapping
        (bank, program) → number of the preset.
    """

    path: Path
    info: Mapping[str, str]
    presets: Mapping[tuple[int, int], int]
    _tables: Mapping[bytes, NDArray[Any]]
    _samples: memoryview
    _zones: dict[int, tuple[Zone, ...]] = field(default_factory=dict)

    def zones(self, bank: int, program: int) -> tuple[Zone, ...]:
        """Return the zones of a preset that is there."""
        number = self.presets[bank, program]
        if number not in self._zones:
            try:
                self._zones[number] = tuple(self._read_zones(number))
            except (IndexError, ValueError):
                raise _broken(self.path, f"preset {program} of bank {bank} is damaged") from None
        return self._zones[number]

    def audio(self, sample: Sample, frames_max: int) -> NDArray[np.float32]:
        """Return the begin of a sample, full scale ±1: ``[frames]``, not to be written to.

        Raises
        ------
        UsageError
            It cannot be decoded.
        """
        if sample.is_compressed:
            where = (self.path, sample.start, sample.end)
            audio = _decoded.get(where, lambda: self._decode(sample))
            return audio[sample.skip : len(audio) - sample.trim][:frames_max]
        start, end = sample.start + sample.skip, sample.end - sample.trim
        raw = self._samples[2 * start : 2 * min(end, start + frames_max)]
        return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768)

    def _decode(self, sample: Sample) -> NDArray[np.float32]:
        raw = bytes(self._samples[sample.start : sample.end])
        try:
            audio, _ = soundfile.read(io.BytesIO(raw), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            raise _broken(self.path, "a sample cannot be decoded") from None
        return np.ascontiguousarray(audio[:, 0])

    def _read_zones(self, preset: int) -> Iterator[Zone]:
        for outer, added, _ in self._bags(b"p", preset, Gen.INSTRUMENT):
            for inner, own, number in self._bags(b"i", outer[Gen.INSTRUMENT], Gen.SAMPLE):
                values = _DEFAULTS.copy()
                values[list(inner)] = list(inner.values())
                for operator, amount in outer.items():
                    if operator not in _NOT_ADDED:
                        values[operator] += amount
                modulators = {**_DEFAULT_MODULATORS, **own}
                for which, amount in added.items():
                    modulators[which] = modulators.get(which, 0) + amount
                keys = _overlap(outer.get(Gen.KEYS), inner.get(Gen.KEYS))
                velocities = _overlap(outer.get(Gen.VELOCITIES), inner.get(Gen.VELOCITIES))
                sample = self._read_sample(number, values)
                if sample is not None:
                    yield Zone(keys, velocities, sample, values, modulators)

    def _bags(
        self, letter: bytes, owner: int, link: int
    ) -> Iterator[tuple[dict[int, int], dict[tuple[int, int], int], int]]:
        """Give generators, modulators and link of each zone, after what its global zone says."""
        owners = self._tables[b"phdr" if letter == b"p" else b"inst"]["bag"]
        if not 0 <= owner < len(owners) - 1:
            raise IndexError(owner)
        bags = self._tables[letter + b"bag"]
        generators, modulators = self._tables[letter + b"gen"], self._tables[letter + b"mod"]
        common: dict[int, int] = {}
        common_modulators: dict[tuple[int, int], int] = {}
        first, last = int(owners[owner]), int(owners[owner + 1])
        for bag in range(first, last):
            own = dict(common)
            rows = generators[bags["generator"][bag] : bags["generator"][bag + 1]]
            own.update({number: value for number, value in rows.tolist() if number < _GENERATORS})
            rows = modulators[bags["modulator"][bag] : bags["modulator"][bag + 1]]
            own_modulators = {**common_modulators, **_plain_modulators(rows)}
            if link in own:
                yield own, own_modulators, own[link] & 0xFFFF
            elif bag == first:
                common, common_modulators = own, own_modulators

    def _read_sample(self, number: int, values: NDArray[np.int32]) -> Sample | None:
        row = self._tables[b"shdr"][number]
        compressed = bool(row["type"] & _VORBIS)
        start, end = int(row["start"]), int(row["end"])
        if not compressed:
            end = min(end, len(self._samples) // 2)
        if end - start < 8 or not row["rate"] or row["type"] & 0x8000:  # the latter: in a ROM
            return None
        skip = max(0, int(values[Gen.START] + 32768 * values[Gen.START_COARSE]))
        trim = max(0, -int(values[Gen.END] + 32768 * values[Gen.END_COARSE]))
        # Section 7.10: loops count from the begin of the chunk; those of compressed samples do not.
        origin = skip + (0 if compressed else start)
        loop_start = int(values[Gen.LOOP_START] + 32768 * values[Gen.LOOP_START_COARSE])
        loop_end = int(values[Gen.LOOP_END] + 32768 * values[Gen.LOOP_END_COARSE])
        root = int(values[Gen.ROOT_KEY]) if values[Gen.ROOT_KEY] >= 0 else int(row["root_key"])
        return Sample(
            start,
            end,
            skip,
            trim,
            loop_start + int(row["loop_start"]) - origin,
            loop_end + int(row["loop_end"]) - origin,
            int(row["rate"]),
            root if root <= 127 else 60,
            int(row["correction"]),
            compressed,
        )


def _plain_modulators(rows: NDArray[Any]) -> dict[tuple[int, int], int]:
    """Keep what velocity (2), key (3) or nothing (0) controls: the rest is at rest."""
    return {
        (source, target): amount
        for source, target, amount, amount_source, _ in rows.tolist()
        if source & 0xFF in (0, 2, 3) and not amount_source and target < _GENERATORS
    }


def _overlap(outer: int | None, inner: int | None) -> tuple[int, int]:
    low, high = 0, 127
    for both in (outer, inner):
        if both is not None:
            low, high = max(low, both & 0xFF), min(high, (both >> 8) & 0xFF)
    return low, high


@functools.lru_cache(maxsize=8)
def open_soundfont_file(path: Path) -> SoundFontFile:
    """Open a SoundFont; the file stays open for the next call.

    Raises
    ------
    UsageError
        It is not a SoundFont, or a broken one.
    """
    try:
        with path.open("rb") as stream:
            content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:  # ValueError: the file is empty
        raise _broken(path, getattr(error, "strerror", None) or "the file is empty") from None
    if bytes(content[:4]) != b"RIFF" or bytes(content[8:12]) != b"sfbk":
        raise _broken(path, "this is no SoundFont")
    if 8 + struct.unpack("<I", content[4:8])[0] > len(content) + 1:
        raise _broken(path, "the file is cut short")
    parts = {bytes(body[:4]): body[4:] for name, body in _chunks(content[12:]) if name == b"LIST"}
    info = {
        name.decode("latin-1"): bytes(body).split(b"\0")[0].decode("utf-8", "replace").strip()
        for name, body in _chunks(parts.get(b"INFO", content[:0]))
        if name[:1] == b"I"
    }
    tables = _read_tables(path, dict(_chunks(parts.get(b"pdta", content[:0]))))
    samples = dict(_chunks(parts.get(b"sdta", content[:0]))).get(b"smpl")
    if samples is None:
        raise _broken(path, "it has no samples")
    headers = tables[b"phdr"][:-1]
    presets = {
        (int(header["bank"]), int(header["program"])): number
        for number, header in enumerate(headers)
    }
    return SoundFontFile(path, info, presets, tables, samples)


def _read_tables(path: Path, chunks: Mapping[bytes, memoryview]) -> dict[bytes, NDArray[Any]]:
    tables = {}
    for name, columns in _TABLES.items():
        row = np.dtype(columns)
        body = chunks.get(name, b"")
        tables[name] = np.frombuffer(body[: len(body) // row.itemsize * row.itemsize], row)
        if len(tables[name]) < 1:
            raise _broken(path, f"its table {name.decode()} is missing")
    return tables


def _chunks(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(content):
        name, size = struct.unpack("<4sI", content[at : at + 8])
        at += 8
        yield name, content[at : at + size]
        at += size
        if size % 2 and bytes(content[at : at + 1]) == b"\0":  # some writers forget to fill up
            at += 1


def _broken(path: Path, why: str) -> UsageError:
    return UsageError(f"cannot read {one_line(path)} as a SoundFont: {why}")
