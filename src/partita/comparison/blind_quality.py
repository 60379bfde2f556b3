"""What a comparison would have said without references, beside its scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from partita._version import __version__
from partita.comparison.conditions import caption
from partita.comparison.results import Comparison, EntrantResult
from partita.datasets import Track
from partita.datasets.tracks import StemFile
from partita.errors import PartitaError
from partita.evaluation.loading import load_estimates
from partita.evaluation.oracles import ORACLES
from partita.evaluation.quality.estimate import StemQuality, quality_of, stem_quality
from partita.evaluation.scores import TrackScores
from partita.progress import Progress
from partita.reports.content import Block, Cell, Column, Section, Table, Text, finite_cell
from partita.separation.result_cache import Cache
from partita.weights.identity import digest_of

_KIND = "quality"
_PERCENT = 80
_FEWEST = 4


@dataclass(frozen=True)
class _Row:
    """A stem of a track by a system."""

    system: str
    track: str
    quality: StemQuality
    true_db: float

    @property
    def is_within(self) -> bool:
        low, high = self.quality.intervals_db[_PERCENT]
        return low <= self.true_db <= high


def quality_sections(
    comparison: Comparison, cache: Path, *, progress: Progress | None = None
) -> list[Section]:
    """Estimate the SDR of all stems without their references, and set the truth beside it.

    Parameters
    ----------
    comparison : Comparison
    cache : Path
        That the comparison had; what was measured before is not measured again.
    progress : callable, optional
        Counts the tracks of all systems.

    Returns
    -------
    list of Section
        One, with a sentence on how well they agree, and a table; none without estimates. Oracles
        are left out, which no separation is like.

    Notes
    -----
    What cannot be measured is a note below the table, and the rest goes on.
    """
    places = [
        (result, track)
        for result in comparison.results
        if result.entrant.model not in ORACLES
        for track in comparison.tracks
        if track.name in result.stems
    ]
    rows, notes, kept = [], [], Cache(cache)
    for done, (result, track) in enumerate(places):
        if progress is not None:
            progress(done, len(places))
        try:
            rows += _rows(result, track, kept)
        except PartitaError as error:
            notes.append(f"{result.entrant.name}, {track.name}: {error}")
    if not rows:
        return []
    table = replace(_table(rows, comparison), notes=notes)
    blocks: list[Block] = [Text(_verdict(rows), verdict=True), table]
    return [Section("Without references", blocks)]


def _rows(result: EntrantResult, track: Track, cache: Cache) -> list[_Row]:
    scores = result.scores.get(track.name)
    return [
        _Row(result.entrant.name, track.name, quality, _true_db(scores, quality.stem))
        for quality in _qualities(result, track, cache)
    ]


def _qualities(result: EntrantResult, track: Track, cache: Cache) -> list[StemQuality]:
    """Return the quality of each stem of a track; the cache names files after their content."""
    stems = result.stems[track.name]
    key = digest_of(__version__, {name: str(path) for name, path in stems.items()})
    entry = cache.find(_KIND, key)
    if entry is None:
        files = {name: StemFile(path) for name, path in stems.items()}
        estimates = load_estimates(Track(track.name, cache.root, "", files), list(stems))
        mixture = track.load("mixture").samples
        found = quality_of(mixture, estimates.stems, estimates.sample_rate).stems
        facts = {
            each.stem: [finite_cell(each.implied_db), finite_cell(each.level_db)] for each in found
        }
        cache.remember(_KIND, key, facts)
    else:
        facts = entry.facts
    return [
        stem_quality(stem, _number(implied), _number(level), result.entrant.model)
        for stem, (implied, level) in facts.items()
    ]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _true_db(scores: TrackScores | None, stem: str) -> float:
    target = None if scores is None else scores.targets.get(stem)
    return math.nan if target is None else target.whole.get("uSDR", math.nan)


def _verdict(rows: Sequence[_Row]) -> str:
    known = [row for row in rows if row.quality.sdr_db is not None and math.isfinite(row.true_db)]
    if len(known) < _FEWEST:
        return f"{len(known)} stems have a true SDR: too few to say how well the estimates agree."
    from scipy.stats import spearmanr

    rank = spearmanr([row.quality.sdr_db for row in known], [row.true_db for row in known])[0]
    within = sum(row.is_within for row in known) / len(known)
    return (
        f"Over {len(known)} stems, the estimates have a rank correlation (Spearman) of {rank:.2f} "
        f"with the true SDR, and {100 * within:.0f} % of the {_PERCENT} % intervals contain it."
    )


def _table(rows: Sequence[_Row], comparison: Comparison) -> Table:
    interval = f"End of the {_PERCENT} % interval of the estimate."
    columns = [
        Column("system"),
        Column("track"),
        Column("target"),
        Column("estimate", "dB", 1, "SDR of the whole track, estimated without the reference."),
        Column("from", "dB", 1, interval),
        Column("to", "dB", 1, interval),
        Column("uSDR", "dB", 1, "The true SDR of the whole track."),
        Column("calibrated", meaning="Whether calibration has seen these weights and such stems."),
    ]
    what = "SDR of whole tracks (uSDR) in dB, estimated without references, and the truth."
    cells = [_cells(row) for row in rows]
    return Table("without-references", caption(what, comparison), columns, cells)


def _cells(row: _Row) -> list[Cell]:
    low, high = row.quality.intervals_db.get(_PERCENT, (None, None))
    seen = "yes" if row.quality.is_known_stem and row.quality.is_known_model else "no"
    names = [row.system, row.track, row.quality.stem]
    return [*names, row.quality.sdr_db, low, high, finite_cell(row.true_db), seen]
