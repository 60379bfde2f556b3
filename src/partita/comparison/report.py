"""The report of a comparison: sections, songs that play, facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from partita.comparison.conditions import conditions
from partita.comparison.results import Comparison
from partita.comparison.songs import songs_of
from partita.reports.content import Report, Section
from partita.separation.result_cache import Cache

#: Tracks that the page of a comparison plays.
MOST_SONGS = 10


def report_of(
    comparison: Comparison,
    sections: Sequence[Section],
    *,
    cache: Path,
    facts: Mapping[str, str],
    title: str = "",
    most_songs: int = MOST_SONGS,
) -> Report:
    """Return the report of a comparison.

    Parameters
    ----------
    comparison : Comparison
    sections : sequence of Section
    cache : Path
        That the comparison had; it keeps references that a page cannot play as they are.
    facts : mapping of str to str
        For the end of the page.
    title : str
        By default it says what is compared on what.
    most_songs : int
        Tracks that play.

    Raises
    ------
    AudioReadError, AudioWriteError
        A song cannot be read, or the cache not be written.
    """
    count = len(comparison.results)
    return Report(
        title=title or f"{count} system{'s' * (count != 1)} on {comparison.data.resolve().name}",
        summary=conditions(comparison),
        sections=sections,
        songs=songs_of(comparison, Cache(cache), most=most_songs),
        facts=facts,
    )
