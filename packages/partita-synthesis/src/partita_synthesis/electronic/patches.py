"""Patches, and how notes are played with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partita_synthesis.electronic.envelopes import (
    HOP,
    Envelope,
    control_times,
    draw_lines,
    pan_gains,
)
from partita_synthesis.electronic.oscillators import Bank, Timbre, make_bank
from partita_synthesis.score import Note

Floats = NDArray[np.floating[Any]]
Samples = NDArray[np.float32]

_LOUDNESS = 0.16  # of a note at full velocity, RMS
_BLOCK = 128  # control points that are worked on at once, so that all stays in the cache
_TOGETHER_S = 0.02
_REACH = 6  # semitones: tables are shared by notes that bend by about as much
_HISS = 1 << 16  # samples of noise that the notes of a part share
_RAMP = np.arange(HOP, dtype=np.float32)


@dataclass(frozen=True)
class Voice:
    """One of the detuned oscillators that play a note together.

    Attributes
    ----------
    cents : float
    pan : float
        -1 (left) to 1 (right).
    gain : float
    """

    cents: float = 0.0
    pan: float = 0.0
    gain: float = 1.0


@dataclass(frozen=True)
class Wobble:
    """A slow sine, such as vibrato.

    Attributes
    ----------
    depth : float
        In cents for the pitch; of the whole way for the timbre; of a period for the width.
    rate_hz : float
    delay_s : float
        Until it has grown to its depth.
    """

    depth: float = 0.0
    rate_hz: float = 5.0
    delay_s: float = 0.0

    def at(self, times_s: Floats, start_s: float) -> Floats:
        """Return the values for times since the start of a note that starts at `start_s`."""
        grown = np.minimum(times_s / self.delay_s, 1.0) if self.delay_s else 1.0
        phase = 2.0 * math.pi * self.rate_hz * (times_s + start_s)
        values: Floats = self.depth * grown * np.sin(phase)
        return values


@dataclass(frozen=True)
class Movement:
    """Where on the way from the first table to the last a note is.

    Attributes
    ----------
    envelope : Envelope
    rest, depth : float
        Where it lies without the envelope, and how far the envelope takes it.
    by_velocity : float
        How much of the depth the velocity decides, 0 to 1.
    wobble : Wobble
    """

    envelope: Envelope
    rest: float
    depth: float
    by_velocity: float = 0.5
    wobble: Wobble = field(default_factory=Wobble)

    def at(self, times_s: Floats, gate_s: float, start_s: float, velocity: int) -> Floats:
        """Return positions from 0 to 1."""
        force = 1.0 - self.by_velocity * (1.0 - velocity / 127)
        moved = self.depth * force * self.envelope.at(times_s, gate_s)
        return np.clip(self.rest + moved + self.wobble.at(times_s, start_s), 0.0, 1.0)


@dataclass(frozen=True)
class Drop:
    """A pitch that starts off the note.

    Attributes
    ----------
    semitones : float
        How far, above or below.
    duration_s : float
        Until all but a thousandth of it is gone.
    """

    semitones: float = 0.0
    duration_s: float = 0.1


@dataclass(frozen=True)
class Layer:
    """A timbre that sounds with the note.

    Attributes
    ----------
    timbre : Timbre
    voices : sequence of Voice
    semitones : int
        From the note.
    gain : float
    width : Wobble or None
        Of a pulse: the timbre is taken off itself, later by half a period and this.
    """

    timbre: Timbre
    voices: Sequence[Voice] = (Voice(),)
    semitones: int = 0
    gain: float = 1.0
    width: Wobble | None = None


@dataclass(frozen=True)
class Patch:
    """A sound of a synthesiser.

    Attributes
    ----------
    layers : sequence of Layer
    amplitude : Envelope
    movement : Movement
    vibrato : Wobble
        In cents.
    drop : Drop
    glide_s : float
        From the pitch of the note before; 0 is none. Only where one note sounds at a time.
    is_mono : bool
        Whether a note ends the one before; else it does only in parts without chords that glide.
    noise : float
        Of the breath at the start of a note.
    """

    layers: Sequence[Layer]
    amplitude: Envelope
    movement: Movement
    vibrato: Wobble = field(default_factory=Wobble)
    drop: Drop = field(default_factory=Drop)
    glide_s: float = 0.0
    is_mono: bool = False
    noise: float = 0.0

    @property
    def channels(self) -> int:
        """2 where any voice is off the centre."""
        return 1 + any(voice.pan != 0 for layer in self.layers for voice in layer.voices)


@dataclass(frozen=True)
class _Gesture:
    """A note as it is about to be played."""

    note: Note
    gate_s: float
    from_semitones: float  # where it glides from


def play_patch(
    notes: Sequence[Note],
    patch: Patch,
    duration_s: float,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    tuning_cents: float = 0.0,
) -> Samples:
    """Play notes, by start, with a patch.

    Returns
    -------
    ndarray
        float32 ``[channels, samples]``; the channels are the patch's.
    """
    out = np.zeros((patch.channels, round(duration_s * sample_rate)), np.float32)
    banks: dict[tuple[int, int, int], Bank] = {}
    hiss = _make_hiss(rng) if patch.noise else np.zeros(0, np.float32)
    for gesture in _gestures(notes, patch):
        begin = max(0, round(gesture.note.start_s * sample_rate))
        length_s = gesture.gate_s + patch.amplitude.release_s
        room = out[:, begin : begin + math.ceil(length_s * sample_rate)]
        if room.shape[1]:
            _play_note(gesture, patch, room, sample_rate, rng, tuning_cents, banks, hiss)
    return out


def _gestures(notes: Sequence[Note], patch: Patch) -> list[_Gesture]:
    ordered = sorted(notes, key=lambda note: (note.start_s, note.pitch))
    if not (patch.is_mono or (patch.glide_s and not _has_chords(ordered))):
        return [_Gesture(note, max(0.0, note.duration_s), 0.0) for note in ordered]
    gestures = []
    for index, note in enumerate(ordered):
        gate_s = max(0.0, note.duration_s)
        if index + 1 < len(ordered):
            gate_s = min(gate_s, ordered[index + 1].start_s - note.start_s)
        before = ordered[index - 1] if index else note
        is_tied = note.start_s - (before.start_s + before.duration_s) < _TOGETHER_S
        interval = before.pitch - note.pitch if is_tied and patch.glide_s else 0
        gestures.append(_Gesture(note, gate_s, float(interval)))
    return gestures


def _has_chords(notes: Sequence[Note]) -> bool:
    return any(after.start_s - before.start_s < _TOGETHER_S for before, after in pairwise(notes))


def _play_note(
    gesture: _Gesture,
    patch: Patch,
    room: Samples,
    sample_rate: int,
    rng: np.random.Generator,
    tuning_cents: float,
    banks: dict[tuple[int, int, int], Bank],
    hiss: Samples,
) -> None:
    """Add a note to ``room [channels, samples]``; `banks` holds the tables made so far."""
    note, gate_s = gesture.note, gesture.gate_s
    times_s = control_times(room.shape[1], sample_rate)
    bend = _bend(gesture, patch, times_s) + tuning_cents / 100
    position = patch.movement.at(times_s, gate_s, note.start_s, note.velocity)
    total = np.zeros((len(room), (len(times_s) - 1) * HOP), np.float32)
    for number, layer in enumerate(patch.layers):
        reach = _REACH * math.ceil(max(0.0, float(bend.max()) - 0.5) / _REACH)
        key = (number, note.pitch, reach)
        hertz = 440.0 * 2 ** ((note.pitch + layer.semitones - 69) / 12)
        if key not in banks:
            top_hz = hertz * 2 ** (reach / 12)
            banks[key] = make_bank(layer.timbre, hertz, top_hz, sample_rate)
        cycles = _cycles(hertz * 2 ** (bend / 12), sample_rate)
        _add_layer(total, layer, banks[key], cycles, position, times_s + note.start_s, rng)
    if patch.noise:
        total += _breath(patch.noise, times_s, hiss, rng)
    loudness = _LOUDNESS * (note.velocity / 127) ** 1.5
    total *= draw_lines(loudness * patch.amplitude.at(times_s, gate_s))
    room += total[:, : room.shape[1]]


def _bend(gesture: _Gesture, patch: Patch, times_s: Floats) -> Floats:
    """Return how far above its pitch a note is, in semitones."""
    bend = patch.vibrato.at(times_s, gesture.note.start_s) / 100
    if patch.drop.semitones:
        bend = bend + patch.drop.semitones * np.exp(-6.9 * times_s / patch.drop.duration_s)
    if gesture.from_semitones:
        left = np.clip(1.0 - times_s / patch.glide_s, 0.0, 1.0)
        bend = bend + gesture.from_semitones * left**2
    return bend


def _cycles(frequencies_hz: Floats, sample_rate: int) -> Floats:
    """Return how many periods have gone by at each control point."""
    steps = 0.5 * (frequencies_hz[:-1] + frequencies_hz[1:]) * (HOP / sample_rate)
    return np.concatenate(([0.0], np.cumsum(steps)))


def _add_layer(
    total: Samples,
    layer: Layer,
    bank: Bank,
    cycles: Floats,
    position: Floats,
    times_s: Floats,
    rng: np.random.Generator,
) -> None:
    """Add a layer's voices to ``total [channels, samples]``; the rest is at control points."""
    gains = np.array([voice.gain for voice in layer.voices])
    share = layer.gain / math.sqrt(float(np.sum(gains**2)))
    phases = rng.random(len(layer.voices))
    width = None if layer.width is None else 0.5 + layer.width.at(times_s, 0.0)
    levels = position * (bank.tables - 1)
    for first in range(0, len(cycles) - 1, _BLOCK):
        block = slice(first, first + _BLOCK + 1)
        rows, between = _rows(draw_lines(levels[block]), bank)
        piece = total[:, first * HOP : (first + _BLOCK) * HOP]
        for voice, phase in zip(layer.voices, phases, strict=True):
            turns = (cycles[block] * 2 ** (voice.cents / 1200) + phase) / bank.periods
            wave = _read(bank, turns, rows, between)
            if width is not None:
                wave -= _read(bank, turns + width[block], rows, between)
                wave *= np.float32(0.6)
            _pan(piece, wave, voice, share)


