"""What the commands print: errors, results, progress."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from partita.cli.flags import with_flags
from partita.cli.terminal import terminal_columns, wrapped
from partita.errors import UsageError, one_line
from partita.progress import Progress

_PLAIN_INTERVAL_S = 10.0
_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)s?", re.ASCII)


def print_error(message: str) -> None:
    """Print one line to standard error."""
    print(f"partita: {with_flags(message)}", file=sys.stderr, flush=True)


def set_up_logging(*, verbose: bool, quiet: bool) -> None:
    """Send partita's log to standard error."""
    logger = logging.getLogger("partita")
    logger.setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("partita: %(message)s"))
    logger.handlers[:] = [handler]


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return with_flags(super().format(record))


def format_time(seconds: float) -> str:
    """Return ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def parse_time(option: str, text: str) -> float:
    """Return the seconds of a time: ``90``, ``1:30``, ``1:02:03.5``.

    Raises
    ------
    UsageError
        It is not a time; the message names the option.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None or (match[2] and float(match[3]) >= 60) or (match[1] and int(match[2]) >= 60):
        raise UsageError(
            f"{option} {one_line(text)} is not a time: type seconds, m:ss or h:mm:ss (90, 1:30)"
        )
    return int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + float(match[3])


class ProgressDisplay:
    """A progress bar for each running song on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._bar: Any = None
        self._lock = threading.Lock()
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if self._enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(compact=True),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def song(self, name: str, number: int = 1, total: int = 1) -> Progress:
        """Return the progress function of one song; of several, its label has the number."""
        if not self._enabled:
            return _show_nothing
        place = f"song {number} of {total}, " if total > 1 else ""
        if self._bar is None:
            return self._plain(place + name)
        text = place + _shorten(name, 40 - len(place))
        task = self._tasks[name] = self._bar.add_task(text, total=None)

        def update(done_s: float, total_s: float | None) -> None:
            self._bar.update(task, completed=done_s, total=total_s)

        return update

    def count(self, name: str, *, is_named: bool = False) -> Progress:
        """Return the progress function of what is counted; it needs a terminal.

        Parameters
        ----------
        name : str
        is_named : bool
            The name alone stands beside the bar, without the numbers.
        """
        if self._bar is None:
            return _show_nothing
        task: Any = None

        def update(done: float, total: float | None) -> None:
            nonlocal task
            if total is not None and total < 2:  # one thing is no count
                return
            text = name if is_named or total is None else f"{name} {done:.0f} of {total:.0f}"
            task = self._bar.add_task(text, total=total) if task is None else task
            self._bar.update(task, completed=done, total=total, description=text)

        return update

    def steps(self, total: int) -> Callable[[int, str], None]:
        """Return the progress function of steps with a text each; it needs a terminal."""
        if self._bar is None:
            return lambda _done, _text: None
        task = self._bar.add_task("", total=total)

        def update(done: int, text: str) -> None:
            self._bar.update(task, completed=done, description=text)

        return update

    def work(self) -> Callable[[str, float, float], None]:
        """Return the progress function of work with a text for what is being done."""
        if not self._enabled:
            return lambda _text, _done, _total: None
        if self._bar is not None:
            task = self._bar.add_task("", total=None, visible=False)

            def update(text: str, done: float, total: float) -> None:
                name, is_running = _shorten(text), done < total
                self._bar.update(
                    task, completed=done, total=total, description=name, visible=is_running
                )

            return update
        begun = shown_at = time.monotonic()

        def tell(text: str, done: float, total: float) -> None:
            nonlocal shown_at
            now = time.monotonic()
            if now - shown_at < _PLAIN_INTERVAL_S or not done:
                return
            shown_at = now
            left = format_time((now - begun) * (total - done) / done)
            print(f"{text}: {done / total:.0%} of all, {left} left", file=sys.stderr, flush=True)

        return tell

    def finish(self, name: str) -> None:
        """Remove the bar of a song that is done or failed."""
        if name in self._tasks:
            self._bar.remove_task(self._tasks.pop(name))

    def _plain(self, name: str) -> Progress:
        shown_at = time.monotonic()

        def update(done_s: float, total_s: float | None) -> None:
            nonlocal shown_at
            with self._lock:
                if time.monotonic() - shown_at < _PLAIN_INTERVAL_S:
                    return
                shown_at = time.monotonic()
            of = f" of {format_time(total_s)}" if total_s else ""
            print(f"{name}: {format_time(done_s)}{of}", file=sys.stderr, flush=True)

        return update

    def print(self, line: str, *, error: bool = False, whole: bool = False) -> None:
        """Print a line above the bars; long results are wrapped, errors never are.

        Errors stay on one line, so that they can be copied and searched for. With `whole`, the line
        (JSON) is printed unchanged.
        """
        stream = sys.stderr if error else sys.stdout
        if not whole:
            line = with_flags(line)
            line = line if error else wrapped(line, 4, terminal_columns())
        if self._bar is not None and stream.isatty():
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=stream, flush=True)


def _show_nothing(_done_s: float, _total_s: float | None) -> None:
    """Ignore progress."""


def _shorten(name: str, limit: int = 40) -> str:
    return name if len(name) <= limit else f"…{name[1 - limit :]}"
