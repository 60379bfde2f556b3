"""Composing songs, in the styles of ``style_files``.

A plan comes first: tempo, key, form, chords and grooves (`plan`, `form`, `harmony`, `grooves`).
Then it is drawn who plays when (`entrances`), each player writes its part (`drums`, `basslines`,
`accompaniment`, `melody`, `singing`), and plays it (`performance`).
"""

from partita_synthesis.composition.composer import compose
from partita_synthesis.composition.style_library import load_style, parse_style, style_names
from partita_synthesis.composition.style_schema import BandSeat, Style

__all__ = ["BandSeat", "Style", "compose", "load_style", "parse_style", "style_names"]
