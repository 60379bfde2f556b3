"""Places in the stereo field, as 2 × 2 matrices that map left and right to left and right."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from partita.training.augmentation.settings import Augmentation

Matrix = npt.NDArray[np.float64]

_AS_IT_IS = np.eye(2)
_MONO = np.full((2, 2), 0.5)
_SAME_WIDTH_MOST = 0.5
#: How much lower the side or a channel of a whole excerpt is.
_LOWER_DB = (6.0, 60.0)


def draw_places(rng: np.random.Generator, rows: int, augmentation: Augmentation) -> Matrix:
    """Draw a place for each source, and what happens to the whole excerpt.

    Parameters
    ----------
    rng : Generator
        Nothing is drawn from it for settings that are 0.
    rows : int
    augmentation : Augmentation

    Returns
    -------
    ndarray ``[rows, 2, 2]``
        Both rows of a matrix are exactly equal where a source is mono.
    """
    whole = draw_whole(rng, augmentation)
    return np.stack([_after(place, whole) for place in _draw_each(rng, rows, augmentation)])


def _after(place: Matrix, whole: Matrix) -> Matrix:
    left, right = whole[:, :1] * place[0] + whole[:, 1:] * place[1]
    return np.stack([left, right])


def _draw_each(rng: np.random.Generator, rows: int, augmentation: Augmentation) -> list[Matrix]:
    same, hard = augmentation.same_place, augmentation.hard_panned
    kind = rng.random() if same or hard else 1.0
    if kind < same:
        place = _panned(rng, _width_matrix(_same_width(rng)), augmentation.pan)
        places = [place] * rows
        if rng.random() < 0.5:
            places[rng.integers(rows)] = _AS_IT_IS
        return places
    if kind < same + hard:
        return [pan_matrix(float(rng.choice([-1, 0, 1]))) @ _MONO for _ in range(rows)]
    return [draw_place(rng, augmentation) for _ in range(rows)]


def _same_width(rng: np.random.Generator) -> float:
    return max(0.0, float(rng.uniform(-_SAME_WIDTH_MOST, _SAME_WIDTH_MOST)))


def draw_place(rng: np.random.Generator, augmentation: Augmentation) -> Matrix:
    """Draw the place of one source, ``[2, 2]``: mono, another width, panned, or as it is."""
    mono, change = augmentation.mono_stems, augmentation.change_width
    kind = rng.random() if mono or change else 1.0
    if kind < mono:
        place = _MONO
    elif kind < mono + change:
        place = _width_matrix(float(rng.uniform(*augmentation.side_factors)))
    else:
        place = _AS_IT_IS
    return _panned(rng, place, augmentation.pan)


def _panned(rng: np.random.Generator, place: Matrix, probability: float) -> Matrix:
    if probability and rng.random() < probability:
        return pan_matrix(float(rng.uniform(-1, 1))) @ place
    return place


def draw_whole(rng: np.random.Generator, augmentation: Augmentation) -> Matrix:
    """Draw the position of a whole excerpt, ``[2, 2]``."""
    steps = np.cumsum(
        [
            augmentation.mono_mixtures,
            augmentation.narrow_mixtures,
            augmentation.one_sided,
            augmentation.flip_channel,
        ]
    )
    kind = int(np.searchsorted(steps, rng.random(), side="right")) if steps[-1] else len(steps)
    if kind == 0:
        return _MONO
    if kind == 1:
        return _width_matrix(_lower(rng))
    if kind in (2, 3):
        gain = -1.0 if kind == 3 else _lower(rng) if rng.random() < 0.5 else 0.0
        gains = (1.0, gain) if rng.random() < 0.5 else (gain, 1.0)
        return np.diag(gains)
    return _AS_IT_IS


def _lower(rng: np.random.Generator) -> float:
    return float(10 ** (-rng.uniform(*_LOWER_DB) / 20))


def _width_matrix(width: float) -> Matrix:
    """Return what multiplies the side by a factor and leaves the mid."""
    return 0.5 * np.array([[1 + width, 1 - width], [1 - width, 1 + width]])


def pan_matrix(position: float) -> Matrix:
    """Return the gains of both channels for a position from -1 (left) to 1 (right).

    The power of a source whose channels are equal stays the same; in the middle both gains are 1.
    """
    angle = math.pi / 4 * (1 + position)
    # At the ends exactly 0, which the cosine of π/2 is not.
    left = 0.0 if position == 1 else math.sqrt(2) * math.cos(angle)
    return np.diag([left, math.sqrt(2) * math.sin(angle)])


def apply_place(matrix: Matrix, source: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Apply a matrix to ``[2, samples]``; equal rows give exactly equal channels."""
    first, second = matrix.astype(np.float32)
    left = first[0] * source[0] + first[1] * source[1]
    if np.array_equal(first, second):
        return np.stack([left, left])
    return np.stack([left, second[0] * source[0] + second[1] * source[1]])
