"""The songs of a comparison, as pages play them."""

from __future__ import annotations

from partita.comparison.results import Comparison
from partita.comparison.tracks import as_files
from partita.datasets import Track
from partita.datasets.tracks import StemFile
from partita.errors import PartitaError
from partita.evaluation.scores import TrackScores
from partita.reports.content import Song
from partita.separation.result_cache import Cache


def songs_of(comparison: Comparison, cache: Cache, *, most: int | None = None) -> list[Song]:
    """Return mixture, true stems and estimates of each track as files of one length.

    Parameters
    ----------
    comparison : Comparison
    cache : Cache
        Of the comparison; keeps what the data set has in other forms.
    most : int, optional
        Of the first tracks only.

    Raises
    ------
    AudioReadError, AudioWriteError
    """
    return [_song(comparison, track, cache) for track in comparison.tracks[:most]]


def _song(comparison: Comparison, track: Track, cache: Cache) -> Song:
    files = track if _plays(track) else as_files(cache, track)
    assert files.mixture is not None
    results = [each for each in comparison.results if track.name in each.stems]
    scores = {
        each.entrant.name: each.scores[track.name] for each in results if track.name in each.scores
    }
    return Song(
        name=track.name,
        mixture=files.mixture.path,
        references={name: file.path for name, file in files.stems.items()},
        estimates={each.entrant.name: each.stems[track.name] for each in results},
        sdr={name: _windows(found) for name, found in scores.items()},
        hop_s=next((found.hop_s for found in scores.values()), comparison.options.hop_s),
        null_depth_db={
            each.entrant.name: each.null_depth_db[track.name]
            for each in results
            if track.name in each.null_depth_db
        },
    )


def _windows(scores: TrackScores) -> dict[str, list[float]]:
    return {
        name: [frame["SDR"] for frame in target.frames] for name, target in scores.targets.items()
    }


def _plays(track: Track) -> bool:
    """Tell whether a page can play a track's files as they are: whole files of one length."""
    files = list(track.files.values())
    if track.mixture is None or any(file != StemFile(file.path) for file in files):
        return False
    try:
        return len({file.header for file in files}) == 1
    except PartitaError:
        return False
