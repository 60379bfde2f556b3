"""A player of SoundFonts.

It follows the SoundFont Technical Specification 2.04 for a single part: tuning,
loops, velocity, the envelopes, both oscillators, the filter and exclusive classes. Reverb, chorus
and controllers are left out: parts are mixed elsewhere.

A key of a part is resampled once, as long as its longest note; its notes only differ in the
envelope, which makes this several hundred times as fast as real time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from partita_synthesis._soundfont_file import Gen, SoundFontFile
from partita_synthesis._soundfont_voices import (
    CUT_S,
    FULL_DB,
    Tone,
    Voice,
    plan_voices,
    to_seconds,
)
from partita_synthesis.score import Note

Signal = NDArray[np.float32]

_CONTROL = 64  # frames between points of slow curves
_OPEN_CENTS = 13500  # a filter there is none
_SWEEP_CENTS = 150  # a sweeping filter moves in steps of these
_DB_TO_NEPER = math.log(10) / 20


def play_notes(
    file: SoundFontFile,
    preset: tuple[int, int],
    notes: Sequence[Note],
    frames: int,
    sample_rate: int,
    tuning_cents: float,
) -> Signal:
    """Play notes with a preset.

    Parameters
    ----------
    file : SoundFontFile
    preset : tuple of int
        Bank and program.
    notes : sequence of Note
    frames, sample_rate : int
    tuning_cents : float

    Returns
    -------
    float32 [channels, frames]
        One channel where nothing is off the centre.
    """
    played = plan_voices(file.zones(*preset), notes, frames, sample_rate)
    stereo = any(tone.values[Gen.PAN] for tone, _ in played)
    output = np.zeros((2 if stereo else 1, frames), np.float32)
    lengths = [max(voice.end - voice.start for voice in voices) for _, voices in played]
    longest: dict[tuple[object, ...], int] = {}
    for (tone, _), length in zip(played, lengths, strict=True):
        longest[tone.pitch] = max(length, longest.get(tone.pitch, 0))
    pitched: dict[tuple[object, ...], Signal] = {}
    for (tone, voices), length in zip(played, lengths, strict=True):
        if tone.pitch not in pitched:
            pitched[tone.pitch] = _pitched(
                file, tone, longest[tone.pitch], sample_rate, tuning_cents
            )
        wave = _coloured(pitched[tone.pitch][:length], tone, sample_rate)
        for voice in voices:
            _add(output, tone, voice, wave, sample_rate)
    return output


def _geometric(count: int, begin_db: float, step_db: float) -> Signal:
    """Return gains that fall by a step each: ``[count]``."""
    block = 256
    fine = np.exp(np.arange(block, dtype=np.float32) * np.float32(step_db * _DB_TO_NEPER))
    starts_db = begin_db + step_db * block * np.arange(-(-count // block))
    coarse = np.exp(np.maximum(starts_db, -400) * _DB_TO_NEPER).astype(np.float32)
    return np.asarray(np.multiply.outer(coarse, fine).reshape(-1)[:count])


def _shape(sound: Signal, tone: Tone, off_s: float, gain_db: float, sample_rate: int) -> None:
    """Give `sound` its volume, in place."""
    delay, attack, hold, decay = tone.stages(Gen.VOLUME_ENV)
    held = min(len(sound), round(off_s * sample_rate))
    top = min(held, math.ceil((delay + attack) * sample_rate))
    falling = min(held, math.ceil((delay + attack + hold) * sample_rate))
    settled_s = delay + attack + hold + decay * tone.sustain_db / FULL_DB
    settled = min(held, math.ceil(settled_s * sample_rate))
    gain = np.float32(10 ** (gain_db / 20))
    rise = (np.arange(top) / sample_rate - delay) / attack
    sound[:top] *= np.clip(rise, 0, 1).astype(np.float32) * gain
    sound[top:falling] *= gain
    fall_db = -FULL_DB / (decay * sample_rate)
    sound[falling:settled] *= _geometric(settled - falling, gain_db, fall_db)
    sound[settled:held] *= np.float32(10 ** ((gain_db - tone.sustain_db) / 20))
    fall_db = -FULL_DB / (tone.release_s * sample_rate)
    sound[held:] *= _geometric(len(sound) - held, gain_db + tone.level_db(off_s), fall_db)


def _add(output: Signal, tone: Tone, voice: Voice, wave: Signal, sample_rate: int) -> None:
    length = min(voice.end - voice.start, len(wave))
    if length <= 0:
        return
    sound = wave[:length].copy()
    _shape(sound, tone, (voice.off - voice.start) / sample_rate, voice.gain_db, sample_rate)
    cut = min(length, round(CUT_S * sample_rate))
    if voice.start + length == voice.end:  # an end that is not the sample's own never clicks
        sound[-cut:] *= np.linspace(1, 0, cut, dtype=np.float32)
    angle = (min(max(tone.values[Gen.PAN], -500), 500) / 1000 + 0.5) * math.pi / 2
    sides = (math.cos(angle), math.sin(angle)) if len(output) == 2 else (math.sqrt(0.5),)
    for channel, side in zip(output, sides, strict=True):
        if side > 1e-6:
            channel[voice.start : voice.start + length] += (
                sound if side > 1 - 1e-6 else sound * np.float32(side)
            )


def _pitched(
    file: SoundFontFile, tone: Tone, length: int, sample_rate: int, tuning_cents: float
) -> Signal:
    """Return the sample of a tone at its pitch: at most ``[length]``."""
    values, sample = tone.values, tone.zone.sample
    cents = (
        (tone.key - sample.root_key) * values[Gen.CENTS_PER_KEY]
        + 100 * values[Gen.COARSE_TUNE]
        + values[Gen.FINE_TUNE]
        + sample.correction
        + tuning_cents
    )
    ratio = sample.rate / sample_rate * 2 ** (min(max(cents, -12000), 12000) / 1200)
    frames = np.arange(length)
    seconds = _slow_seconds(length, sample_rate)
    wobble = _pitch_cents(tone, seconds)
    if wobble is None:
        positions = np.multiply(ratio, frames, dtype=np.float64)
    else:
        steps = ratio * np.exp2(np.interp(frames, seconds * sample_rate, wobble) / 1200)
        positions = np.asarray(np.cumsum(steps) - steps[0], np.float64)
    loop = (sample.loop_start, sample.loop_end) if values[Gen.LOOP_MODE] in (1, 3) else None
    frames_max = math.ceil(positions[-1]) + 4
    return _resampled(file.audio(sample, frames_max), loop, positions)


def _coloured(wave: Signal, tone: Tone, sample_rate: int) -> Signal:
    """Return a pitched sample through the filter and the tremolo of a tone."""
    seconds = _slow_seconds(len(wave), sample_rate)
    wave = _filtered(wave, tone, seconds, sample_rate)
    if tone.values[Gen.MOD_LFO_TO_VOLUME]:
        swing_db = (
            tone.values[Gen.MOD_LFO_TO_VOLUME] / 10 * _oscillator(tone.values, Gen.MOD_LFO, seconds)
        )
        gain = np.interp(np.arange(len(wave)), seconds * sample_rate, 10 ** (swing_db / 20))
        wave = wave * gain.astype(np.float32)
    return wave


def _slow_seconds(length: int, sample_rate: int) -> NDArray[np.float64]:
    """Return the points of slow curves, the last not before the end."""
    return np.arange(0, length + _CONTROL, _CONTROL) / sample_rate


def _pitch_cents(tone: Tone, seconds: NDArray[np.float64]) -> NDArray[np.float64] | None:
    values = tone.values
    if not (
        values[Gen.MOD_LFO_TO_PITCH] or values[Gen.VIBRATO_TO_PITCH] or values[Gen.MOD_ENV_TO_PITCH]
    ):
        return None
    cents = values[Gen.MOD_LFO_TO_PITCH] * _oscillator(values, Gen.MOD_LFO, seconds)
    cents = cents + values[Gen.VIBRATO_TO_PITCH] * _oscillator(values, Gen.VIBRATO, seconds)
    return np.asarray(cents + values[Gen.MOD_ENV_TO_PITCH] * _slow_envelope(tone, seconds))


def _oscillator(
    values: Sequence[int], first: int, seconds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a triangle, −1 to 1, that begins upwards after its delay."""
    hz = 8.176 * 2 ** (values[first + 1] / 1200)
    turns = np.maximum(seconds - to_seconds(values[first]), 0) * hz
    return np.asarray(1 - np.abs((turns - 0.25) % 1 * 4 - 2))


