"""Unaligned recordings of single sources: random mixes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from partita.datasets.tracks import Track


def hold_out(tracks: Sequence[Track], count: int, seed: int) -> tuple[list[Track], list[Track]]:
    """Divide tracks with one stem each into those for training and those for validation.

    Parameters
    ----------
    tracks : sequence of Track
    count : int
        For validation, at most so many of each source; one of each is left for training.
    seed : int

    Returns
    -------
    train, valid : list of Track
    """
    rng = np.random.default_rng(seed)
    held: set[str] = set()
    for names in _by_source(tracks).values():
        order = rng.permutation(len(names))[: min(count, len(names) - 1)]
        held |= {names[index].name for index in order}
    return (
        [track for track in tracks if track.name not in held],
        [track for track in tracks if track.name in held],
    )


def random_songs(tracks: Sequence[Track], seed: int) -> list[Track]:
    """Put one recording of each source together, as often as the most frequent source has one.

    Parameters
    ----------
    tracks : sequence of Track
        With one stem each.
    seed : int

    Returns
    -------
    list of Track
        Every recording is in at least one of them.
    """
    rng = np.random.default_rng(seed)
    shuffled = {
        source: [own[index] for index in rng.permutation(len(own))]
        for source, own in _by_source(tracks).items()
    }
    songs = []
    for number in range(max(map(len, shuffled.values()), default=0)):
        parts = {source: own[number % len(own)] for source, own in shuffled.items()}
        first = next(iter(parts.values()))
        stems = {source: part.stems[source] for source, part in parts.items()}
        songs.append(Track(f"random song {number + 1}", first.path, first.subset, stems))
    return songs


def _by_source(tracks: Sequence[Track]) -> dict[str, list[Track]]:
    found: dict[str, list[Track]] = {}
    for track in tracks:
        (source,) = track.stems
        found.setdefault(source, []).append(track)
    return found
