"""Scores of estimates."""
