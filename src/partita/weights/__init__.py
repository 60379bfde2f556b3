"""Weights: cards, downloads, caches, and readers of checkpoints."""

from partita.weights.cards import get_card, list_weights

__all__ = ["get_card", "list_weights"]
