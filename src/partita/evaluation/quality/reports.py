"""``report.json`` beside the stems: how good they probably are, measured while they are made."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partita.errors import write_error
from partita.files import write_text
from partita.separation.batch import Extra, OutputPlan, Song

if TYPE_CHECKING:
    from partita.evaluation.quality.meter import QualityMeter
    from partita.separation.stem_files import Watch

_NAME = "report"


class QualityReports:
    """Measures songs while they are separated; writes and reads their reports.

    Parameters
    ----------
    plan : OutputPlan
    songs : sequence of Song
    model : str
        Name of the weights.
    """

    def __init__(self, plan: OutputPlan, songs: Sequence[Song], model: str) -> None:
        self._plan, self._model = plan, model
        self._songs = {song.source: song for song in songs}
        self._meters: dict[Song, QualityMeter] = {}

    @property
    def extra(self) -> Extra:
        """What a batch needs to make them."""
        return Extra(path=self._path, make=self._make, watch=self._watch)

    def of(self, source: str) -> dict[str, Any] | None:
        """Return the report beside a song's stems; None: there is none that can be read."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            report = json.loads(self._path(self._songs[source]).read_text(encoding="utf-8"))
            return report if isinstance(report, dict) else None
        return None

    def _path(self, song: Song) -> Path:
        return self._plan.path_beside(song, _NAME, "json")

    def _watch(self, song: Song, sample_rate: int) -> Watch:
        from partita.evaluation.quality.meter import QualityMeter

        self._meters[song] = meter = QualityMeter(self._plan.stems, sample_rate)
        return meter.add

    def _make(self, song: Song, _: Mapping[str, Path]) -> None:
        from partita.evaluation.quality.as_json import as_json
        from partita.evaluation.quality.estimate import estimate_quality

        report = as_json(estimate_quality(self._meters.pop(song).finish(), self._model))
        path = self._path(song)
        try:
            write_text(path, json.dumps(report, indent=1) + "\n")
        except OSError as error:
            raise write_error(path, error) from error
