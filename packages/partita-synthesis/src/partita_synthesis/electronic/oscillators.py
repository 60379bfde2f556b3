"""Waveforms as harmonics, and the tables that they are read from.

A timbre is a row of frames, each a period's harmonics; a filter may shape them further. For every
pitch a bank of tables is made from them that holds nothing above half the sample rate, so that no
note aliases; a note moves along the bank while it sounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partita_synthesis.electronic.filters import Filter, formants

#: Harmonics of a frame, the first at index 1.
HARMONICS = 1024

Floats = NDArray[np.floating[Any]]
Spectra = NDArray[np.complexfloating[Any, Any]]

_POSITIONS = 10  # tables of a filtered bank
_PERIOD = 4096  # samples that waveforms are drawn with
_SMALLEST, _LARGEST = 4096, 16384  # entries of a table
_HIGHEST_PART_OF_RATE = 0.45
_HIGHEST_HZ = 19000.0
_NUMBERS = np.arange(1, HARMONICS + 1)


@dataclass(frozen=True, eq=False)
class Timbre:
    """What an oscillator sounds like.

    Attributes
    ----------
    frames : ndarray
        Harmonics ``[frames, HARMONICS]``; notes move from the first frame to the last.
    filter : Filter or None
        Moves along with the frames.
    periods : int
        How many periods of the note a table holds: partials may lie at fractions of it.
    peaks : sequence of (float, float, float)
        Formants: centre and width in hertz, and gain.
    """

    frames: Spectra
    filter: Filter | None = None
    periods: int = 1
    peaks: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True, eq=False)
class Bank:
    """Tables for one pitch.

    Attributes
    ----------
    entries : ndarray
        complex64 ``[tables * size]``: the table's value, and as the imaginary part how much
        larger the next table's is. One look-up serves to go from table to table.
    tables, size : int
        How many tables, and the entries of each, a power of 2.
    periods : int
        As of the timbre.
    """

    entries: NDArray[np.complex64]
    tables: int
    size: int
    periods: int


def make_bank(timbre: Timbre, note_hz: float, highest_hz: float, sample_rate: int) -> Bank:
    """Make the tables of a note.

    Parameters
    ----------
    timbre : Timbre
    note_hz : float
        Its pitch.
    highest_hz : float
        The pitch that it reaches while it bends; the tables are free of aliasing up to there.
    sample_rate : int
        In hertz.
    """
    limit_hz = min(_HIGHEST_HZ, _HIGHEST_PART_OF_RATE * sample_rate)
    count = min(HARMONICS, int(limit_hz * timbre.periods / highest_hz))
    frequencies_hz = _NUMBERS[:count] * (note_hz / timbre.periods)
    spectra = timbre.frames[:, :count]
    if timbre.filter is not None:
        positions = np.linspace(0.0, 1.0, _POSITIONS)
        nearest = np.round(positions * (len(spectra) - 1)).astype(np.intp)
        cutoffs_hz = timbre.filter.cutoffs_hz(note_hz, positions)
        spectra = spectra[nearest] * timbre.filter.response(frequencies_hz, cutoffs_hz)
    if timbre.peaks:
        spectra = spectra * formants(frequencies_hz, timbre.peaks)
    return _to_bank(spectra, timbre.periods)


def _to_bank(spectra: Spectra, periods: int) -> Bank:
    """Make tables, the loudest of which has an RMS of 1."""
    size = _table_size(spectra.shape[1])
    powers = 0.5 * np.sum(np.abs(spectra) ** 2, axis=1)
    scale = 0.5 * size / np.sqrt(max(float(powers.max()), 1e-20))
    half = np.zeros((len(spectra), spectra.shape[1] + 1), np.complex64)
    half[:, 1:] = spectra * scale
    tables = np.fft.irfft(half, size, axis=1)
    entries = np.zeros((len(spectra), size), np.complex64)
    entries.real = tables
    entries.imag[:-1] = tables[1:] - tables[:-1]
    return Bank(entries.reshape(-1), len(spectra), size, periods)


def _table_size(harmonics: int) -> int:
    """Return how many entries a table needs: it is read without interpolation.

    The error that this leaves is 60 dB below a sawtooth's fundamental, and little more where the
    harmonics are so many that they hide it.
    """
    wanted = int(1810 * np.sqrt(harmonics))
    return min(max(1 << wanted.bit_length(), _SMALLEST), _LARGEST)


def sawtooth() -> Spectra:
    """All harmonics, falling by 6 dB an octave: ``[1, HARMONICS]``, as all waveforms."""
    spectrum: Spectra = np.complex128(-1j) / _NUMBERS
    return spectrum[None, :]


def pulse(width: float) -> Spectra:
    """Return a rectangle that is high for `width` of its period; 0.5 is the square."""
    spectrum: Spectra = sawtooth() * (1.0 - np.exp(-2j * np.pi * _NUMBERS * width))
    return spectrum


def triangle() -> Spectra:
    """Odd harmonics, falling by 12 dB an octave."""
    odd = _NUMBERS % 2
    spectrum: Spectra = odd * (1.0 - 2.0 * (_NUMBERS % 4 == 3)) / _NUMBERS**2 + 0j
    return spectrum[None, :]


def drawbars(gains: Sequence[float]) -> Spectra:
    """Return a few harmonics with the given gains, the fundamental's first."""
    spectrum = np.zeros(HARMONICS, np.complex128)
    spectrum[: len(gains)] = -1j * np.asarray(gains)
    return spectrum[None, :]


def frequency_modulation(ratio: int, indices: Sequence[float]) -> Spectra:
    """Return a sine whose phase another sine moves.

    Parameters
    ----------
    ratio : int
        The modulator's frequency by the carrier's.
    indices : sequence of float
        Radians that the phase moves by, one for each frame.
    """
    angle = _angles()
    return _harmonics([np.sin(angle + index * np.sin(ratio * angle)) for index in indices])


def synchronised(ratios: Sequence[float]) -> Spectra:
    """Return sawtooths that begin anew with every period, for frames of the given speeds."""
    angle = _angles() / (2.0 * np.pi)
    return _harmonics([2.0 * ((angle * ratio) % 1.0) - 1.0 for ratio in ratios])


def saturated(shape: Spectra, drives: Sequence[float], bias: float = 0.0) -> Spectra:
    """Return the waveform `shape` overdriven, for frames of the given drives."""
    half = np.zeros(HARMONICS + 1, np.complex128)
    half[1:] = shape[0]
    wave = np.fft.irfft(half, _PERIOD)
    wave /= np.abs(wave).max()
    return _harmonics([np.tanh(drive * (wave + bias)) for drive in drives])


def _angles() -> Floats:
    return np.arange(_PERIOD) * (2.0 * np.pi / _PERIOD)


def _harmonics(waves: Sequence[Floats]) -> Spectra:
    """Return the harmonics of periods ``[frames][samples]``, all of equal power."""
    spectra = np.fft.rfft(np.stack(waves), axis=1)[:, 1 : HARMONICS + 1]
    levelled: Spectra = spectra / np.sqrt(np.sum(np.abs(spectra) ** 2, axis=1, keepdims=True))
    return levelled
