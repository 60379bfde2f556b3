"""Signals of a listening test: where a stem sounds, its excerpt, and the anchors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from partita.audio.reader import open_audio
from partita.errors import UsageError

Samples = npt.NDArray[np.float32]
Name = TypeVar("Name", bound=Hashable)

#: Length of excerpts: BS.1534-3 wants about 10 s, 12 s at most.
EXCERPT_S = 10.0
_FRAME_S = 0.1
_BELOW_LOUDEST_DB = 30.0  # a frame that is fainter does not count as sounding
_FLOOR_DB = -60.0
_NEARLY_BEST = 0.95
_SHORTEST_S = 0.5
#: Level of the reference in a trial, RMS of full scale.
_LEVEL_DB = -23.0
_HIGHEST_PEAK = 0.98
_FADE_S = 0.01
# BS.1534-3: the low anchor passes 3.5 kHz within 0.1 dB; -25 dB at 4 kHz, -50 dB at 4.5 kHz.
_PASS_HZ, _STOP_HZ = 3500.0, 4000.0
_STOP_DB = 60.0


def find_excerpt(path: Path, rng: np.random.Generator) -> tuple[float, float] | None:
    """Choose an excerpt in which a stem sounds most of the time.

    Parameters
    ----------
    path : Path
        The true stem.
    rng : Generator
        Chooses among excerpts that are nearly as full as the fullest.

    Returns
    -------
    (float, float) or None
        Start and duration in seconds; None if the stem is silent or shorter than 0.5 s.

    Raises
    ------
    AudioReadError
    """
    powers, sample_rate = _frame_powers(path)
    if len(powers) * _FRAME_S < _SHORTEST_S:
        return None
    floor = 10.0 ** (_FLOOR_DB / 10)
    sounding = powers >= max(powers.max() * 10.0 ** (-_BELOW_LOUDEST_DB / 10), floor)
    length = min(round(EXCERPT_S / _FRAME_S), len(powers))
    duration_s = length * round(_FRAME_S * sample_rate) / sample_rate
    if not sounding.any():
        return None
    full = np.convolve(sounding, np.ones(length), mode="valid")
    good = np.flatnonzero(full >= _NEARLY_BEST * full.max())
    start = int(rng.choice(good))
    return start * round(_FRAME_S * sample_rate) / sample_rate, duration_s


def _frame_powers(path: Path) -> tuple[npt.NDArray[np.float64], int]:
    """Return the mean square of each whole frame, and the sample rate."""
    with open_audio(path) as reader:
        frame = round(_FRAME_S * reader.sample_rate)
        powers = [
            np.square(block[:, : block.shape[1] // frame * frame], dtype=np.float64)
            .mean(axis=0)
            .reshape(-1, frame)
            .mean(axis=1)
            for block in reader.blocks(frame * 64)
        ]
        return np.concatenate(powers), reader.sample_rate


def read_excerpt(path: Path, start_s: float, duration_s: float) -> tuple[Samples, int]:
    """Return ``[channels, samples]`` and the sample rate; what the file lacks is silent.

    Raises
    ------
    AudioReadError
    """
    with open_audio(path, start_s=start_s, duration_s=duration_s) as reader:
        samples = np.concatenate(list(reader.blocks()), axis=1)
        missing = round(duration_s * reader.sample_rate) - samples.shape[1]
        return np.pad(samples, ((0, 0), (0, max(0, missing)))), reader.sample_rate


def low_anchor(reference: Samples, sample_rate: int) -> Samples | None:
    """Return the low-range anchor of BS.1534-3: the reference up to 3.5 kHz.

    None where the sample rate is so low that it would be the reference itself.

    Raises
    ------
    UsageError
        SciPy is not installed.
    """
    try:
        from scipy import signal
    except ImportError as error:
        raise UsageError('listening tests need SciPy: pip install "partita[compare]"') from error
    if sample_rate / 2 <= _STOP_HZ:
        return None
    width = (_STOP_HZ - _PASS_HZ) / (sample_rate / 2)
    taps, beta = signal.kaiserord(_STOP_DB, width)
    taps |= 1  # odd: delays by whole samples
    middle = (_PASS_HZ + _STOP_HZ) / 2
    kernel = signal.firwin(taps, middle, window=("kaiser", beta), fs=sample_rate)
    filtered = signal.fftconvolve(reference, kernel[None], mode="full", axes=1)
    delay = taps // 2
    return np.asarray(filtered[:, delay : delay + reference.shape[1]], dtype=np.float32)


def interference_anchor(reference: Samples, mixture: Samples) -> Samples | None:
    """Return the stem with all others at its own level, as loud as the stem alone.

    After Emiya, Vincent, Harlander & Hohmann, "Subjective and objective quality assessment of
    audio source separation", IEEE TASLP 19(7), 2011. Levels are RMS, not loudness. None where
    nothing else sounds.
    """
    others = mixture - reference
    level, other_level = _rms(reference), _rms(others)
    if other_level < 10.0 ** (_FLOOR_DB / 20) * level:
        return None
    together = reference + others * np.float32(level / other_level)
    return np.asarray(together * np.float32(level / _rms(together)), dtype=np.float32)


def at_listening_level(
    signals: Mapping[Name, Samples], reference: Name, sample_rate: int
) -> dict[Name, Samples]:
    """Bring a trial's signals to one level and fade their ends, where loops jump.

    All get the gain that brings the reference to -23 dB RMS, or less if one of them would clip.
    Differences of level between them stay, since a wrong level is an error of separation.

    Parameters
    ----------
    signals : mapping to ndarray ``[channels, samples]``
    reference
        Which of them is the reference.
    sample_rate : int
    """
    gain = 10.0 ** (_LEVEL_DB / 20) / max(_rms(signals[reference]), 1e-9)
    peak = max(float(np.abs(each).max()) for each in signals.values())
    gain = min(gain, _HIGHEST_PEAK / max(peak, 1e-9))
    fade = np.sin(np.linspace(0, np.pi / 2, round(_FADE_S * sample_rate), dtype=np.float32)) ** 2
    scaled = {name: samples * np.float32(gain) for name, samples in signals.items()}
    for samples in scaled.values():
        samples[:, : len(fade)] *= fade
        samples[:, -len(fade) :] *= fade[::-1]
    return scaled


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