def _rows(levels: Samples, bank: Bank) -> tuple[NDArray[np.intp], Samples]:
    """Return where each sample's table starts, and how near the next table is."""
    rows = levels.astype(np.intp)
    np.minimum(rows, bank.tables - 1, out=rows)
    between: Samples = levels - rows.astype(np.float32)
    rows *= bank.size
    return rows, between


def _read(bank: Bank, turns: Floats, rows: NDArray[np.intp], between: Samples) -> Samples:
    """Read tables: `turns` at control points ``[points]``, the rest ``[(points - 1) * HOP]``."""
    begin = ((turns[:-1] % 1.0) * bank.size).astype(np.float32)
    step = ((turns[1:] - turns[:-1]) * (bank.size / HOP)).astype(np.float32)
    lines = step[:, None] * _RAMP
    lines += begin[:, None]
    places = lines.reshape(-1).astype(np.intp)
    places &= bank.size - 1
    places += rows
    found = bank.entries.take(places)
    wave: Samples = between * found.imag
    wave += found.real
    return wave


def _pan(piece: Samples, wave: Samples, voice: Voice, share: float) -> None:
    if len(piece) == 1:
        piece += wave * np.float32(share * voice.gain)
    else:
        piece += np.float32(share * voice.gain) * pan_gains(voice.pan)[:, None] * wave


def _breath(amount: float, times_s: Floats, hiss: Samples, rng: np.random.Generator) -> Samples:
    """Return a hiss that begins with the note and all but ends soon after it."""
    length = (len(times_s) - 1) * HOP
    breath = np.resize(hiss[int(rng.integers(_HISS // 2)) :], length)
    breath *= draw_lines(amount * (0.15 + np.exp(-times_s / 0.05)))
    return breath


def _make_hiss(rng: np.random.Generator) -> Samples:
    """Return noise ``[_HISS]`` whose top is taken off by the mean of two neighbours."""
    white = rng.standard_normal(_HISS + 1, np.float32)
    hiss: Samples = 0.5 * (white[1:] + white[:-1])
    return hiss
