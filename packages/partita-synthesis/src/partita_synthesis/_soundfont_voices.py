"""When the tones of a SoundFont sound, and how loud: everything but the audio."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from partita_synthesis._soundfont_file import Gen, Zone
from partita_synthesis.score import Note

FULL_DB = 100.0  # what decay and release times are for
CUT_S = 0.005
_SCALE = 0.5  # four loud notes together stay near full scale
_FLOOR_DB = 84.0  # this far below full scale is silence
_TOUCHES = 16  # velocities that share a filter


@dataclass(frozen=True, eq=False)
class Tone:
    """What the notes of a key that are struck about as hard have in common: all but the volume.

    Attributes
    ----------
    zone : Zone
    key : int
    values : sequence of int
        The generators as key and velocity leave them.
    """

    zone: Zone
    key: int
    values: Sequence[int]

    @property
    def pitch(self) -> tuple[object, ...]:
        """What tones have in common that are resampled alike."""
        values = self.values
        return (
            id(self.zone),
            self.key,
            values[Gen.MOD_LFO_TO_PITCH],
            values[Gen.VIBRATO_TO_PITCH],
            values[Gen.MOD_ENV_TO_PITCH],
            values[Gen.COARSE_TUNE],
            values[Gen.FINE_TUNE],
        )

    @property
    def release_s(self) -> float:
        """Seconds for the full range."""
        return max(0.01, to_seconds(self.values[Gen.VOLUME_RELEASE]))

    @property
    def sustain_db(self) -> float:
        """How far below the top it is held."""
        return min(max(self.values[Gen.VOLUME_SUSTAIN], 0), 1000) / 10

    def stages(self, first: int) -> tuple[float, float, float, float]:
        """Return delay, attack, hold and decay of the envelope that begins at `first`."""
        values, keys_up = self.values, 60 - self.key
        delay, attack = to_seconds(values[first]), max(0.001, to_seconds(values[first + 1]))
        hold = to_seconds(values[first + 2] + keys_up * values[first + 6])
        decay = max(0.001, to_seconds(values[first + 3] + keys_up * values[first + 7]))
        return delay, attack, hold, decay

    def level_db(self, at_s: float) -> float:
        """Return the volume that a held key has after `at_s`."""
        delay, attack, hold, decay = self.stages(Gen.VOLUME_ENV)
        if at_s < delay + attack:
            return 20 * math.log10(max((at_s - delay) / attack, 1e-5))
        falling_db = FULL_DB * max(0.0, at_s - delay - attack - hold) / decay
        return -min(falling_db, self.sustain_db)

    def sounds_s(self, off_s: float, gain_db: float) -> float:
        """Return how long it sounds when released after `off_s`."""
        delay, attack, hold, decay = self.stages(Gen.VOLUME_ENV)
        range_db = max(0.0, _FLOOR_DB + gain_db)
        heard_s = math.inf
        if self.sustain_db > range_db:
            heard_s = delay + attack + hold + decay * range_db / FULL_DB
        range_db = max(0.0, range_db + self.level_db(off_s))
        return min(heard_s, off_s + self.release_s * range_db / FULL_DB)


@dataclass(frozen=True, slots=True)
class Voice:
    """A tone that sounds for a note; frames count from the begin of the part."""

    start: int
    off: int
    end: int
    gain_db: float


def plan_voices(
    zones: Sequence[Zone], notes: Sequence[Note], frames: int, sample_rate: int
) -> list[tuple[Tone, list[Voice]]]:
    """Return every tone with its voices."""

    @functools.cache
    def matching(key: int, velocity: int) -> list[int]:
        return [number for number, zone in enumerate(zones) if zone.matches(key, velocity)]

    played: dict[tuple[int, int, int], tuple[Tone, list[Voice]]] = {}
    sounding: dict[int, list[tuple[list[Voice], int]]] = {}  # exclusive class → places of voices
    for note in sorted(notes, key=lambda note: note.start_s):
        start = round(note.start_s * sample_rate)
        if not 0 <= start < frames:
            continue
        struck: dict[int, list[tuple[list[Voice], int]]] = {}
        for number in matching(note.pitch, note.velocity):
            zone = zones[number]
            which = (number, note.pitch, note.velocity // _TOUCHES)
            if which not in played:
                played[which] = (_tone(zone, note), [])
            tone, voices = played[which]
            if tone.values[Gen.EXCLUSIVE_CLASS]:
                struck.setdefault(tone.values[Gen.EXCLUSIVE_CLASS], []).append(
                    (voices, len(voices))
                )
            voices.append(_voice(tone, note, start, frames, sample_rate))
        for group, places in struck.items():
            cut = start + round(CUT_S * sample_rate)
            for voices, place in sounding.get(group, ()):
                voices[place] = replace(voices[place], end=min(voices[place].end, cut))
            sounding[group] = places
    return list(played.values())


def _tone(zone: Zone, note: Note) -> Tone:
    values = zone.generators.tolist()
    key = values[Gen.FIXED_KEY] if values[Gen.FIXED_KEY] >= 0 else note.pitch
    touch = note.velocity // _TOUCHES * _TOUCHES + _TOUCHES // 2
    for (source, target), amount in zone.modulators.items():
        if target != Gen.ATTENUATION:
            values[target] += round(amount * _control(source, key, touch))
    return Tone(zone, key, values)


def _voice(tone: Tone, note: Note, start: int, frames: int, sample_rate: int) -> Voice:
    # The hardware that the format was made for made 0.4 dB of a decibel, and fonts rely on it.
    gain_db = 20 * math.log10(_SCALE) - 0.04 * max(0, tone.values[Gen.ATTENUATION])
    for (source, target), amount in tone.zone.modulators.items():
        if target == Gen.ATTENUATION:
            gain_db -= amount * _control(source, tone.key, note.velocity) / 10
    off = start + max(1, round(note.duration_s * sample_rate))
    sounding = math.ceil(tone.sounds_s((off - start) / sample_rate, gain_db) * sample_rate)
    return Voice(start, off, min(start + sounding, frames), gain_db)


def _control(source: int, key: int, velocity: int) -> float:
    """Return what a controller gives, −1 to 1 (section 8.2)."""
    if source & 0xFF == 0:
        return 1.0
    x = (velocity if source & 0xFF == 2 else key) / 127
    if source & 0x100:
        x = 1 - x
    if source & 0x200:
        sign = 1.0 if x >= 0.5 else -1.0
        return sign * _bent(abs(2 * x - 1), source >> 10)
    return _bent(x, source >> 10)


def _bent(x: float, shape: int) -> float:
    if shape == 1:  # concave
        return min(1.0, -40 / 96 * math.log10(max(1 - x, 1e-9)))
    if shape == 2:  # convex
        return 1 - min(1.0, -40 / 96 * math.log10(max(x, 1e-9)))
    if shape == 3:
        return float(x >= 0.5)
    return x


def to_seconds(timecents: float) -> float:
    return float(2 ** (min(timecents, 8000) / 1200)) if timecents > -12000 else 0.0
