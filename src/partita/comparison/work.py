"""How much of a comparison is done: one figure for trainings, separations and scores."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

#: Called with what is being done, and how much of all work is done and there is.
Report = Callable[[str, float, float], None]


class Work:
    """Work that gets done, in seconds of audio.

    Parameters
    ----------
    total : float
        If nothing is in the cache.
    report : callable, optional
    """

    def __init__(self, total: float, report: Report | None) -> None:
        self._done, self._dropped, self._all, self._report = 0.0, 0.0, total, report

    @property
    def accounted(self) -> float:
        """What is done or need not be done."""
        return self._done + self._dropped

    def drop(self, seconds: float) -> None:
        """Leave out what need not be done: it tells nothing about the speed of the rest."""
        self._dropped += seconds

    def add(self, what: str, seconds: float = 0.0) -> None:
        """Count a part that is done, or none, and report what is being done."""
        self._done += seconds
        if self._report is not None:
            total = max(self._all - self._dropped, self._done)
            self._report(what, self._done, total)

    @contextlib.contextmanager
    def part(self, what: str, seconds: float) -> Iterator[Callable[[float], None]]:
        """Give a function that takes what fraction of a part is done; all of it at the end."""
        begun = self._done

        def advance(fraction: float) -> None:
            done = begun + seconds * max(0.0, min(fraction, 1.0))
            self.add(what, done - self._done)

        advance(0.0)
        yield advance
        advance(1.0)