def _slow_envelope(tone: Tone, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the modulation envelope, 0 to 1, of a key that is held."""
    delay, attack, hold, decay = tone.stages(Gen.MOD_ENV)
    sustain = 1 - min(max(tone.values[Gen.MOD_ENV_SUSTAIN], 0), 1000) / 1000
    falling_s = delay + attack + hold
    fallen = np.maximum(seconds - falling_s, 0) / decay
    # Section 8.1.3, generator 26: it rises fast first.
    risen = 1 + 40 / 96 * np.log10(np.clip((seconds - delay) / attack, 1e-9, 1))
    return np.asarray(np.clip(risen, 0, 1) * np.maximum(1 - fallen, sustain))


def _resampled(
    audio: Signal, loop: tuple[int, int] | None, positions: NDArray[np.float64]
) -> Signal:
    """Return `audio` at positions, by cubics through four samples."""
    if loop is not None:
        start, end = max(0, loop[0]), min(loop[1], len(audio))
        if end - start < 2:
            loop = None
        else:
            late = int(np.searchsorted(positions, end))
            positions[late:] = start + np.fmod(positions[late:] - start, end - start)
            audio = np.concatenate((audio[:1], audio[:end], np.resize(audio[start:end], 3)))
    if loop is None:
        positions = positions[: int(np.searchsorted(positions, len(audio) - 1))]
        audio = np.concatenate((audio[:1], audio, np.zeros(3, np.float32)))
    index = positions.astype(np.intp)
    x = (positions - index).astype(np.float32)
    a, b, c, d = (np.take(audio[lag:], index) for lag in range(4))
    cubic = 3 * (b - c) + d - a
    bend = (c - b) - (b - a) - cubic  # 2a − 5b + 4c − d
    return np.asarray(b + 0.5 * x * (c - a + x * (bend + x * cubic)))


def _filtered(wave: Signal, tone: Tone, seconds: NDArray[np.float64], sample_rate: int) -> Signal:
    """Return `wave` through the low-pass, which follows envelope and oscillator in steps."""
    values = tone.values
    cents = np.full(len(seconds), float(values[Gen.CUTOFF]))
    if values[Gen.MOD_ENV_TO_CUTOFF]:
        cents += values[Gen.MOD_ENV_TO_CUTOFF] * _slow_envelope(tone, seconds)
    if values[Gen.MOD_LFO_TO_CUTOFF]:
        cents += values[Gen.MOD_LFO_TO_CUTOFF] * _oscillator(values, Gen.MOD_LFO, seconds)
    steps = np.round(np.clip(cents, 1500, _OPEN_CENTS) / _SWEEP_CENTS)
    if steps.min() * _SWEEP_CENTS >= _OPEN_CENTS and values[Gen.RESONANCE] <= 0:
        return wave
    output = np.empty_like(wave)
    state = np.zeros(2)
    turns = [0, *(np.flatnonzero(np.diff(steps)) + 1), len(steps)]
    for first, last in itertools.pairwise(turns):
        span = slice(first * _CONTROL, last * _CONTROL)
        coefficients = _low_pass(
            float(steps[first]) * _SWEEP_CENTS, values[Gen.RESONANCE], sample_rate
        )
        if span.start < len(wave):
            output[span], state = _run(coefficients, wave[span], state)
    return output


def _run(
    coefficients: tuple[list[float], list[float]], wave: Signal, state: NDArray[np.float64]
) -> tuple[Signal, NDArray[np.float64]]:
    output, state = lfilter(*coefficients, wave, zi=state)
    return output, state


def _low_pass(cents: float, resonance_cb: int, sample_rate: int) -> tuple[list[float], list[float]]:
    """Return a two-pole low-pass (section 8.1.3, generators 8 and 9)."""
    hz = min(8.176 * 2 ** (cents / 1200), 0.45 * sample_rate)
    resonance_db = min(max(resonance_cb, 0), 960) / 10
    quality = 10 ** ((resonance_db - 3.01) / 20)
    omega = 2 * math.pi * hz / sample_rate
    alpha = math.sin(omega) / (2 * quality)
    gain = 10 ** (-resonance_db / 40) * (1 - math.cos(omega)) / 2  # half the peak is taken off
    scale = 1 / (1 + alpha)
    b = [gain * scale, 2 * gain * scale, gain * scale]
    return b, [1.0, -2 * math.cos(omega) * scale, (1 - alpha) * scale]
