"""Composing songs, in the styles of ``style_files``.

A plan comes first: tempo, key, form, chords and grooves (`plan`, `form`, `harmony`, `grooves`).
Then `entrances` decides who plays when; each part is written (`drum_patterns`, `basslines`,
`accompaniment`, `melody`, `vocal_parts`) and gets human timing and velocities (`humanise`).
"""

from partita_synthesis.composition.composer import compose
from partita_synthesis.composition.style_library import load_style, style_names
from partita_synthesis.composition.style_schema import BandSeat, Style

__all__ = ["BandSeat", "Style", "compose", "load_style", "style_names"]
