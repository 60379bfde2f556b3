"""Keys: their names, and which one fits given pitch classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: Of the pitch classes, from C upwards.
NOTE_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

#: How well each degree fits a key: Krumhansl and Kessler's listeners (1982).
_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def fit_key(strengths: npt.NDArray[np.floating[Any]]) -> tuple[int, str]:
    """Return the tonic's pitch class and the mode whose profile correlates best.

    Parameters
    ----------
    strengths : ndarray ``[12]``
        How strong each pitch class is, C first. Where all are alike: C major.
    """
    centred = strengths - strengths.mean()
    fits = {
        (key, mode): float(np.roll(_standard(profile), key) @ centred)
        for mode, profile in _PROFILES.items()
        for key in range(12)
    }
    return max(fits, key=lambda which: fits[which])


def _standard(profile: tuple[float, ...]) -> npt.NDArray[np.float64]:
    values = np.array(profile)
    return np.asarray((values - values.mean()) / values.std())
