"""Thinning SoundFonts: what the synthesiser plays of them, cut, and coded with Opus."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from partita_synthesis._soundfont_file import DRUM_BANK, Gen, Sample, SoundFontFile
from partita_synthesis.instruments import instruments

OPUS_RATE, NOTE_LEVEL = 48_000, 0.9  # libsndfile's level, from 0 (256 kbit/s) to 1 (6)
_HALF_OPUS_RATE = 24_000
_LOOPS_MAY_BE = 2.0  # times as long as notes that have none
_FADE_S, _GUARD = 0.05, 64
_VORBIS_FLAG, _ROM_FLAG = 0x10, 0x8000


@dataclass(frozen=True)
class UsedSample:
    """A sample of a SoundFont that is played."""

    sample: Sample
    duration_s: float
    loop_end_s: float

    def kept_s(self, longest_s: float) -> float:
        """Return how much of it is kept where notes have at most so many seconds."""
        has_short_loop = 0 < self.loop_end_s <= _LOOPS_MAY_BE * longest_s
        return self.loop_end_s if has_short_loop else longest_s


def used_samples(file: SoundFontFile) -> dict[tuple[int, int], UsedSample]:
    """Return the samples that the synthesiser's instruments play, by where they lie in the file."""
    used: dict[tuple[int, int], UsedSample] = {}
    wanted = {
        (DRUM_BANK if each.is_drums else 0, each.program): (each.lowest, each.highest)
        for each in instruments().values()
    }
    for preset in file.presets:
        bank, program = preset
        lowest, highest = wanted.get(preset, (0, -1))
        if bank == DRUM_BANK or len(file.presets) <= 2:  # the latter: fonts of one kit
            lowest, highest = 0, 127
        for zone in file.zones(bank, program):
            if zone.keys[1] < lowest or zone.keys[0] > highest:
                continue
            key = (zone.sample.start, zone.sample.end)
            loop_end = zone.sample.loop_end if zone.generators[Gen.LOOP_MODE] in (1, 3) else 0
            if key in used:
                loop_end = max(loop_end, round(used[key].loop_end_s * zone.sample.rate))
            rate = zone.sample.rate
            used[key] = UsedSample(
                replace(zone.sample, skip=0, trim=0),
                _frames(file, zone.sample) / rate,
                loop_end / rate,
            )
    return used


def _frames(file: SoundFontFile, sample: Sample) -> int:
    if not sample.is_compressed:
        return sample.end - sample.start
    return soundfile.info(io.BytesIO(bytes(file._samples[sample.start : sample.end]))).frames


def thinned(
    file: SoundFontFile, used: Mapping[tuple[int, int], UsedSample], longest_s: float
) -> bytes:
    """Return a SoundFont of the same presets, with those samples only, cut and coded.

    Samples are coded as if their rate were Opus's own: what they are stays in their headers.
    """
    content = file.path.read_bytes()
    headers = file._tables[b"shdr"].copy()
    coded: list[bytes] = []
    at = 0
    for row in headers[:-1]:
        compressed = bool(row["type"] & _VORBIS_FLAG)
        end = int(row["end"]) if compressed else min(int(row["end"]), len(file._samples) // 2)
        found = used.get((int(row["start"]), end))
        if found is None or row["type"] & _ROM_FLAG:
            row["start"] = row["end"] = row["loop_start"] = row["loop_end"] = 0
            row["type"] = 1
            continue
        loops = row[["loop_start", "loop_end"]].tolist()
        first, last = (loop - (0 if compressed else int(row["start"])) for loop in loops)
        rate = int(row["rate"])
        kept = round(found.kept_s(longest_s) * rate) + _GUARD
        audio = np.array(file.audio(found.sample, kept))
        if kept < round(found.duration_s * rate) and last > kept:
            first = last = 0  # without its loop
        if not last or not found.loop_end_s:
            audio = faded(audio, rate)
        coder_rate = OPUS_RATE if rate > _HALF_OPUS_RATE else _HALF_OPUS_RATE
        coded.append(opus(audio[:, None], coder_rate, NOTE_LEVEL))
        row["start"], row["end"] = at, at + len(coded[-1])
        row["loop_start"], row["loop_end"] = max(first, 0), max(last, 0)
        row["type"] = int(row["type"]) | _VORBIS_FLAG
        at += len(coded[-1])
    parts = _parts(content)
    body = [
        _chunk(b"LIST", parts[b"INFO"]),
        _chunk(b"LIST", b"sdta" + _chunk(b"smpl", b"".join(coded))),
        _chunk(b"LIST", b"pdta" + b"".join(_tables(parts[b"pdta"], headers))),
    ]
    return _chunk(b"RIFF", b"sfbk" + b"".join(body))


def _parts(content: bytes) -> dict[bytes, bytes]:
    """Return the lists of a SoundFont by their names, which they begin with."""
    return {body[:4]: body for name, body in _chunks(content[12:]) if name == b"LIST"}


def _tables(presets: bytes, headers: NDArray[Any]) -> Iterator[bytes]:
    for name, body in _chunks(presets[4:]):
        yield _chunk(name, headers.tobytes() if name == b"shdr" else body)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        name, size = struct.unpack("<4sI", content[at : at + 8])
        yield name, content[at + 8 : at + 8 + size]
        at += 8 + size
        if size % 2 and content[at : at + 1] == b"\0":
            at += 1


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def opus(samples: NDArray[np.float32], rate: int, level: float) -> bytes:
    """Code ``[samples, channels]``."""
    file = io.BytesIO()
    soundfile.write(
        file, samples.clip(-1, 1), rate, format="OGG", subtype="OPUS", compression_level=level
    )
    return file.getvalue()


def faded(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return ``[samples, …]`` faded out."""
    fade = min(len(samples), round(_FADE_S * rate))
    faded = samples.copy()
    ramp = np.linspace(1, 0, fade, dtype=np.float32)
    faded[len(faded) - fade :] *= ramp.reshape(-1, *[1] * (samples.ndim - 1))
    return faded
