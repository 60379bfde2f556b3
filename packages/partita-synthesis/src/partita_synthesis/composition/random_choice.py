"""Random choices of small collections, much faster than numpy's `choice`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from numpy.random import Generator

T = TypeVar("T")


def happens(rng: Generator, probability: float) -> bool:
    """Return True with this probability."""
    return bool(rng.random() < probability)


def uniform(rng: Generator, lowest: float, highest: float) -> float:
    """Return a number between the two."""
    return lowest + (highest - lowest) * float(rng.random())


def choose(rng: Generator, items: Sequence[T]) -> T:
    """Return one of `items`, all equally likely."""
    return items[int(rng.random() * len(items))]


def pick(rng: Generator, weights: Mapping[T, float]) -> T:
    """Return one of the keys, with probabilities in proportion to the values."""
    left = float(rng.random()) * sum(weights.values())
    for item, weight in weights.items():
        left -= weight
        if left < 0:
            return item
    return next(reversed(list(weights)))
