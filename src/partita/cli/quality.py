"""``partita separate --report``: how good the stems probably are, as lines and as JSON."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partita.cli.console import format_time
from partita.errors import write_error
from partita.files import whole_file
from partita.separation.batch import Extra, OutputPlan, Song

if TYPE_CHECKING:
    from partita.evaluation.quality.estimate import Quality, StemQuality
    from partita.evaluation.quality.meter import QualityMeter
    from partita.evaluation.quality.suspects import Suspect
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
        from partita.evaluation.quality.estimate import estimate_quality

        report = as_json(estimate_quality(self._meters.pop(song).finish(), self._model))
        path = self._path(song)
        try:
            with whole_file(path) as partial:
                partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise write_error(path, error) from error


def as_json(quality: Quality) -> dict[str, Any]:
    """Return the content of a report's file; JSON has no NaN: null is what cannot be told."""
    return {
        "metric": "uSDR",
        "stems": {each.stem: _stem(each) for each in quality.stems},
        "suspects": [asdict(each) for each in map(_rounded, quality.suspects)],
    }


def _stem(quality: StemQuality) -> dict[str, Any]:
    return {
        "sdr_db": _number(quality.sdr_db),
        "intervals_db": {
            str(percent): [_number(end) for end in ends]
            for percent, ends in quality.intervals_db.items()
        },
        "known_stem": quality.is_known_stem,
        "known_model": quality.is_known_model,
        "quiet": quality.is_quiet,
        "level_db": _number(quality.level_db),
        "implied_sdr_db": _number(quality.implied_db),
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 2)


def _rounded(suspect: Suspect) -> Suspect:
    return replace(suspect, drop_db=_number(suspect.drop_db))


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
