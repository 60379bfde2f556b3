"""The songs of a comparison, as pages play them."""

from __future__ import annotations

from partita.comparison.results import Comparison
from partita.comparison.tracks import as_files
from partita.reports.content import Song
from partita.separation.result_cache import Cache


def songs_of(comparison: Comparison, cache: Cache) -> list[Song]:
    """Return mixture, true stems and estimates of each track as files of one length.

    Parameters
    ----------
    comparison : Comparison
    cache : Cache
        Of the comparison; keeps what the data set has in other forms.

    Raises
    ------
    AudioReadError, AudioWriteError
    """
    songs = []
    for track in comparison.tracks:
        files = track if comparison.seconds is not None else as_files(cache, track)
        assert files.mixture is not None
        results = [each for each in comparison.results if track.name in each.stems]
        scored = [each for each in results if track.name in each.scores]
        songs.append(
            Song(
                name=track.name,
                mixture=files.mixture.path,
                references={name: file.path for name, file in files.stems.items()},
                estimates={each.entrant.name: each.stems[track.name] for each in results},
                sdr={
                    each.entrant.name: {
                        name: [frame["SDR"] for frame in target.frames]
                        for name, target in each.scores[track.name].targets.items()
                    }
                    for each in scored
                },
                hop_s=comparison.options.hop_s,
                null_depth_db={
                    each.entrant.name: each.null_depth_db[track.name]
                    for each in results
                    if track.name in each.null_depth_db
                },
            )
        )
    return songs
