"""Weights: cards, downloads, caches, and readers of checkpoints."""
