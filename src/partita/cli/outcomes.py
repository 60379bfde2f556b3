"""Lines and JSON objects that ``partita separate`` prints for songs and batches."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from partita.audio.formats import StemFormat
from partita.cli.console import ProgressDisplay, format_time, print_error
from partita.cli.flags import with_flags
from partita.cli.licensing import licence_facts
from partita.cli.quality import report_lines
from partita.errors import PartitaError, one_line
from partita.evaluation.quality.reports import QualityReports
from partita.progress import Progress
from partita.separation.batch import BatchOptions, Outcome, Song
from partita.weights.plan import ModelPlan

_SHORT_S = 1.0  # shorter lengths are printed in seconds
_FAST = 10.0  # above, without decimals
_INTERRUPTED = 130


class BatchReport:
    """Prints the progress of a batch, the outcome of each song, and a summary.

    Parameters
    ----------
    model : str
        Its name.
    as_json, quiet : bool
        As the command's options.

    Attributes
    ----------
    quality : QualityReports or None
        Reports beside the stems, which are shown.
    """

    def __init__(self, model: str, *, as_json: bool, quiet: bool) -> None:
        self._model, self._as_json, self._quiet = model, as_json, quiet
        self._counts: Counter[str] = Counter()
        self._told: set[str] = set()
        self._display = ProgressDisplay(enabled=not (quiet or as_json))
        self.quality: QualityReports | None = None

    @property
    def status(self) -> int:
        """The exit status: 1 if a song failed."""
        return int(self._counts["failed"] > 0)

    @contextlib.contextmanager
    def failures(self, inputs: Sequence[str]) -> Iterator[None]:
        """With --json, print a failure for each input if an error ends the whole batch."""
        try:
            yield
        except PartitaError as error:
            for item in dict.fromkeys(inputs) if self._as_json else ():
                if item not in self._told:
                    self._told.add(item)
                    facts = {"input": item, "status": "failed", "model": self._model}
                    print(json.dumps({**facts, "error": with_flags(str(error))}), flush=True)
            raise

    @contextlib.contextmanager
    def batch(self, songs: Sequence[Song | Outcome], options: BatchOptions) -> Iterator[None]:
        """Show progress while songs are separated, then a summary, also after Ctrl-C."""
        started = time.monotonic()
        try:
            with self.failures([song.source for song in songs]), self._display:
                yield
        except KeyboardInterrupt:
            text = interrupted_text(
                self._counts, len(songs), resume=options.resume, overwrite=options.overwrite
            )
            print_error(text)
            raise SystemExit(_INTERRUPTED) from None
        if len(songs) > 1 and not (self._quiet or self._as_json):
            print(batch_summary(self._counts, time.monotonic() - started))

    def progress(self, song: Song, number: int, total: int) -> Progress:
        """Return the progress function of one song."""
        return self._display.song(song.name, number, total)

    def tell(self, outcome: Outcome, form: StemFormat, model: ModelPlan) -> None:
        """Print the outcome of one song."""
        self._counts[outcome.status] += 1
        self._told.add(outcome.source)
        if outcome.status == "failed":
            self._display.print(f"partita: {outcome.error}", error=True)
        self._display.finish(outcome.name)
        for warning in outcome.warnings if not self._quiet else ():
            self._display.print(f"partita: warning: {warning}", error=True)
        found = None
        if self.quality is not None and outcome.status != "failed":
            found = self.quality.of(outcome.source)
        if self._as_json:
            facts = {**as_json(outcome, self._model, form), **licence_facts(model.licence)}
            facts |= {"report": found} if found else {}
            self._display.print(json.dumps(facts), whole=True)
        elif not self._quiet and outcome.status != "failed":
            self._display.print("\n".join([summary(outcome), *report_lines(found or {})]))


def summary(outcome: Outcome) -> str:
    """Return the summary of a song that is done or was skipped."""
    paths = list(dict.fromkeys(outcome.paths.values()))
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
    text += f"\n  {length} in {speed_text(files.duration_s, files.elapsed_s)}"
    if files.null_depth_db is not None:
        text += f" · null depth {_null_text(files.null_depth_db)}"
    if files.gain_db:
        text += f" · all stems {files.gain_db:+.2f} dB to avoid clipping"
    return text


def speed_text(duration_s: float, elapsed_s: float) -> str:
    """Return how long work on so much audio took, and how many times real time that is."""
    speed = duration_s / max(elapsed_s, 1e-9)
    times = f"{speed:.0f}" if speed >= _FAST else f"{speed:.2g}"
    return f"{elapsed_s:.1f} s, {times}× real time"


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
    if outcome.paths:
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
