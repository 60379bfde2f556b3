"""Scores of three origins: composed, MIDI files, MMA."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from partita.errors import AudioReadError, UnknownNameError
from partita_synthesis import mma
from partita_synthesis.arranging import arrange
from partita_synthesis.casting import cast_band
from partita_synthesis.composition import Style, compose, load_style, style_names
from partita_synthesis.midi import MidiSong, find_midi, read_midi
from partita_synthesis.score import Score
from partita_synthesis.settings import SynthesisSettings
from partita_synthesis.stems import StemPlan

#: The style that asks the program of this name for an accompaniment.
MMA = "mma"
_MMA_WEIGHT = 1.0

_SPREAD = 0.05  # how far a song may be from the tempo wished for
_BEATS_IN_BAR, _STRAIGHT = 4, 0.6  # real drums can follow: the swing of songs is below that
_TRIED_FILES = 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """Tempo and key that suit the recordings of a song.

    Attributes
    ----------
    tempo_bpm : float or None
        Half and double of it, and 5 % more or less, are as good.
    key : int or None
        Pitch class of the tonic, 0 (C) to 11.
    mode : str or None
        ``"major"`` or ``"minor"``.
    """

    tempo_bpm: float | None = None
    key: int | None = None
    mode: str | None = None


NO_WISH = Wish()


class Writer(Protocol):
    """Writes songs."""

    def write(
        self,
        plan: StemPlan,
        playable: Collection[str],
        duration_s: float,
        rng: np.random.Generator,
        wish: Wish = NO_WISH,
    ) -> Score | None:
        """Write a score whose parts all belong to stems; None: try again.

        Wishes are met as far as the writer can.
        """


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
        rng: np.random.Generator,
        wish: Wish = NO_WISH,
    ) -> Score | None:
        """Draw a style and a band, and compose for it."""
        tempi = {style.name: _tempi(style, wish) for style in self.styles}
        suited = [style for style in self.styles if tempi[style.name]] or self.styles
        weights = [style.weight for style in suited] + [_MMA_WEIGHT] * self.uses_mma
        index = int(rng.choice(len(weights), p=np.array(weights) / sum(weights)))
        if index == len(suited):
            return arrange(mma.accompaniment(duration_s, rng), plan, playable, rng)
        style = suited[index]
        players = cast_band(style.band, plan, playable, rng)
        span = tempi[style.name] if wish.tempo_bpm else None
        tempo_bpm = float(rng.uniform(*span)) if span else None
        return compose(
            style, players, duration_s, rng, tempo_bpm=tempo_bpm, key=wish.key, mode=wish.mode
        )


def _tempi(style: Style, wish: Wish) -> tuple[float, float] | None:
    """Return the least and the most of a style's tempi that meet a wish; None: there are none."""
    slowest, fastest = style.tempo_bpm
    if wish.tempo_bpm is None:
        return slowest, fastest
    if style.beats_per_bar != _BEATS_IN_BAR or style.swing.ratio[0] >= _STRAIGHT:
        return None
    for octave in (1, 0.5, 2):
        near = wish.tempo_bpm * octave
        span = max(slowest, near * (1 - _SPREAD)), min(fastest, near * (1 + _SPREAD))
        if span[0] <= span[1]:
            return span
    return None


@dataclass(frozen=True)
class MidiReader:
    """Takes excerpts of MIDI files.

    Attributes
    ----------
    paths : sequence of Path
        Those that cannot be read are passed over.
    """

    paths: Sequence[Path]

    def write(
        self,
        plan: StemPlan,
        playable: Collection[str],
        duration_s: float,
        rng: np.random.Generator,
        wish: Wish = NO_WISH,  # noqa: ARG002 (files are as they are)
    ) -> Score | None:
        """Draw a file and a place in it."""
        song = self._draw(rng)
        if song is None:
            return None
        latest_s = max(0.0, song.duration_s - duration_s)
        score = song.score(float(rng.uniform(0, latest_s)), duration_s)
        return arrange(score, plan, playable, rng)

    def _draw(self, rng: np.random.Generator) -> MidiSong | None:
        for _ in range(_TRIED_FILES):
            try:
                return read_midi(self.paths[int(rng.integers(len(self.paths)))])
            except AudioReadError as error:
                _warn_once(str(error))
        return None


@cache
def _warn_once(message: str) -> None:
    _log.warning(message)


def open_writer(settings: SynthesisSettings) -> Writer:
    """Return the writer that settings ask for.

    Raises
    ------
    UsageError
        A style that does not exist, MMA where it is not installed, or no MIDI files.
    AudioReadError
        None of the first 20 MIDI files can be read.
    """
    if settings.midi is not None:
        return _open_midi(Path(settings.midi))
    known = (*style_names(), MMA)
    for name in settings.styles:
        if name not in known:
            raise UnknownNameError("style", name, known)
    names = settings.styles or style_names()
    if MMA in names:
        mma.require_mma()
    return Composer([load_style(name) for name in names if name != MMA], MMA in names)


def _open_midi(folder: Path) -> MidiReader:
    paths = find_midi(folder)
    errors = []
    for path in paths[:_TRIED_FILES]:
        try:
            read_midi(path)
        except AudioReadError as error:
            errors.append(error)
        else:
            return MidiReader(paths)
    raise errors[0]
