"""Guitar amplifiers: drive, tone stack, power amplifier and loudspeaker cabinet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pedalboard
import soxr
from numpy.typing import NDArray
from scipy import signal

from partita.errors import UnknownNameError
from partita_synthesis._active_blocks import ActiveBlocks
from partita_synthesis.instruments import Instrument

Samples = NDArray[np.float32]
Range = tuple[float, float]

_BLOCK = 1024  # samples whose level is taken together
_SILENT = 1e-7
_SILENT_BLOCK = 1e-6  # of the peak; high gain makes 50 dB more of it
_TAIL_S = 0.2  # longer than anything rings on, and than the supply needs to recover
_CHUNK = 1 << 15  # samples that stay in the processor's cache
_REFERENCE = 0.25  # RMS that the drive is defined for
_SAG_DB, _SAG_MS = -18.0, 60.0  # threshold, 6 dB below the reference; attack and release
_IMPULSE_S = 0.035
_IMPULSE_GRID = 8192


@dataclass(frozen=True)
class Stage:
    """A valve stage with soft clipping.

    Attributes
    ----------
    drive : float
        Gain before it; near 1 it hardly clips.
    bias : float
        Asymmetry of the clipping; 0 is symmetric.
    low_cut_hz : float
        Of the high-pass before it, 6 dB an octave, which keeps the low notes tight.
    """

    drive: float
    bias: float
    low_cut_hz: float


@dataclass(frozen=True)
class Peak:
    """A peak or a dip of a frequency response.

    Attributes
    ----------
    hertz, octaves, gain_db : float
        Centre, width and height.
    """

    hertz: float
    octaves: float
    gain_db: float


@dataclass(frozen=True)
class Amplifier:
    """An amplifier and its cabinet.

    Attributes
    ----------
    stages : sequence of Stage
    peaks : sequence of Peak
        Tone stack, and resonances and notches of the loudspeakers, together.
    low_hz, high_hz : float
        Limits of the range that the cabinet lets through.
    sag : float
        How much the power amplifier compresses, 0 to 1.
    """

    stages: Sequence[Stage]
    peaks: Sequence[Peak]
    low_hz: float
    high_hz: float
    sag: float


@dataclass(frozen=True)
class _Kind:
    """Ranges of the settings of one kind of amplifier."""

    drives: Sequence[Range]  # of the stages
    bias: Range
    low_cut_hz: Range
    bass_db: Range
    middle_db: Range
    treble_db: Range
    low_hz: Range
    high_hz: Range
    sag: Range


_KINDS = {
    "clean": _Kind(
        drives=((0.4, 1.5),),
        bias=(0.0, 0.2),
        low_cut_hz=(30, 80),
        bass_db=(-3, 4),
        middle_db=(-5, 3),
        treble_db=(0, 6),
        low_hz=(65, 100),
        high_hz=(4500, 7000),
        sag=(0.1, 0.4),
    ),
    "crunch": _Kind(
        drives=((2, 8), (1, 2)),
        bias=(0.05, 0.3),
        low_cut_hz=(80, 250),
        bass_db=(-3, 3),
        middle_db=(-2, 5),
        treble_db=(-2, 4),
        low_hz=(70, 110),
        high_hz=(4000, 5500),
        sag=(0.2, 0.6),
    ),
    "lead": _Kind(
        drives=((8, 30), (2, 8)),
        bias=(0.05, 0.25),
        low_cut_hz=(150, 500),
        bass_db=(0, 6),
        middle_db=(-8, 4),
        treble_db=(-2, 4),
        low_hz=(70, 110),
        high_hz=(3800, 5200),
        sag=(0.2, 0.6),
    ),
    "bass": _Kind(
        drives=((0.4, 3.0),),
        bias=(0.0, 0.25),
        low_cut_hz=(15, 30),
        bass_db=(-1, 5),
        middle_db=(-6, 3),
        treble_db=(-3, 5),
        low_hz=(35, 55),
        high_hz=(2800, 5500),
        sag=(0.3, 0.8),
    ),
}

# Kind of amplifier, how likely an instrument has one, and what is rendered before it:
# the SoundFonts' distorted instruments are distorted note by note, while an amplifier distorts
# what sounds together.
_INSTRUMENTS = {
    "overdriven_guitar": ("crunch", 1.0, "clean_guitar"),
    "distortion_guitar": ("lead", 1.0, "clean_guitar"),
    "clean_guitar": ("clean", 0.5, "clean_guitar"),
    "jazz_guitar": ("clean", 0.5, "jazz_guitar"),
    "muted_guitar": ("clean", 0.5, "muted_guitar"),
    "finger_bass": ("bass", 0.5, "finger_bass"),
    "pick_bass": ("bass", 0.7, "pick_bass"),
    "fretless_bass": ("bass", 0.4, "fretless_bass"),
    "slap_bass": ("bass", 0.4, "slap_bass"),
    "pop_bass": ("bass", 0.5, "pop_bass"),
    "rock_organ": ("crunch", 0.7, "drawbar_organ"),
}


def amplifier_kind(instrument: Instrument, rng: np.random.Generator) -> str | None:
    """Draw whether there is an amplifier behind an instrument; return its kind, or None."""
    kind, probability, _ = _INSTRUMENTS.get(instrument.name, (None, 0.0, ""))
    return kind if rng.random() < probability else None


def played_clean(instrument: Instrument) -> str:
    """Return the name of the instrument to render before the amplifier; mostly the same."""
    return _INSTRUMENTS.get(instrument.name, (None, 0.0, instrument.name))[2]


def draw_amplifier(rng: np.random.Generator, kind: str) -> Amplifier:
    """Draw an amplifier.

    Parameters
    ----------
    rng : Generator
    kind : str
        ``"clean"``, ``"crunch"``, ``"lead"`` (high gain) or ``"bass"``.

    Raises
    ------
    UnknownNameError
        No such kind.
    """
    if kind not in _KINDS:
        raise UnknownNameError("kind of amplifier", kind, _KINDS)
    ranges = _KINDS[kind]

    def draw(range_: Range) -> float:
        return float(rng.uniform(*range_))

    stages = tuple(
        Stage(
            drive=math.exp(draw((math.log(drive[0]), math.log(drive[1])))),
            bias=draw(ranges.bias),
            low_cut_hz=draw(ranges.low_cut_hz),
        )
        for drive in ranges.drives
    )
    tone = (
        Peak(draw((90, 140)), 1.2, draw(ranges.bass_db)),
        Peak(draw((400, 900)), 1.2, draw(ranges.middle_db)),
        Peak(draw((2200, 3600)), 1.0, draw(ranges.treble_db)),
    )
    low_hz, high_hz = draw(ranges.low_hz), draw(ranges.high_hz)
    box = (
        Peak(1.3 * low_hz, 0.4, draw((1, 5))),  # the speaker's own resonance
        *(Peak(draw((300, 1500)), draw((0.1, 0.3)), draw((-4, 4))) for _ in range(3)),
        *(Peak(draw((1500, high_hz)), draw((0.1, 0.35)), draw((-8, 6))) for _ in range(4)),
        Peak(draw((0.9, 1.6)) * high_hz, 0.08, draw((-25, -8))),  # the edge of the cone
    )
    return Amplifier(stages, (*tone, *box), low_hz, high_hz, draw(ranges.sag))


def amplify(samples: Samples, sample_rate: int, amplifier: Amplifier) -> Samples:
    """Play through an amplifier.

    Its loudness is the input's, whatever the drive; the drive is set by the input's loud parts,
    so that a faint input is distorted as much as a strong one.

    Parameters
    ----------
    samples : ndarray
        float32 ``[1 or 2, samples]``; the amplifier has one input, into which both go.
    sample_rate : int
        In hertz.
    amplifier : Amplifier

    Returns
    -------
    ndarray
        float32 ``[1, samples]``.
    """
    mono = samples.mean(axis=0, dtype=np.float32)
    level = _loud_level(mono)
    if level < _SILENT:
        return np.zeros((1, mono.size), np.float32)
    played = _played(mono, sample_rate)
    wave = played.cut(mono[None], _REFERENCE / level)[0]
    wave = _distort(wave, sample_rate, amplifier.stages)
    wave = _sag(wave, sample_rate, amplifier.sag)
    wave = signal.oaconvolve(wave, _impulse(amplifier, sample_rate))[: wave.size]
    wave *= np.float32(level / max(_loud_level(wave), _SILENT))
    made = np.zeros((1, mono.size), np.float32)
    played.add(wave, made[0])
    return made


def _played(mono: Samples, sample_rate: int) -> ActiveBlocks:
    """Return the active blocks, and those in which they ring on."""
    starts = np.arange(0, mono.size, _BLOCK)
    peaks = np.maximum(np.maximum.reduceat(mono, starts), -np.minimum.reduceat(mono, starts))
    after = math.ceil(_TAIL_S * sample_rate / _BLOCK)
    return ActiveBlocks.around(peaks > _SILENT_BLOCK * peaks.max(), _BLOCK, after=after)


def _loud_level(mono: Samples) -> float:
    """Return the RMS of the blocks within 20 dB of the loudest; 0 if there are none."""
    if not mono.size:
        return 0.0
    starts = np.arange(0, mono.size, _BLOCK)
    sizes = np.diff(np.append(starts, mono.size))
    peak = float(np.abs(mono).max())
    if peak < _SILENT:
        return 0.0
    # By the peak first: squares of faint samples would fall below what float32 can hold.
    powers = np.add.reduceat((mono / np.float32(peak)) ** 2, starts) / sizes
    return peak * math.sqrt(float(powers[powers > 0.01 * powers.max()].mean()))


def _distort(mono: Samples, sample_rate: int, stages: Sequence[Stage]) -> Samples:
    """Clip at a higher rate, so that the harmonics of clipping do not alias."""
    factor = 4 if len(stages) > 1 else 2
    rate = factor * sample_rate
    # The first high-pass comes before anything clips: it may as well be at the lower rate.
    tight = pedalboard.HighpassFilter(stages[0].low_cut_hz)(mono, sample_rate)
    wave = _of_length(soxr.resample(tight, sample_rate, rate), factor * mono.size)
    for number, stage in enumerate(stages):
        if number:
            wave = pedalboard.HighpassFilter(stage.low_cut_hz)(wave, rate)
        _clip(wave, stage)
    return _of_length(soxr.resample(wave, rate, sample_rate), mono.size)


def _clip(wave: Samples, stage: Stage) -> None:
    for begin in range(0, wave.size, _CHUNK):
        chunk = wave[begin : begin + _CHUNK]
        chunk *= np.float32(stage.drive)
        chunk += np.float32(stage.bias)
        np.tanh(chunk, out=chunk)
        chunk -= np.float32(math.tanh(stage.bias))


def _of_length(wave: Samples, length: int) -> Samples:
    return wave[:length] if wave.size >= length else np.pad(wave, (0, length - wave.size))


def _sag(wave: Samples, sample_rate: int, amount: float) -> Samples:
    """Compress as a sagging power supply does: what stays loud is turned down."""
    supply = pedalboard.Compressor(_SAG_DB, 1 + 2 * amount, attack_ms=_SAG_MS, release_ms=_SAG_MS)
    return supply(wave, sample_rate)


def _impulse(amplifier: Amplifier, sample_rate: int) -> Samples:
    """Return the impulse response of tone stack and cabinet, of minimum phase."""
    frequencies_hz = np.linspace(0, sample_rate / 2, _IMPULSE_GRID // 2 + 1)
    above_0_hz = np.maximum(frequencies_hz, 1.0)
    gains_db = -10 * np.log10(1 + (amplifier.low_hz / above_0_hz) ** 4)
    gains_db -= 10 * np.log10(1 + (above_0_hz / amplifier.high_hz) ** 8)
    for peak in amplifier.peaks:
        distance = np.log2(above_0_hz / peak.hertz) / peak.octaves
        gains_db += peak.gain_db * np.exp(-(distance**2))
    factors = 10 ** (np.maximum(gains_db, -100.0) / 20)
    taps = _IMPULSE_GRID // 2 - 1
    linear_phase = signal.firwin2(taps, frequencies_hz, factors, fs=sample_rate)
    impulse = signal.minimum_phase(linear_phase, n_fft=_IMPULSE_GRID, half=False)
    kept = round(_IMPULSE_S * sample_rate)
    fade = np.cos(np.linspace(0, math.pi / 2, kept)) ** 2
    faded: Samples = (impulse[:kept] * fade).astype(np.float32)
    return faded
