"""Drum machines: kits, and how they are played."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partita_synthesis.electronic.envelopes import pan_gains
from partita_synthesis.electronic.hits import (
    Clap,
    Kick,
    Metal,
    Shaken,
    Snare,
    Sound,
    Struck,
    Whistle,
)
from partita_synthesis.electronic.random_patches import between
from partita_synthesis.score import Note

Samples = NDArray[np.float32]
Range = tuple[float, float]

#: General MIDI's percussion keys.
KEYS = range(35, 82)

_LAYERS = 4  # of velocity
_TAKES = 2  # of each layer, so that no two hits in a row are alike
_CUT_S = 0.004
_PEAK = 0.6  # of the loudest drum at full velocity


@dataclass(frozen=True)
class Piece:
    """A key of a kit.

    Attributes
    ----------
    sound : Sound
    gain : float
        Peak at full velocity, by the bass drum's.
    pan : float
        -1 (left) to 1 (right).
    """

    sound: Sound
    gain: float
    pan: float


@dataclass(frozen=True)
class Kit:
    """A drum machine.

    Attributes
    ----------
    pieces : mapping of int to Piece
        All `KEYS`.
    is_stereo : bool
        Whether the pieces are panned.
    """

    pieces: Mapping[int, Piece]
    is_stereo: bool


@dataclass(frozen=True)
class _Era:
    """What a machine's drums range over; each entry is the lowest and the highest."""

    kick_hz: Range
    kick_drop: Range
    kick_drop_s: Range
    kick_decay_s: Range
    kick_click: Range
    kick_drive: Range
    snare_hz: Range
    snare_decay_s: Range
    snare_noise: Range
    snare_noise_decay_s: Range
    snare_low_hz: Range
    metal_noise: Range
    high_hz: Range  # where the machine's own treble ends


# After the ways drums have been made: by analogue circuits, by these with sampled metal, by
# samples of real drums in few bits, and in rhythm boxes and game consoles.
_ERAS = {
    "analogue": _Era(
        kick_hz=(42, 58),
        kick_drop=(1.5, 3.5),
        kick_drop_s=(0.04, 0.15),
        kick_decay_s=(0.5, 2.0),
        kick_click=(0.02, 0.2),
        kick_drive=(0.1, 1.5),
        snare_hz=(165, 200),
        snare_decay_s=(0.12, 0.25),
        snare_noise=(0.3, 0.7),
        snare_noise_decay_s=(0.15, 0.4),
        snare_low_hz=(350, 1400),
        metal_noise=(0.0, 0.2),
        high_hz=(10000, 16000),
    ),
    "hybrid": _Era(
        kick_hz=(46, 60),
        kick_drop=(4, 8),
        kick_drop_s=(0.05, 0.2),
        kick_decay_s=(0.3, 0.8),
        kick_click=(0.1, 0.5),
        kick_drive=(0.8, 3.0),
        snare_hz=(170, 230),
        snare_decay_s=(0.1, 0.25),
        snare_noise=(0.4, 0.8),
        snare_noise_decay_s=(0.2, 0.5),
        snare_low_hz=(250, 1000),
        metal_noise=(0.4, 0.8),
        high_hz=(8000, 14000),
    ),
    "sampled": _Era(
        kick_hz=(55, 80),
        kick_drop=(1.5, 4),
        kick_drop_s=(0.03, 0.1),
        kick_decay_s=(0.2, 0.5),
        kick_click=(0.15, 0.5),
        kick_drive=(0.3, 2.0),
        snare_hz=(160, 240),
        snare_decay_s=(0.15, 0.35),
        snare_noise=(0.4, 0.75),
        snare_noise_decay_s=(0.2, 0.6),
        snare_low_hz=(150, 600),
        metal_noise=(0.5, 0.9),
        high_hz=(7000, 12000),
    ),
    "noise": _Era(
        kick_hz=(55, 90),
        kick_drop=(1.2, 5),
        kick_drop_s=(0.03, 0.15),
        kick_decay_s=(0.12, 0.35),
        kick_click=(0.0, 0.2),
        kick_drive=(0.1, 2.0),
        snare_hz=(180, 320),
        snare_decay_s=(0.05, 0.15),
        snare_noise=(0.6, 0.95),
        snare_noise_decay_s=(0.1, 0.35),
        snare_low_hz=(400, 2000),
        metal_noise=(0.8, 1.0),
        high_hz=(8000, 16000),
    ),
}

