"""``partita separate --report``: how good the stems probably are, as lines and as JSON."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partita.cli.console import format_time
from partita.errors import write_error
from partita.files import write_text
from partita.separation.batch import Extra, OutputPlan, Song

if TYPE_CHECKING:
    from partita.evaluation.quality.meter import QualityMeter
    from partita.separation.stem_files import Watch

_SHOWN_PERCENT = 80
_WORDS = ((7.0, "good"), (4.0, "fair"), (-math.inf, "poor"))
_MOST_SUSPECTS = 3
_NAME = "report"


class QualityReports:
    """Measures songs while they are separated; writes and shows their reports.

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


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the lines of a report on the terminal: one for each stem, then of the song."""
    suspects: dict[str, list[Mapping[str, Any]]] = {}
    for each in report.get("suspects", ()):
        suspects.setdefault(each["stem"], []).append(each)
    lines = [
        f"  {stem}: {_verdict(found)}{_suspect_text(suspects.get(stem, []))}"
        for stem, found in report.get("stems", {}).items()
    ]
    song = _suspect_text(suspects.get("", []))
    return lines + ([f"  all stems{song.replace('; ', ': ', 1)}"] if song else [])


def _verdict(found: Mapping[str, Any]) -> str:
    sdr_db = found["sdr_db"]
    if sdr_db is None:
        return "silent"
    word = next(word for least, word in _WORDS if round(sdr_db) >= least)
    low, high = found["intervals_db"][str(_SHOWN_PERCENT)]
    text = f"{word} (SDR about {_db(sdr_db)} dB, {_db(low)} to {_db(high)}"
    if not found["known_stem"]:
        text += "; not calibrated for this stem"
    elif not found["known_model"]:
        text += "; not calibrated for this model"
    text += ")"
    if found["quiet"]:
        text += f"; quiet ({_db(found['level_db'])} dB): the song may not have it"
    return text


def _db(value: float) -> str:
    return f"{round(value) + 0:d}".replace("-", "−")


def _suspect_text(suspects: Sequence[Mapping[str, Any]]) -> str:
    """Return the worst suspects, in the order of time."""
    if not suspects:
        return ""
    worst = sorted(suspects, key=lambda each: -(each["drop_db"] or 0))[:_MOST_SUSPECTS]
    named = ", ".join(
        f"{format_time(each['start_s'])}–{format_time(each['end_s'])} ({each['reason']})"
        for each in sorted(worst, key=lambda each: float(each["start_s"]))
    )
    more = f" and {len(suspects) - len(worst)} more" if len(suspects) > len(worst) else ""
    return f"; suspect {named}{more}"
