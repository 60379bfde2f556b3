"""Random numbers and detuned voices that all patches use."""

from __future__ import annotations

import math

import numpy as np

from partita_synthesis.electronic.patches import Voice


def between(rng: np.random.Generator, lowest: float, highest: float) -> float:
    """Draw a positive number whose logarithm is evenly spread."""
    return float(math.exp(rng.uniform(math.log(lowest), math.log(highest))))


def unison(
    rng: np.random.Generator, count: int, cents: float, spread: float = 0.0
) -> tuple[Voice, ...]:
    """Draw oscillators detuned by up to `cents`, whose mean is in tune.

    Parameters
    ----------
    rng : Generator
    count : int
    cents : float
    spread : float
        0 (all in the middle) to 1 (from the left to the right).
    """
    if count == 1:
        return (Voice(),)
    places = np.linspace(-1.0, 1.0, count)
    detune = cents * places * rng.uniform(0.7, 1.0, count)
    detune -= detune.mean()
    pans = spread * rng.permutation(places)
    return tuple(Voice(float(cent), float(pan)) for cent, pan in zip(detune, pans, strict=True))
