"""Mixing separated stems: balance, speed and pitch, and the files that come of it."""
