"""Settings of synthesised songs."""

from __future__ import annotations

from dataclasses import dataclass

from partita.errors import UsageError

_MAX_DURATION_S = 3600.0
_SAMPLE_RATES = range(8000, 96001)


@dataclass(frozen=True)
class SynthesisSettings:
    """Settings that all songs of a data set share.

    Attributes
    ----------
    stems : tuple of str
        As for `partita_synthesis.stems.StemPlan`.
    duration_s : float
        Of each song, up to an hour.
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
    effects : bool
        Whether songs are mixed with effects, or levels and places only.
    """

    stems: tuple[str, ...]
    duration_s: float = 30.0
    sample_rate: int = 44100
    channels: int = 2
    seed: int = 0
    styles: tuple[str, ...] = ()
    soundfonts: tuple[str, ...] = ()
    midi: str | None = None
    recordings: str | None = None
    effects: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.duration_s <= _MAX_DURATION_S:
            raise UsageError(f"a song cannot be {self.duration_s:g} s long: above 0, up to 3600")
        if self.sample_rate not in _SAMPLE_RATES:
            raise UsageError(f"sample rate {self.sample_rate} is not 8000 to 96000 Hz")
        if self.channels not in (1, 2):
            raise UsageError(f"songs have 1 or 2 channels, not {self.channels}")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed} is negative")
        if self.midi is not None and self.styles:
            raise UsageError("MIDI files have a style of their own: leave `midi` or `styles` out")