# How likely the eras are, in their order.
_LIKELY = {"drum_machine": (0.45, 0.3, 0.15, 0.1), "electronic_kit": (0.15, 0.3, 0.4, 0.15)}

# Pitches of the six oscillators that all metal of a certain machine was made of.
_METAL_HZ = (205.3, 304.4, 369.6, 522.7, 540.0, 800.0)

# Keys of one instrument, that cut each other off.
_GROUPS = {44: 42, 46: 42, 63: 62, 72: 71, 74: 73, 79: 78, 81: 80}


def draw_kit(name: str, rng: np.random.Generator) -> Kit:
    """Draw a kit for the instrument `name`."""
    eras = list(_ERAS)
    era = _ERAS[eras[int(rng.choice(len(eras), p=_LIKELY.get(name)))]]
    pieces = {
        **_draw_drums(era, rng),
        **_draw_toms(rng),
        **_draw_metal(era, rng),
        **_draw_skins(rng),
        **_draw_small(era, rng),
    }
    return Kit(pieces, is_stereo=bool(rng.random() < 0.7))


def play_kit(
    notes: Sequence[Note],
    kit: Kit,
    duration_s: float,
    sample_rate: int,
    rng: np.random.Generator,
) -> Samples:
    """Play hits with a kit; keys that it lacks are played by the nearest.

    Returns
    -------
    ndarray
        float32 ``[1 or 2, samples]``.
    """
    out = np.zeros((1 + kit.is_stereo, round(duration_s * sample_rate)), np.float32)
    ordered = sorted(notes, key=lambda note: (note.start_s, note.pitch))
    takes: dict[tuple[int, int, int], Samples] = {}
    for note, rings_s in zip(ordered, _ring_times(ordered), strict=True):
        key = _known(note.pitch)
        begin = max(0, round(note.start_s * sample_rate))
        if begin >= out.shape[1]:
            continue
        layer = min(_LAYERS - 1, note.velocity * _LAYERS // 128)
        which = key, layer, int(rng.integers(_TAKES))
        if which not in takes:
            force = (layer + 0.5) / _LAYERS
            takes[which] = kit.pieces[key].sound.render(force, sample_rate, rng)
        hit = _cut(takes[which], rings_s, sample_rate)[: out.shape[1] - begin]
        level = (note.velocity / 127) ** 1.4 * rng.uniform(0.94, 1.0)
        _add(out[:, begin : begin + hit.size], hit, kit.pieces[key], level)
    return out


def _known(key: int) -> int:
    return min(max(key, KEYS[0]), KEYS[-1])


def _ring_times(ordered: Sequence[Note]) -> list[float]:
    """Return how long each hit may ring until its instrument is hit again."""
    times: list[float] = []
    next_s: dict[int, float] = {}
    for note in reversed(ordered):
        key = _known(note.pitch)
        group = _GROUPS.get(key, key)
        times.append(next_s.get(group, math.inf) - note.start_s)
        next_s[group] = note.start_s
    return times[::-1]


def _cut(hit: Samples, rings_s: float, sample_rate: int) -> Samples:
    """Return the hit, faded out within a moment after `rings_s`."""
    fade = round(_CUT_S * sample_rate)
    if rings_s * sample_rate + fade >= hit.size:
        return hit
    cut = hit[: round(rings_s * sample_rate) + fade].copy()
    cut[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return cut


def _add(room: Samples, hit: Samples, piece: Piece, level: float) -> None:
    gain = np.float32(_PEAK * piece.gain * level)
    if len(room) == 1:
        room += gain * hit
        return
    room += gain * pan_gains(piece.pan)[:, None] * hit


def _draw_drums(era: _Era, rng: np.random.Generator) -> dict[int, Piece]:
    """Draw bass drums, snare drums, the rim and the clap."""

    def draw(range_: Range) -> float:
        return float(rng.uniform(*range_))

    def kick() -> Kick:
        return Kick(
            hertz=draw(era.kick_hz),
            drop=draw(era.kick_drop),
            drop_s=draw(era.kick_drop_s),
            decay_s=draw(era.kick_decay_s),
            click=draw(era.kick_click),
            click_hz=between(rng, 800, 5000),
            drive=draw(era.kick_drive),
        )

    def snare() -> Snare:
        return Snare(
            hertz=draw(era.snare_hz),
            decay_s=draw(era.snare_decay_s),
            noise=draw(era.snare_noise),
            noise_decay_s=draw(era.snare_noise_decay_s),
            low_hz=draw(era.snare_low_hz),
            high_hz=draw(era.high_hz),
        )

    clap = Clap(
        bursts=int(rng.integers(3, 6)),
        apart_s=draw((0.008, 0.013)),
        tail_s=between(rng, 0.12, 0.5),
        hertz=draw((800, 1500)),
    )
    rim_modes = ((1.0, 1.0), (draw((2.2, 3.8)), 0.6))
    rim = Struck(draw((450, 1700)), draw((0.03, 0.09)), modes=rim_modes, noise=0.15)
    return {
        35: Piece(kick(), 1.0, 0.0),
        36: Piece(kick(), 1.0, 0.0),
        37: Piece(rim, draw((0.3, 0.6)), draw((-0.2, 0.2))),
        38: Piece(snare(), draw((0.7, 1.0)), draw((-0.1, 0.1))),
        39: Piece(clap, draw((0.5, 0.8)), draw((-0.15, 0.15))),
        40: Piece(snare(), draw((0.7, 1.0)), draw((-0.1, 0.1))),
    }


def _draw_toms(rng: np.random.Generator) -> dict[int, Piece]:
    lowest_hz = between(rng, 65, 110)
    ratio = rng.uniform(1.15, 1.3)
    decay_s = between(rng, 0.3, 1.0)
    drop = rng.uniform(1.2, 2.2)
    noise = rng.uniform(0.02, 0.3)
    side = rng.choice((-1, 1)) * rng.uniform(0.3, 0.7)
    gain = rng.uniform(0.6, 0.9)
    pieces = {}
    for number, key in enumerate((41, 43, 45, 47, 48, 50)):
        modes = ((1.0, 1.0), (1.59, 0.25))
        tom = Struck(lowest_hz * ratio**number, decay_s * 0.9**number, drop, modes, noise, 0.3)
        pieces[key] = Piece(tom, gain, side * (number / 2.5 - 1))
    return pieces


def _draw_metal(era: _Era, rng: np.random.Generator) -> dict[int, Piece]:
    """Draw hats and cymbals, all of the same alloy."""
    size = between(rng, 0.8, 1.5)
    hertz = [size * pitch_hz * rng.uniform(0.98, 1.02) for pitch_hz in _METAL_HZ]
    dense = [*hertz, *(size * rng.uniform(180, 900, 8))]
    noise = rng.uniform(*era.metal_noise)
    high_hz = rng.uniform(*era.high_hz)
    hat_hz = min(between(rng, 4500, 9000), 0.8 * high_hz)
    open_s = between(rng, 0.3, 1.0)
    side = rng.choice((-1, 1))
    hat_gain, pan = rng.uniform(0.2, 0.4), side * rng.uniform(0.0, 0.4)

    def hat(decay_s: float) -> Metal:
        return Metal(hertz, decay_s, hat_hz, high_hz, noise)

    def cymbal(decay_s: float, low_hz: float, splash: float) -> Metal:
        # A cymbal of six tones alone would sound like a doorbell.
        return Metal(dense, decay_s, low_hz, high_hz, max(0.35, noise), splash)

    closed, pedal = hat(between(rng, 0.05, 0.16)), hat(between(rng, 0.06, 0.2))
    bell = Metal([size * 520, size * 800], between(rng, 0.5, 1.5), 900, high_hz, 0.05)
    crash_s, ride_s = between(rng, 0.9, 2.5), between(rng, 0.8, 2.0)
    return {
        42: Piece(closed, hat_gain, pan),
        44: Piece(pedal, 0.7 * hat_gain, pan),
        46: Piece(hat(open_s), hat_gain, pan),
        49: Piece(cymbal(crash_s, between(rng, 1500, 4000), 1.5), 0.5, -0.5 * side),
        51: Piece(cymbal(ride_s, between(rng, 3000, 6000), 0.8), 0.3, 0.5 * side),
        52: Piece(cymbal(0.6 * crash_s, 900, 2.0), 0.5, -0.3 * side),
        53: Piece(bell, 0.3, 0.5 * side),
        55: Piece(cymbal(0.4 * crash_s, 4000, 1.5), 0.4, -0.2 * side),
        57: Piece(cymbal(0.9 * crash_s, between(rng, 1200, 3000), 1.5), 0.5, 0.4 * side),
        59: Piece(cymbal(0.8 * ride_s, between(rng, 3500, 7000), 0.8), 0.3, 0.4 * side),
    }


def _draw_skins(rng: np.random.Generator) -> dict[int, Piece]:
    """Draw bongos, congas, timbales and cuicas."""
    conga_hz = between(rng, 150, 230)
    bongo_hz = conga_hz * rng.uniform(1.8, 2.3)
    timbale_hz = between(rng, 250, 380)
    pan = rng.uniform(-0.6, 0.6)
    skin = ((1.0, 1.0), (1.6, 0.3), (2.3, 0.15))
    shell = ((1.0, 1.0), (1.5, 0.5), (2.4, 0.4), (3.7, 0.3))
    noise = rng.uniform(0.05, 0.25)
    long_s = between(rng, 0.25, 0.6)
    return {
        60: Piece(Struck(1.33 * bongo_hz, 0.5 * long_s, 1.05, skin, noise), 0.5, -pan),
        61: Piece(Struck(bongo_hz, 0.6 * long_s, 1.05, skin, noise), 0.5, -pan),
        62: Piece(Struck(1.5 * conga_hz, 0.1, 1.1, skin, 2 * noise), 0.5, pan),
        63: Piece(Struck(1.5 * conga_hz, long_s, 1.1, skin, noise), 0.6, pan),
        64: Piece(Struck(conga_hz, 1.2 * long_s, 1.1, skin, noise), 0.6, pan),
        65: Piece(Struck(1.4 * timbale_hz, long_s, 1.05, shell, noise), 0.5, -0.5 * pan),
        66: Piece(Struck(timbale_hz, 1.2 * long_s, 1.05, shell, noise), 0.5, -0.5 * pan),
        78: Piece(Struck(500, 0.15, 0.6, ((1.0, 1.0), (2.0, 0.6), (3.0, 0.3)), 0.1), 0.4, pan),
        79: Piece(Struck(350, 0.4, 1.5, ((1.0, 1.0), (2.0, 0.6), (3.0, 0.3)), 0.1), 0.4, pan),
    }


def _draw_small(era: _Era, rng: np.random.Generator) -> dict[int, Piece]:
    """Draw whatever is held in the hands."""
    high_hz = rng.uniform(*era.high_hz)
    clave_hz, block_hz = between(rng, 1800, 2700), between(rng, 550, 1100)
    bell_hz, agogo_hz = between(rng, 480, 620), between(rng, 600, 900)
    shaker_s, rise_s = between(rng, 0.05, 0.15), between(rng, 0.005, 0.04)
    whistle_hz, triangle_hz = between(rng, 1800, 2700), between(rng, 1200, 1800)
    wood = ((1.0, 1.0), (2.6, 0.3))
    triangle = ((1.0, 0.4), (2.76, 1.0), (5.4, 0.7), (8.9, 0.3))
    sounds: dict[int, tuple[Sound, float]] = {
        54: (Shaken(5000, high_hz, 0.01, between(rng, 0.15, 0.4), jingles=0.7), 0.35),
        56: (
            Metal([bell_hz, 1.48 * bell_hz], between(rng, 0.15, 0.6), bell_hz, 4000, 0.02),
            0.4,
        ),
        58: (Shaken(1500, 7000, 0.004, 0.9, pulses_hz=between(rng, 25, 40)), 0.4),
        67: (Metal([1.4 * agogo_hz, 3.6 * agogo_hz], 0.4, agogo_hz, 7000, 0.02), 0.4),
        68: (Metal([agogo_hz, 2.6 * agogo_hz], 0.5, agogo_hz, 7000, 0.02), 0.4),
        69: (Shaken(4000, high_hz, rise_s, 1.5 * shaker_s), 0.3),
        70: (Shaken(5000, high_hz, 0.7 * rise_s, shaker_s), 0.3),
        71: (Whistle(whistle_hz, 0.12), 0.3),
        72: (Whistle(whistle_hz, 0.5), 0.3),
        73: (Shaken(2000, 8000, 0.02, 0.12, pulses_hz=90), 0.3),
        74: (Shaken(2000, 8000, 0.2, 0.3, pulses_hz=60), 0.3),
        75: (Struck(clave_hz, 0.08, noise=0.02), 0.5),
        76: (Struck(1.3 * block_hz, 0.09, modes=wood), 0.5),
        77: (Struck(block_hz, 0.1, modes=wood), 0.5),
        80: (Struck(triangle_hz, 0.15, modes=triangle, noise=0.02), 0.25),
        81: (Struck(triangle_hz, 1.8, modes=triangle, noise=0.02), 0.25),
    }
    return {
        key: Piece(sound, gain * rng.uniform(0.7, 1.2), rng.uniform(-0.7, 0.7))
        for key, (sound, gain) in sounds.items()
    }
