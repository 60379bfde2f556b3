"""Scores: how good estimates are."""
