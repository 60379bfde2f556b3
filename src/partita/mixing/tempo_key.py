"""Tempo, beats and key of a song: as they were estimated, and as a person has put them right."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from partita.settings import Settings
from partita.validation import bounded

_TONICS = {
    "major": ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"),
    "minor": ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"),
}
#: All keys as musicians write them, those of C first.
KEYS = tuple(f"{tonic} {mode}" for mode, tonics in _TONICS.items() for tonic in tonics)
#: Estimates may be wrong by such a factor.
TEMPO_FACTORS = (1 / 3, 0.5, 2 / 3, 1.0, 1.5, 2.0, 3.0)
_NEAR = 1e-6  # of a beat


@dataclass(frozen=True)
class Correction(Settings):
    """What a person says of a song's tempo, beats and key.

    Attributes
    ----------
    tempo_factor : float
        The tempo is the estimated one times this, 0.25 to 4.
    key : str, optional
        One of `KEYS`; None: the estimated one.
    beats_in_bar : int
        2 to 12.
    one_s : float, optional
        A time in the song, in seconds: the beat next to it begins a bar.
    """

    tempo_factor: float = bounded(1.0, least=0.25, most=4.0)
    key: str | None = None
    beats_in_bar: int = bounded(4, least=2, most=12)
    one_s: float | None = bounded(None, least=0.0, most=1e6)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.key is None or self.key in KEYS
        self.require(known, f"key {self.key!r} is none of {', '.join(KEYS)}")


@dataclass(frozen=True, kw_only=True)
class TempoKey:
    """Tempo, beats and key of a song.

    Attributes
    ----------
    tempo_bpm : float or None
        Beats in a minute; None: there are none to be found.
    is_tempo_sure : bool
        Whether the beats are regular.
    beats_s : tuple of float
        When the beats are, in seconds, ascending.
    beats_in_bar : int
    one : int or None
        Index of a beat that begins a bar; None: unknown.
    key : str or None
        One of `KEYS`.
    is_key_sure : bool
        Whether no other key is nearly as likely.
    other_keys : tuple of str
        The next likely ones.
    """

    tempo_bpm: float | None
    is_tempo_sure: bool
    beats_s: tuple[float, ...]
    beats_in_bar: int = 4
    one: int | None = None
    key: str | None
    is_key_sure: bool
    other_keys: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `dataclasses.asdict` has made a mapping of, and JSON text of that."""
        tuples = {name: tuple(values[name]) for name in ("beats_s", "other_keys")}
        return cls(**{**values, **tuples})

    def corrected(self, correction: Correction) -> Self:
        """Return it with what a person knows better."""
        found = self._at_factor(correction.tempo_factor, correction.one_s)
        found = dataclasses.replace(found, beats_in_bar=correction.beats_in_bar)
        if correction.key is not None:
            found = dataclasses.replace(found, key=correction.key, is_key_sure=True)
        if correction.one_s is None or not found.beats_s:
            return found
        distances = np.abs(np.asarray(found.beats_s) - correction.one_s)
        return dataclasses.replace(found, one=int(distances.argmin()))

    def near(self, tempo_bpm: float) -> Self:
        """Return it at the tempo of `TEMPO_FACTORS` that is nearest to one that a person names."""
        if self.tempo_bpm is None:
            return self
        ratio = tempo_bpm / self.tempo_bpm
        return self._at_factor(min(TEMPO_FACTORS, key=lambda each: abs(math.log(ratio / each))))

    def begins_bar(self, beat: int) -> bool:
        """Return whether a bar begins with a beat, by its index; unknown: no."""
        return self.one is not None and (beat - self.one) % self.beats_in_bar == 0

    def _at_factor(self, factor: float, one_s: float | None = None) -> Self:
        """Leave beats out, or put some between; the beat next to a time stays one."""
        if self.tempo_bpm is None or len(self.beats_s) < 2 or factor == 1.0:
            return self
        beats = np.asarray(self.beats_s)
        kept = 0 if one_s is None else int(np.abs(beats - one_s).argmin())
        first = math.ceil(-kept * factor - _NEAR)
        last = math.floor((len(beats) - 1 - kept) * factor + _NEAR)
        places = kept + np.arange(first, last + 1) / factor
        times = np.interp(places, np.arange(len(beats)), beats)
        tempo = self.tempo_bpm * factor
        return dataclasses.replace(self, tempo_bpm=tempo, beats_s=tuple(times.tolist()))
