"""FluidSynth as a player of SoundFonts: the reference that the own player is compared with."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fluidsynth
import numpy as np
from numpy.typing import NDArray

from partita_synthesis.score import Note

_GAIN = 0.5
_BEND_SEMITONES = 12


def play_notes(
    path: Path,
    preset: tuple[int, int],
    notes: Sequence[Note],
    frames: int,
    sample_rate: int,
    tuning_cents: float,
) -> NDArray[np.float32]:
    """Play notes with a preset, without reverb and chorus: float32 ``[2, frames]``."""
    options = {"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.polyphony": 512}
    options["synth.dynamic-sample-loading"] = 1  # or all samples are decoded
    synth = fluidsynth.Synth(gain=_GAIN, samplerate=float(sample_rate), channels=16, **options)
    try:
        font = synth.sfload(str(path))
        assert font >= 0, f"FluidSynth refuses {path}"
        synth.program_select(0, font, *preset)
        _tune(synth, tuning_cents)
        return _render(synth, notes, frames, sample_rate)
    finally:
        synth.delete()


def _tune(synth: Any, tuning_cents: float) -> None:
    for number, value in ((101, 0), (100, 0), (6, _BEND_SEMITONES)):
        fluidsynth.fluid_synth_cc(synth.synth, 0, number, value)
    synth.pitch_bend(0, round(8192 * tuning_cents / (100 * _BEND_SEMITONES)))


def _render(
    synth: Any, notes: Sequence[Note], frames: int, sample_rate: int
) -> NDArray[np.float32]:
    write = fluidsynth._fl.fluid_synth_write_float  # the module only offers 16 bits
    pointer, number = ctypes.c_void_p, ctypes.c_int
    write.argtypes = [pointer, number, pointer, number, number, pointer, number, number]
    output = np.zeros((2, frames), np.float32)
    at = 0
    for frame, is_on, note in [*_events(notes, frames, sample_rate), (frames, False, None)]:
        if frame > at:
            left, right = output[0, at:].ctypes.data, output[1, at:].ctypes.data
            write(synth.synth, frame - at, left, 0, 1, right, 0, 1)
            at = frame
        if note is not None and is_on:
            fluidsynth.fluid_synth_noteon(synth.synth, 0, note.pitch, note.velocity)
        elif note is not None:
            fluidsynth.fluid_synth_noteoff(synth.synth, 0, note.pitch)
    return output


def _events(
    notes: Sequence[Note], frames: int, sample_rate: int
) -> list[tuple[int, bool, Note | None]]:
    """Return begins and ends of notes by time, ends first."""
    events: list[tuple[int, bool, Note | None]] = []
    for note in notes:
        start = round(note.start_s * sample_rate)
        if 0 <= start < frames:
            events.append((start, True, note))
            off = start + max(1, round(note.duration_s * sample_rate))
            events.append((min(off, frames), False, note))
    return sorted(events, key=lambda event: event[:2])
