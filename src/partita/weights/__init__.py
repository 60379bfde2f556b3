"""Weights: what exists, where it comes from, and how it gets here intact."""
