"""Signal-to-distortion ratio without filters."""

from __future__ import annotations

from torch import Tensor

from partita.dsp.levels import power_ratio_db


def sdr_db(reference: Tensor, estimate: Tensor) -> float:
    """Return the signal-to-distortion ratio of a whole track.

    The definition of the Music Demixing Challenges (Mitsufuji et al., "Music Demixing Challenge
    2021", Frontiers in Signal Processing 2022, equation 1), without their epsilon: energy of the
    reference over the energy of the error, all channels together.

    Parameters
    ----------
    reference, estimate : Tensor ``[channels, samples]``
        Of the same shape.

    Returns
    -------
    float
        In dB; ``inf`` for a perfect estimate, ``-inf`` for a silent reference.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    if reference.shape != estimate.shape:
        raise ValueError(f"shapes differ: {list(reference.shape)} and {list(estimate.shape)}")
    error = (reference.double() - estimate.double()).square().sum()
    return power_ratio_db(float(reference.double().square().sum()), float(error))
