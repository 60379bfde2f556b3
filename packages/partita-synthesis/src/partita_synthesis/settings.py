"""Settings of synthesised songs."""

from __future__ import annotations

from dataclasses import dataclass

from partita.errors import UsageError
from partita.settings import Settings
from partita.validation import bounded


@dataclass(frozen=True)
class SynthesisSettings(Settings):
    """Settings that all songs of a data set share.

    Attributes
    ----------
    stems : tuple of str
        As for `partita_synthesis.stems.StemPlan`.
    duration_s : float
        Of each song, 0.5 to 3600.
    sample_rate : int
        In hertz, 8000 to 96000.
    channels : int
        1 or 2.
    seed : int
        Not negative. A song depends on its number and the settings alone.
    styles : tuple of str
        Drawn from for each song; none: all that come with this package. ``mma`` asks the program of
        that name for the accompaniment.
    soundfonts : tuple of str
        Paths; none: those that are found on this machine.
    midi : str or None
        Folder of MIDI files that are played instead of songs composed.
    recordings : str or None
        A data set whose vocals and drums take the place of synthetic ones in some songs.
    """

    stems: tuple[str, ...]
    duration_s: float = bounded(30.0, least=0.5, most=3600)
    sample_rate: int = bounded(44100, least=8000, most=96000)
    channels: int = bounded(2, least=1, most=2)
    seed: int = bounded(0, least=0)
    styles: tuple[str, ...] = ()
    soundfonts: tuple[str, ...] = ()
    midi: str | None = None
    recordings: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.midi is not None and self.styles:
            raise UsageError("MIDI files have a style of their own: leave `midi` or `styles` out")

    def require(self, condition: bool, message: str) -> None:
        """Raise `UsageError` unless a condition holds; the message begins with a parameter."""
        name, _, fault = message.partition(" ")
        super().require(condition, f"`{name}` {fault}")
