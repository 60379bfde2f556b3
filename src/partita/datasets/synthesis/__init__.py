"""Endless multitracks: songs composed, played, sung and mixed, with their stems."""

from partita.datasets.synthesis.folder import write_songs
from partita.datasets.synthesis.settings import SynthesisSettings
from partita.datasets.synthesis.song import Studio, SynthesizedSong

__all__ = ["Studio", "SynthesisSettings", "SynthesizedSong", "write_songs"]
