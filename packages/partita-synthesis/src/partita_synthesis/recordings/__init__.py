"""Stems of real recordings, fitted to synthetic songs."""

from partita_synthesis.recordings.alignment import can_follow
from partita_synthesis.recordings.fitting import Take, fit
from partita_synthesis.recordings.recording import (
    DRUMS,
    Recording,
    find_recordings,
)

__all__ = ["DRUMS", "Recording", "Take", "can_follow", "find_recordings", "fit"]
