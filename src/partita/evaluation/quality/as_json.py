"""Reports without references, ready for JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

from partita.evaluation.quality.estimate import Quality, StemQuality
from partita.evaluation.quality.suspects import Suspect


def as_json(quality: Quality) -> dict[str, Any]:
    """Return a report; JSON has no NaN: null is what cannot be told."""
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
