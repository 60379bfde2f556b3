"""Tables that compare systems, and csv files."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from partita.datasets.tracks import order_stems
from partita.errors import write_error
from partita.evaluation.aggregate import Summary, summarise
from partita.evaluation.scores import TrackScores

Systems = Mapping[str, Sequence[TrackScores]]


@dataclass(frozen=True)
class Row:
    """Scores of one system for one target."""

    system: str
    summary: Summary


def comparison_rows(systems: Systems, *, seed: int = 0) -> dict[str, list[Row]]:
    """Return target → rows, the best median SDR first.

    Parameters
    ----------
    systems : mapping of str to sequence of TrackScores
        Name of a system → its tracks.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        Vocals, drums, bass and other first.
    """
    rows: dict[str, list[Row]] = {}
    for system, tracks in systems.items():
        for target, summary in summarise(tracks, seed=seed).items():
            rows.setdefault(target, []).append(Row(system, summary))
    for found in rows.values():
        found.sort(key=lambda row: _descending(row.summary.medians["SDR"]))
    return {target: rows[target] for target in order_stems(rows)}


def _descending(value: float) -> tuple[bool, float]:
    return math.isnan(value), -value


def write_csv(path: Path, systems: Systems) -> None:
    """Write one line a system, track, target and metric: medians over windows in dB.

    Raises
    ------
    AudioWriteError
        The file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["system", "track", "target", "metric", "value_db", "scored_with"])
            writer.writerows(_lines(systems))
    except OSError as error:
        raise write_error(path, error) from error


def _lines(systems: Systems) -> Iterable[list[str]]:
    for system, tracks in systems.items():
        for scores in tracks:
            for target, figures in scores.medians().items():
                together = "+".join(scores.targets[target].scored_with)
                for metric, value in figures.items():
                    text = "" if math.isnan(value) else f"{value:.5f}"
                    yield [system, scores.track, target, metric, text, together]
