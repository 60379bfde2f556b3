"""Changing the sources of an excerpt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from partita.training.augmentation.places import apply_place, draw_places
from partita.training.augmentation.settings import Augmentation
from partita.training.augmentation.spectra import (
    apply_curves,
    bin_octaves,
    draw_mixture_curve,
    draw_source_curve,
)

Samples = npt.NDArray[np.float32]


def augment(
    rng: np.random.Generator, sources: Samples, rate: int, augmentation: Augmentation
) -> Samples:
    """Return sources with other levels, positions and spectra; their sum is the new mixture.

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
    rows, channels, samples = sources.shape
    octaves = bin_octaves(samples, rate)
    changed, curves = np.empty_like(sources), []
    for row, source in enumerate(sources):
        changed[row] = _varied(rng, source, augmentation)
        curves.append(draw_source_curve(rng, octaves, row, augmentation))
    gains = _draw_gains(rng, rows, augmentation)
    if channels == 2:
        for row, matrix in enumerate(gains[:, None, None] * draw_places(rng, rows, augmentation)):
            if not np.array_equal(matrix, np.eye(2)):
                changed[row] = apply_place(matrix, changed[row])
    elif (gains != 1).any():
        changed *= gains.astype(np.float32)[:, None, None]
    whole = draw_mixture_curve(rng, octaves, augmentation)
    for row, curve in enumerate(curves):
        changed[row] = apply_curves(changed[row], curve, whole)
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
    gains_db = np.zeros(rows)
    if augmentation.gains_db != (0, 0):
        gains_db += rng.uniform(*augmentation.gains_db, rows)
    if augmentation.source_gains_db:  # rows after the sources stay: the rest
        most_db = np.zeros(rows)
        most_db[: len(augmentation.source_gains_db)] = augmentation.source_gains_db
        gains_db += rng.uniform(0, most_db)
    if augmentation.mixture_gains_db != (0, 0):
        gains_db += rng.uniform(*augmentation.mixture_gains_db)
    gains: npt.NDArray[np.float64] = 10 ** (gains_db / 20)
    if augmentation.leave_out:
        left_out = rng.random(rows) < augmentation.leave_out
        if not left_out.all():
            gains[left_out] = 0
    return gains
