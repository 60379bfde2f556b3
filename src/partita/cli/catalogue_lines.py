"""Lines that ``partita catalogue`` prints."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from partita.cli.console import ProgressDisplay, format_time
from partita.cli.flags import with_flags

if TYPE_CHECKING:
    from partita.catalogue.records import RunSettings, SongRecord
    from partita.catalogue.running import Progress, Survey

_PLAIN_INTERVAL_S = 10.0
_HOUR_S = 3600.0


class RunDisplay:
    """Shows a run: a line of progress, failures as they come, JSON if wanted.

    Parameters
    ----------
    progress : Progress
    as_json, quiet : bool
        As the command's options.
    """

    def __init__(self, progress: Progress, *, as_json: bool, quiet: bool) -> None:
        self._progress, self._as_json = progress, as_json
        self._is_shown = not (quiet or as_json)
        self._display = ProgressDisplay(enabled=self._is_shown)
        self._total = progress.left
        self._said_at = time.monotonic()
        self._step: Any = None

    def __enter__(self) -> Self:
        self._display.__enter__()
        self._step = self._display.steps(self._total)
        self._step(0, f"0 of {songs_text(self._total)}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._display.__exit__(kind, error, trace)

    def say(self, line: str) -> None:
        """Print a line above the progress."""
        self._display.print(f"partita: {line}", error=True)

    def tell(self, record: SongRecord) -> None:
        """Print what became of an attempt, and how far the run is."""
        if record.kind:
            again = "; it is tried again" if record.outcome == "tried" else ""
            often = " (quarantined)" if record.outcome == "quarantined" else ""
            self.say(f"{record.cause}{often}{again}")
        if self._as_json:
            from partita.catalogue.store import record_facts

            facts = record_facts(record)
            self._display.print(
                json.dumps({**facts, "cause": with_flags(record.cause)}), whole=True
            )
        self._step(self._total - self._progress.left, progress_text(self._progress, self._total))
        now = time.monotonic()
        if self._is_shown and not sys.stderr.isatty() and now - self._said_at > _PLAIN_INTERVAL_S:
            self._said_at = now
            print(progress_text(self._progress, self._total), file=sys.stderr, flush=True)


def progress_text(progress: Progress, total: int) -> str:
    """Return how far a run is, in one short line."""
    parts = [f"{total - progress.left} of {songs_text(total)}", hours_text(progress.done_s)]
    parts.append(f"{progress.real_time_factor:.3g}×")
    if progress.remaining_s is not None and progress.left:
        parts.append(f"{format_time(progress.remaining_s)} left")
    if progress.failures:
        parts.append(_kinds(progress))
    return ", ".join(parts)


def settled_text(progress: Progress) -> str:
    """Return the last line of a run."""
    said = ", ".join(
        f"{progress.outcomes[outcome]} {outcome}"
        for outcome in ("done", "failed", "quarantined")
        if progress.outcomes[outcome]
    )
    if not said:
        return "nothing was left to do"
    kinds = f" ({_kinds(progress)})" if progress.failures else ""
    return (
        f"{said}{kinds}; {hours_text(progress.done_s)} of audio in "
        f"{format_time(progress.elapsed_s)}, {progress.real_time_factor:.3g}× real time"
    )


def status_lines(
    state: Survey, failures: Iterable[SongRecord], most: int, settings: RunSettings | None
) -> Iterator[str]:
    """Yield the lines of ``partita catalogue status``."""
    if settings is not None:
        yield f"{settings.model} → {settings.destination}"
    said = ", ".join(f"{count} {outcome}" for outcome, count in state.outcomes.items() if count)
    yield f"{songs_text(state.songs)}, {hours_text(state.total_s)}: {said}"
    if state.duplicates:
        yield f"{state.duplicates} sound like an earlier one: run --skip-duplicates leaves them out"
    if state.left:
        yield f"{state.left} left, {hours_text(state.left_s)}"
    named = list(itertools.islice(failures, most + 1))
    for record in named[:most]:
        yield f"  {record.outcome}, {record.kind}: {with_flags(record.cause)}"
    if len(named) > most:
        yield "  … (--json names all)"


def songs_text(count: int) -> str:
    """Return so many songs, in words."""
    return "1 song" if count == 1 else f"{count:,} songs"


def hours_text(seconds: float) -> str:
    """Return a length of audio: minutes, or hours if it is long."""
    if seconds < _HOUR_S:
        return format_time(seconds)
    return f"{seconds / _HOUR_S:,.1f} h"


def _kinds(progress: Progress) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in progress.failures.most_common())
