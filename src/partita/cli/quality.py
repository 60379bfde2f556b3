"""``partita separate --report``: how good the stems probably are, as lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from partita.cli.console import format_time

_SHOWN_PERCENT = 80
_WORDS = ((7.0, "good"), (4.0, "fair"), (-math.inf, "poor"))
_MOST_SUSPECTS = 3


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
