"""Changing the sources of an excerpt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from partita.training.augmentation.places import apply_place, draw_places
from partita.training.augmentation.settings import Augmentation

Samples = npt.NDArray[np.float32]

_OCTAVES_HZ = 31.25 * 2.0 ** np.arange(10)


def augment(
    rng: np.random.Generator, sources: Samples, rate: int, augmentation: Augmentation
) -> Samples:
    """Return sources at other levels, in other places and with other sounds.

    Their sum is the mixture of what is returned.

    Parameters
    ----------
    rng : Generator
    sources : ndarray ``[rows, channels, samples]``
        float32.
    rate : int
        In hertz.
    augmentation : Augmentation

    Returns
    -------
    ndarray ``[rows, channels, samples]``
        float32; a new one.
    """
    changed = np.empty_like(sources)
    for row, source in enumerate(sources):
        varied = _varied(rng, source, augmentation)
        changed[row] = _equalised(rng, varied, rate, augmentation.equaliser_db)
    rows, channels, _ = sources.shape
    gains = _draw_gains(rng, rows, augmentation)
    if channels == 1:
        return changed if (gains == 1).all() else changed * gains.astype(np.float32)[:, None, None]
    for row, matrix in enumerate(gains[:, None, None] * draw_places(rng, rows, augmentation)):
        if not np.array_equal(matrix, np.eye(2)):
            changed[row] = apply_place(matrix, changed[row])
    return changed


def _varied(rng: np.random.Generator, source: Samples, augmentation: Augmentation) -> Samples:
    """Return ``[channels, samples]`` at another level, perhaps swapped or flipped."""
    gain, swap, flip = rng.uniform(*augmentation.gains), rng.random(), rng.random()
    if flip < augmentation.flip_polarity:
        gain = -gain
    varied: Samples = source * np.float32(gain)
    return varied[::-1] if swap < augmentation.swap_channels else varied


def _draw_gains(
    rng: np.random.Generator, rows: int, augmentation: Augmentation
) -> npt.NDArray[np.float64]:
    """Draw a factor for each source, 0 for those that are left out, ``[rows]``."""
    low_db, high_db = augmentation.gains_db
    gains_db = rng.uniform(low_db, high_db, rows) if (low_db, high_db) != (0, 0) else np.zeros(rows)
    gains: npt.NDArray[np.float64] = 10 ** (gains_db / 20)
    if augmentation.leave_out:
        left_out = rng.random(rows) < augmentation.leave_out
        if not left_out.all():
            gains[left_out] = 0
    return gains


def _equalised(rng: np.random.Generator, source: Samples, rate: int, most_db: float) -> Samples:
    """Return ``[channels, samples]`` with other levels of its octaves, phases as they were.

    Ends see each other, for some 30 ms: an excerpt is cut out anywhere.
    """
    if not most_db:
        return source
    levels_db = rng.uniform(-most_db, most_db, len(_OCTAVES_HZ))
    if not source.any():
        return source
    spectrum = np.fft.rfft(source)  # [channels, bins]
    frequencies = np.fft.rfftfreq(source.shape[1], 1 / rate)
    # np.interp goes on evenly below the first octave and above the last.
    octaves = np.log2(np.maximum(frequencies, 1.0))
    gains_db = np.interp(octaves, np.log2(_OCTAVES_HZ), levels_db)
    gains = (10 ** (gains_db / 20)).astype(np.float32)
    return np.fft.irfft(spectrum * gains, source.shape[1]).astype(np.float32)
