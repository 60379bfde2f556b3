"""Other spectra: levels of frequencies are drawn as curves, and applied with one FFT a source."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from partita.training.augmentation.settings import Augmentation

Samples = npt.NDArray[np.float32]
#: In dB, for each bin of a source's FFT.
Curve = npt.NDArray[np.floating]

_OCTAVES = np.log2(31.25 * 2.0 ** np.arange(10))
#: A tilt is a straight line over octaves that is 0 in the middle (700 Hz).
_TILT_DB = 6.0
#: From these limits of a band to those: telephone (300 to 3400 Hz), old records (100 to 6000 Hz),
#: originals at 8 to 32 kHz. The width of a slope is in octaves, the stop band in dB.
_LOW_HZ, _HIGH_HZ = (20.0, 300.0), (3000.0, 16_000.0)
_SLOPE_OCTAVES = (0.05, 1.0)
_STOP_DB = -90.0
#: Recorded basses have their second octave 5 to 15 dB below what else plays there and lose some 9
#: dB per octave above; what synthesisers play has lost far less.
_DULL_HZ, _DULL_DB = (150.0, 800.0), (4.0, 14.0)
_BOOMY_HZ, _BOOMY_DB = (150.0, 400.0), 15.0


@functools.lru_cache(maxsize=4)
def bin_octaves(samples: int, rate: int) -> Curve:
    """Return log2 of the frequencies in hertz of an FFT's bins, 1 Hz for the first; read-only."""
    octaves: Curve = np.log2(np.maximum(np.fft.rfftfreq(samples, 1 / rate), 1.0))
    octaves.flags.writeable = False  # all callers share it
    return octaves


def draw_source_curve(
    rng: np.random.Generator, octaves: Curve, row: int, augmentation: Augmentation
) -> Curve | None:
    """Draw the equaliser of a source, and whether it is dull or boomy; None: nothing changes."""
    curves: list[Curve] = []
    if most_db := augmentation.equaliser_db:
        levels_db = rng.uniform(-most_db, most_db, len(_OCTAVES))
        curves.append(np.interp(octaves, _OCTAVES, levels_db))
    is_dull = _happens(rng, augmentation.dull_sources, row)
    is_boomy = _happens(rng, augmentation.boomy_sources, row)
    if is_dull:
        slope_db = rng.uniform(*_DULL_DB)
        above = np.maximum(octaves - np.log2(_log_uniform(rng, *_DULL_HZ)), 0)
        curves.append(np.maximum(-slope_db * above, _STOP_DB))
    if is_boomy:
        level_db = rng.uniform(0, _BOOMY_DB)
        below = np.log2(_log_uniform(rng, *_BOOMY_HZ)) - octaves
        curves.append(level_db * np.clip(below + 0.5, 0, 1))
    return _sum(curves)


def draw_mixture_curve(
    rng: np.random.Generator, octaves: Curve, augmentation: Augmentation
) -> Curve | None:
    """Draw the tilt and the band limits of a whole excerpt; None: nothing changes."""
    tilted, limited = augmentation.tilted_mixtures, augmentation.band_limited_mixtures
    is_tilted = bool(tilted) and rng.random() < tilted
    is_limited = bool(limited) and rng.random() < limited
    curves: list[Curve] = []
    if is_tilted:
        tilt_db = rng.uniform(-_TILT_DB, _TILT_DB)
        curves.append(np.interp(octaves, _OCTAVES[[0, -1]], [-tilt_db, tilt_db]))
    if is_limited:
        sides = rng.integers(1, 4)  # 1: highs are lost, 2: lows, 3: both
        low_hz, high_hz = (_log_uniform(rng, *ends) for ends in (_LOW_HZ, _HIGH_HZ))
        width = _log_uniform(rng, *_SLOPE_OCTAVES)
        if sides & 1:
            curves.append(_STOP_DB * np.clip((octaves - np.log2(high_hz)) / width, 0, 1))
        if sides & 2:
            curves.append(_STOP_DB * np.clip((np.log2(low_hz) - octaves) / width, 0, 1))
    return _sum(curves)


def apply_curves(source: Samples, *curves: Curve | None) -> Samples:
    """Return ``[channels, samples]`` with the levels of all curves; None changes nothing.

    Channels that are exactly equal stay so. The FFT is circular: the ends of an excerpt, which is
    cut out anywhere, influence each other over some 30 ms.
    """
    curve = _sum([curve for curve in curves if curve is not None])
    if curve is None or not source.any():
        return source
    is_mono = len(source) == 2 and np.array_equal(source[0], source[1])
    spectrum = np.fft.rfft(source[:1] if is_mono else source)  # [channels, bins]
    gains = (10 ** (curve / 20)).astype(np.float32)
    changed = np.fft.irfft(spectrum * gains, source.shape[1]).astype(np.float32)
    return np.repeat(changed, 2, axis=0) if is_mono else changed


def _sum(curves: Sequence[Curve]) -> Curve | None:
    return np.sum(curves, axis=0) if curves else None


def _happens(rng: np.random.Generator, probabilities: Sequence[float], row: int) -> bool:
    return row < len(probabilities) and rng.random() < probabilities[row]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
