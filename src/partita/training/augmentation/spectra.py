"""Other levels of frequencies, phases as they were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from partita.training.augmentation.settings import Augmentation

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.floating]

_OCTAVES_HZ = 31.25 * 2.0 ** np.arange(10)
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


def equalised(rng: np.random.Generator, source: Samples, rate: int, most_db: float) -> Samples:
    """Return ``[channels, samples]`` with other levels of its octaves.

    Ends see each other, for some 30 ms: an excerpt is cut out anywhere.
    """
    if not most_db:
        return source
    levels_db = rng.uniform(-most_db, most_db, len(_OCTAVES_HZ))
    if not source.any():
        return source
    hertz = np.fft.rfftfreq(source.shape[1], 1 / rate)
    return _filtered(source, _gains(_between_octaves(hertz, levels_db)))


def shaped(
    rng: np.random.Generator, source: Samples, rate: int, row: int, augmentation: Augmentation
) -> Samples:
    """Return a row, ``[channels, samples]``, perhaps with fewer highs or more lows."""
    is_dull = _happens(rng, augmentation.dull_sources, row)
    is_boomy = _happens(rng, augmentation.boomy_sources, row)
    if not (is_dull or is_boomy):
        return source
    octaves = np.log2(np.maximum(np.fft.rfftfreq(source.shape[1], 1 / rate), 1.0))
    curve: Curve = np.zeros(len(octaves))
    if is_dull:
        slope_db = rng.uniform(*_DULL_DB)
        above = np.maximum(octaves - np.log2(_log_uniform(rng, *_DULL_HZ)), 0)
        curve += np.maximum(-slope_db * above, _STOP_DB)
    if is_boomy:
        most_db = rng.uniform(0, _BOOMY_DB)
        below = np.log2(_log_uniform(rng, *_BOOMY_HZ)) - octaves
        curve += most_db * np.clip(below + 0.5, 0, 1)
    return with_curve(source, _gains(curve))


def _happens(rng: np.random.Generator, probabilities: Sequence[float], row: int) -> bool:
    return row < len(probabilities) and rng.random() < probabilities[row]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_curve(
    rng: np.random.Generator, samples: int, rate: int, augmentation: Augmentation
) -> Samples | None:
    """Draw the tilt and the band limits of a whole excerpt.

    Returns
    -------
    ndarray ``[bins]`` or None
        Gains of all frequencies, float32; None: nothing changes.
    """
    tilted, limited = augmentation.tilted_mixtures, augmentation.band_limited_mixtures
    is_tilted = bool(tilted) and rng.random() < tilted
    is_limited = bool(limited) and rng.random() < limited
    if not (is_tilted or is_limited):
        return None
    hertz = np.fft.rfftfreq(samples, 1 / rate)
    curve: Curve = np.zeros(len(hertz))
    if is_tilted:
        tilt_db = rng.uniform(-_TILT_DB, _TILT_DB)
        curve += _between_octaves(hertz, np.linspace(-tilt_db, tilt_db, len(_OCTAVES_HZ)))
    if is_limited:
        sides = rng.integers(1, 4)  # 1: highs are lost, 2: lows, 3: both
        low_hz, high_hz = (_log_uniform(rng, *ends) for ends in (_LOW_HZ, _HIGH_HZ))
        width = _log_uniform(rng, *_SLOPE_OCTAVES)
        octaves = np.log2(np.maximum(hertz, 1.0))
        if sides & 1:
            curve += _STOP_DB * np.clip((octaves - np.log2(high_hz)) / width, 0, 1)
        if sides & 2:
            curve += _STOP_DB * np.clip((np.log2(low_hz) - octaves) / width, 0, 1)
    return _gains(curve)


def with_curve(source: Samples, gains: Samples) -> Samples:
    """Return ``[channels, samples]`` with the gains that `draw_curve` gave.

    Channels that are exactly equal stay so.
    """
    if not source.any():
        return source
    if len(source) == 2 and np.array_equal(source[0], source[1]):
        return np.repeat(_filtered(source[:1], gains), 2, axis=0)
    return _filtered(source, gains)


def _filtered(source: Samples, gains: Samples) -> Samples:
    spectrum = np.fft.rfft(source)  # [channels, bins]
    return np.fft.irfft(spectrum * gains, source.shape[1]).astype(np.float32)


def _gains(levels_db: Curve) -> Samples:
    gains: Samples = (10 ** (levels_db / 20)).astype(np.float32)
    return gains


def _between_octaves(hertz: Curve, levels_db: Curve) -> Curve:
    """Interpolate levels of octaves, evenly below the first and above the last."""
    octaves = np.log2(np.maximum(hertz, 1.0))
    return np.interp(octaves, np.log2(_OCTAVES_HZ), levels_db)
