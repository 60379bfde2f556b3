"""Separation: one song's way through the models, and many songs."""
