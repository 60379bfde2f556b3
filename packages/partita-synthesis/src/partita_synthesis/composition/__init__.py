"""Composing songs, in the styles of ``style_files``.

A plan comes first: tempo, key, form, chords and grooves (`plan`, `form`, `harmony`, `grooves`).
Then it is drawn who plays when (`entrances`), each player writes its part (`drums`, `basslines`,
`accompaniment`, `melody`, `singing`), and plays it (`performance`).
"""

from partita_synthesis.composition.composer import compose
from partita_synthesis.composition.style import BandSeat, Style
from partita_synthesis.composition.styles import load_style, parse_style, style_names

__all__ = ["BandSeat", "Style", "compose", "load_style", "parse_style", "style_names"]
