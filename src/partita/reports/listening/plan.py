"""Which excerpts, entrants and pairs a listening test has."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partita.reports.content import Song
from partita.reports.listening.excerpts import find_excerpt

#: Signals of a trial, of which the hidden reference and two anchors are three: BS.1534-3.
MOST_SIGNALS = 12
MOST_ENTRANTS = MOST_SIGNALS - 3
#: Trials of a test: with up to twelve signals each they take half an hour, as long as ears last.
MOST_TRIALS = 12


@dataclass(frozen=True)
class Excerpt:
    """An excerpt of one stem of one song.

    Attributes
    ----------
    song : Song
    stem : str
    start_s, duration_s : float
    groups : tuple of tuple of str
        Entrants; one trial for each group.
    """

    song: Song
    stem: str
    start_s: float
    duration_s: float
    groups: tuple[tuple[str, ...], ...]

    @property
    def entrants(self) -> list[str]:
        """All entrants, in the song's order."""
        inside = set(itertools.chain(*self.groups))
        return [entrant for entrant in self.song.estimates if entrant in inside]


def choose_excerpts(songs: Sequence[Song], rng: np.random.Generator) -> list[Excerpt]:
    """Choose excerpts so that stems, then songs, come equally often.

    More entrants than a trial takes are shared out among several trials of the same excerpt.

    Raises
    ------
    AudioReadError
    """
    known = [(song, stem) for song in songs for stem in song.references if _entrants(song, stem)]
    waiting = [known[index] for index in rng.permutation(len(known))]
    chosen: list[Excerpt] = []
    stems, titles = Counter[str](), Counter[str]()
    room = MOST_TRIALS
    while waiting and room > 0:
        song, stem = min(waiting, key=lambda each: (stems[each[1]], titles[each[0].name]))
        waiting.remove((song, stem))
        place = find_excerpt(song.references[stem], rng)
        if place is None:
            continue
        groups = _groups(_entrants(song, stem), rng)
        room -= len(groups)
        if room < 0 and chosen:
            break
        chosen.append(Excerpt(song, stem, *place, groups))
        stems[stem] += 1
        titles[song.name] += 1
    return chosen


def _entrants(song: Song, stem: str) -> list[str]:
    return [entrant for entrant, stems in song.estimates.items() if stem in stems]


def _groups(entrants: Sequence[str], rng: np.random.Generator) -> tuple[tuple[str, ...], ...]:
    """Share entrants out to groups of nearly equal size."""
    count = math.ceil(len(entrants) / MOST_ENTRANTS)
    order = rng.permutation(len(entrants))
    return tuple(
        tuple(entrants[index] for index in sorted(part)) for part in np.array_split(order, count)
    )


def blind_id(*parts: str) -> str:
    """Return an id that is the same every time and does not show what it stands for."""
    text = "\0".join(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
