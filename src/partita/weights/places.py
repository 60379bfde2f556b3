"""Where weights are, in this package or in the cache. Nothing here imports PyTorch."""

from __future__ import annotations

from pathlib import Path

from partita.files import exists
from partita.weights.cache_folder import cache_folder
from partita.weights.card import Card
from partita.weights.resolve import part_cards

BUNDLED = Path(__file__).parent / "bundled"


def weights_path(card: Card) -> Path:
    """Return the path of a card's weights, in this package or in the cache."""
    if card.bundled is not None:
        return BUNDLED / card.bundled.filename
    return cache_folder() / "weights" / f"{card.name}.safetensors"


def example_path(card: Card) -> Path:
    """Return the cache path of a card's example song."""
    return cache_folder() / "examples" / card.name / Path(card.example or "none").name


def is_cached(card: Card) -> bool:
    """Return whether all weights of a card are cached; they are verified when they are loaded."""
    return all(not part.has_weights or exists(weights_path(part)) for part in part_cards(card))
