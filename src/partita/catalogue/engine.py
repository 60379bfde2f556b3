"""What an engine has to do, and what follows from a failure: the same for all engines."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from partita.catalogue.records import FailureKind, Outcome, PlannedSong, SongRecord
from partita.errors import PartitaError, UsageError

#: Another attempt may go better; all others are the song's own fault, or of the whole catalogue.
_WORTH_ANOTHER = frozenset({"timeout", "memory", "crash", "disk", "store", "unexpected"})


@dataclass(frozen=True)
class Attempt:
    """A song to be tried.

    Attributes
    ----------
    song : PlannedSong
    number : int
        The number of its next record, from 1.
    tries : int
        How many failed since it was planned, or since somebody asked for another try.
    """

    song: PlannedSong
    number: int = 1
    tries: int = 0


@dataclass(frozen=True)
class Policy:
    """Limits of a song, and what follows when it exceeds them or fails.

    Attributes
    ----------
    most_tries : int
        A song that failed that often is quarantined.
    timeout_s : float or None
        Longest time of one attempt: this and `timeout_ratio` times the song's length; None: none.
    timeout_ratio : float
    memory_mb : int or None
        Largest resident memory of one worker, in megabytes; None: no limit.
    delay_s : float
        Pause before the second attempt; it doubles for each further one.
    """

    most_tries: int = 3
    timeout_s: float | None = 600.0
    timeout_ratio: float = 10.0
    memory_mb: int | None = None
    delay_s: float = 0.5

    def limit_s(self, song: PlannedSong) -> float | None:
        """Return how long one attempt at a song may take."""
        if self.timeout_s is None:
            return None
        return self.timeout_s + self.timeout_ratio * (song.duration_s or 0.0)

    def exceeded(
        self, song: PlannedSong, elapsed_s: float, memory_mb: float
    ) -> tuple[FailureKind, str] | None:
        """Return kind and cause where an attempt has exceeded a limit.

        Parameters
        ----------
        song : PlannedSong
        elapsed_s : float
            Since the attempt began.
        memory_mb : float
            What its worker has.
        """
        limit_s = self.limit_s(song)
        if limit_s is not None and elapsed_s > limit_s:
            return "timeout", f"took longer than {limit_s:g} s"
        if self.memory_mb is not None and memory_mb > self.memory_mb:
            return "memory", f"needed more than {self.memory_mb} MB of memory"
        return None

    def outcome(self, kind: FailureKind, tries: int) -> Outcome:
        """Return what a failure makes of a song.

        Parameters
        ----------
        kind : str
        tries : int
            How many attempts have failed, this one included.
        """
        if kind not in _WORTH_ANOTHER:
            return "failed"
        return "quarantined" if tries >= self.most_tries else "tried"

    def pause_s(self, tries: int) -> float:
        """Return how long to wait after so many failed attempts."""
        return float(self.delay_s * 2 ** max(0, tries - 1))


@dataclass(frozen=True)
class Refused:
    """What is wrong with all songs: an exception as a worker can send it, whatever its partita."""

    cause: str
    is_usage: bool

    @classmethod
    def by(cls, error: PartitaError) -> Refused:
        """Return what an exception says."""
        return cls(str(error), isinstance(error, UsageError))

    @property
    def error(self) -> PartitaError:
        """The exception."""
        return UsageError(self.cause) if self.is_usage else PartitaError(self.cause)


class AttemptQueue:
    """Songs still to be tried: those whose pause is over, then new ones.

    Parameters
    ----------
    attempts : iterable of Attempt
        Read one by one, as workers become free.
    policy : Policy
    """

    def __init__(self, attempts: Iterable[Attempt], policy: Policy) -> None:
        self._attempts, self._policy = iter(attempts), policy
        self._again: list[tuple[float, int, Attempt]] = []
        self._order = itertools.count()
        self._is_over = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to be tried, now or later."""
        return self._is_over and not self._again

    def next(self) -> Attempt | None:
        """Return a song to try now; None: there is none, or none yet."""
        if self._again and self._again[0][0] <= time.monotonic():
            return heapq.heappop(self._again)[2]
        if not self._is_over:
            found = next(self._attempts, None)
            self._is_over = found is None
            return found
        return None

    def take_back(self, attempt: Attempt, record: SongRecord) -> None:
        """Keep a song that deserves another attempt."""
        if record.outcome == "tried":
            tries = attempt.tries + 1
            again = Attempt(attempt.song, record.attempt + 1, tries)
            self._keep(again, self._policy.pause_s(tries))

    def put_back(self, attempt: Attempt) -> None:
        """Keep an attempt that was ended for no fault of its song; it is the next."""
        self._keep(attempt, 0.0)

    def _keep(self, attempt: Attempt, pause_s: float) -> None:
        heapq.heappush(self._again, (time.monotonic() + pause_s, next(self._order), attempt))


class SongWorker(Protocol):
    """What separates songs in one process."""

    def process(self, attempt: Attempt) -> SongRecord:
        """Separate a song into its destination, verify it, write its record, return it.

        What is wrong with the song becomes a record; what is wrong with the whole catalogue
        (weights that cannot be fetched, options out of range) is raised as a PartitaError.
        """


class Work(Protocol):
    """What has to be done with each song. It can be pickled, and is small."""

    @property
    def policy(self) -> Policy:
        """Limits of a song."""

    def open(self) -> SongWorker:
        """Return a worker for this process, its model loaded.

        Raises
        ------
        UsageError
            This machine's partita or weights are not those of the catalogue.
        """

    def ended(
        self, attempt: Attempt, kind: FailureKind, cause: str, elapsed_s: float
    ) -> SongRecord:
        """Write and return the record of an attempt whose worker could not write one.

        Called by the engine where a worker was killed, took too long or too much memory.
        """


class Engine(Protocol):
    """Something that has workers."""

    def run(
        self, attempts: Iterable[Attempt], work: Work, cancel: threading.Event
    ) -> Generator[SongRecord, None, None]:
        """Process songs; yield each record as it comes.

        `attempts` is read as workers become free, never far ahead (memory stays flat). A record
        with the outcome ``tried`` is yielded too; the engine then tries that song again, after
        ``work.policy.pause_s``, until another outcome comes. When `cancel` is set, nothing new
        begins; running songs are ended, without records. The same follows when it is closed.
        """
