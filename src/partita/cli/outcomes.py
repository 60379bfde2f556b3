"""Lines and JSON objects that ``partita separate`` prints for songs and batches."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from partita.audio.formats import StemFormat
from partita.cli.console import format_time
from partita.cli.flags import with_flags
from partita.errors import one_line
from partita.separation.batch import Outcome

_SHORT_S = 1.0  # shorter lengths are printed in seconds
_FAST = 10.0  # above, without decimals


def summary(outcome: Outcome) -> str:
    """Return the summary of a song that is done or was skipped."""
    paths = list(dict.fromkeys((outcome.paths or {}).values()))
    common = paths[0].parent
    text = f"{outcome.name} → {one_line(common)}/"
    files = outcome.files
    if files is None:
        return f"{text} (finished earlier, skipped)"
    names = ", ".join(one_line(path.relative_to(common) if path.is_relative_to(common) else path)
                      for path in paths)  # fmt: skip
    text += f": {names}"
    if outcome.redone:
        text += f" (redone: {outcome.redone})"
    length = format_time(files.duration_s)
    if files.duration_s < _SHORT_S:
        length = f"{files.duration_s:.2g} s"
    speed = files.duration_s / max(files.elapsed_s, 1e-9)
    times = f"{speed:.0f}" if speed >= _FAST else f"{speed:.2g}"
    text += f"\n  {length} in {files.elapsed_s:.1f} s, {times}× real time"
    if files.null_depth_db is not None:
        text += f" · null depth {_null_text(files.null_depth_db)}"
    if files.gain_db:
        text += f" · all stems {files.gain_db:+.2f} dB to avoid clipping"
    return text


def batch_summary(counts: Counter[str], elapsed_s: float) -> str:
    """Return the last line of a batch."""
    said = ", ".join(
        f"{counts[status]} {status}" for status in ("done", "skipped", "failed") if counts[status]
    )
    return f"{counts.total()} songs: {said}; {format_time(elapsed_s)} in all"


def interrupted_text(counts: Counter[str], total: int, *, resume: bool, overwrite: bool) -> str:
    """Return the line after Ctrl-C: how many songs are done, and how to continue."""
    if total < 2:
        return "interrupted"
    finished = counts["done"] + counts["skipped"]
    how = "the same command"
    if not resume:
        how += " with --resume instead of --overwrite" if overwrite else " with --resume"
    are = "is" if finished == 1 else "are"
    return f"interrupted; {finished} of {total} songs {are} done; {how} continues"


def as_json(outcome: Outcome, name: str, form: StemFormat) -> dict[str, Any]:
    """Return the object that ``--json`` prints."""
    result: dict[str, Any] = {"input": outcome.source, "status": outcome.status, "model": name}
    if outcome.paths is not None:
        result["stems"] = {stem: str(path) for stem, path in outcome.paths.items()}
        result["format"] = form.name
    if outcome.redone:
        result["redone"] = outcome.redone
    if outcome.files is not None:
        files = outcome.files
        result |= {
            "sample_rate": files.sample_rate,
            "channels": files.channels,
            "duration_s": files.duration_s,
            "elapsed_s": round(files.elapsed_s, 3),
            **_null_facts(files.null_depth_db),
            "gain_db": round(files.gain_db, 4),
            "warnings": [with_flags(text) for text in outcome.warnings],
        }
    if outcome.status == "failed":
        result["error"] = with_flags(outcome.error)
    return result


def _null_facts(null_depth_db: float | None) -> dict[str, Any]:
    """Return the null depth; nothing if not all sources were separated."""
    if null_depth_db is None:
        return {}
    # JSON has no infinity: null stands for an exact sum.
    return {"null_depth_db": None if math.isinf(null_depth_db) else round(null_depth_db, 2)}


def _null_text(null_depth_db: float) -> str:
    return "−∞ dB" if math.isinf(null_depth_db) else f"{null_depth_db:.0f} dB"
