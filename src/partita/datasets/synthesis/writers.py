"""Where the music comes from: composed, from MIDI files, or from MMA."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from partita.datasets.synthesis import mma
from partita.datasets.synthesis.arranging import arrange
from partita.datasets.synthesis.casting import cast_band
from partita.datasets.synthesis.composition import Style, compose, load_style, style_names
from partita.datasets.synthesis.midi import find_midi, read_midi
from partita.datasets.synthesis.score import Score
from partita.datasets.synthesis.settings import SynthesisSettings
from partita.datasets.synthesis.stems import StemPlan

#: The style that asks the program of this name for an accompaniment.
MMA = "mma"


class Writer(Protocol):
    """Writes songs."""

    def write(
        self,
        plan: StemPlan,
        playable: Collection[str],
        duration_s: float,
        chance: np.random.Generator,
    ) -> Score | None:
        """Write a song whose parts all belong to stems; None: this time there is none."""


@dataclass(frozen=True)
class Composer:
    """Composes in these styles, and hands over to MMA for its own.

    Attributes
    ----------
    styles : sequence of Style
    uses_mma : bool
        Whether MMA is one more style.
    """

    styles: Sequence[Style]
    uses_mma: bool = False

    def write(
        self,
        plan: StemPlan,
        playable: Collection[str],
        duration_s: float,
        chance: np.random.Generator,
    ) -> Score | None:
        """Draw a style and a band, and compose for it."""
        index = int(chance.integers(len(self.styles) + self.uses_mma))
        if index == len(self.styles):
            return arrange(mma.accompaniment(duration_s, chance), plan, playable, chance)
        style = self.styles[index]
        players = cast_band(style.band, plan, playable, chance)
        return compose(style, players, duration_s, chance)


@dataclass(frozen=True)
class MidiReader:
    """Takes excerpts of MIDI files.

    Attributes
    ----------
    paths : sequence of Path
    """

    paths: Sequence[Path]

    def write(
        self,
        plan: StemPlan,
        playable: Collection[str],
        duration_s: float,
        chance: np.random.Generator,
    ) -> Score | None:
        """Draw a file and a place in it."""
        song = read_midi(self.paths[chance.integers(len(self.paths))])
        latest_s = max(0.0, song.duration_s - duration_s)
        score = song.score(float(chance.uniform(0, latest_s)), duration_s)
        return arrange(score, plan, playable, chance)


def open_writer(settings: SynthesisSettings) -> Writer:
    """Return the writer that settings ask for.

    Raises
    ------
    UsageError
        A style that does not exist, MMA where it is not installed, or no MIDI files.
    """
    if settings.midi is not None:
        return MidiReader(find_midi(Path(settings.midi)))
    names = settings.styles or tuple(style_names())
    if MMA in names:
        mma.require_mma()
    return Composer([load_style(name) for name in names if name != MMA], MMA in names)
