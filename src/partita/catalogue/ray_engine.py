"""Workers that are actors of a Ray cluster: on one machine, or as many as there are.

Plain actors, not Ray Data: a song is a record that its worker has written before Ray hears of it,
and its failure ends a process. Ray Data retries whole blocks of rows, and knows neither limits of
one row nor how often it failed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from partita._version import __version__
from partita.catalogue.engine import Attempt, AttemptQueue, Refused, Work
from partita.catalogue.ray_cluster import connected, living_nodes
from partita.catalogue.ray_worker import Exceeded, SongActor
from partita.catalogue.records import FailureKind, SongRecord
from partita.errors import PartitaError, UsageError, one_line

_log = logging.getLogger(__name__)
_AWAKE_S = 0.2  # between two looks at limits and cancellation
_PATIENCE_S = 30.0  # behind the limit of a song, until its worker has said so
_WAITING_S = 60.0  # for a worker, until the user is told
_ALIVE_S = 5.0  # between two looks whether there is a cluster, while there is no worker
_MOST_STARTS = 3  # of actors that end before their model is loaded
_LONGEST_REASON = 160
_GPU_SONGS = 4  # at once on a GPU: while one is decoded and another encoded, two fill it

#: A song that ended, and its record.
_Ended = tuple[Attempt, SongRecord]


@dataclass(frozen=True)
class RayEngine:
    """Runs songs in actors of a Ray cluster, each with its model.

    Attributes
    ----------
    address : str or None
        Of the cluster, as for ``ray.init``. None: what ``RAY_ADDRESS`` names, else this machine.
    jobs : int or None
        Actors; those that find no place wait, and Ray's autoscaler adds machines for them. None: as
        many as the cluster has place for.
    cores : int or None
        Of each actor; None: one, and one for each song on a GPU.
    gpus : float or None
        Of each actor, fractions allowed; None: one if the cluster has GPUs.
    songs : int or None
        At once in each actor. On a GPU their windows are computed together. None: one, four on a
        GPU.
    """

    address: str | None = None
    jobs: int | None = None
    cores: int | None = None
    gpus: float | None = None
    songs: int | None = None

    def __post_init__(self) -> None:
        for name in ("jobs", "cores", "songs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"`{name}` {value} is below 1")
        if self.gpus is not None and self.gpus < 0:
            raise UsageError(f"`gpus` {self.gpus:g} is negative")

    def run(
        self, attempts: Iterable[Attempt], work: Work, cancel: Event
    ) -> Generator[SongRecord, None, None]:
        """Process songs; yield each record as it comes: `partita.catalogue.engine.Engine`."""
        cores = (self.jobs or 1) * (self.cores or self.songs or 1)
        with connected(self.address, max(os.cpu_count() or 1, cores)) as ray:
            queue = AttemptQueue(attempts, work.policy)
            jobs, songs, make = self._placed(ray, work)
            shared = _Shared(ray, make, work, songs, queue)
            seats = [_Seat(shared) for _ in range(jobs)]
            waiting = _Waiting(ray, seats)
            try:
                while not cancel.is_set():
                    for seat in seats:
                        seat.feed()
                    if queue.is_empty and not any(seat.is_busy for seat in seats):
                        return
                    for attempt, record in _heard(ray, seats):
                        queue.take_back(attempt, record)
                        yield record
                    waiting.look()
            except ray.exceptions.RayError as error:
                raise _lost(str(error)) from error
            finally:
                for seat in seats:
                    with contextlib.suppress(Exception):  # of a cluster that is gone
                        seat.end()

    def _placed(self, ray: Any, work: Work) -> tuple[int, int, Callable[[], Any]]:
        """Return the number of actors, of songs in each, and what makes one."""
        offered = ray.cluster_resources()
        gpus = self.gpus if self.gpus is not None else float(offered.get("GPU", 0) >= 1)
        songs = self.songs or (_GPU_SONGS if gpus else 1)
        cores = self.cores or (songs if gpus else 1)
        places = offered.get("CPU", 0) // cores
        if gpus:
            places = min(places, offered.get("GPU", 0) // gpus)
        options = {"num_cpus": cores, "num_gpus": gpus, "max_concurrency": songs}
        actor = ray.remote(SongActor).options(max_restarts=0, max_task_retries=0, **options)
        return self.jobs or max(1, int(places)), songs, lambda: actor.remote(work)


@dataclass
class _Shared:
    """What all seats have in common.

    Attributes
    ----------
    make : callable
        Makes an actor.
    songs : int
        At once in each actor.
    suspects : set of str
        Ids of songs that were in an actor that died, together with others: tried again alone, so
        that only the guilty one is blamed.
    losses : Counter
        How often the machine of a song was lost.
    """

    ray: Any
    make: Callable[[], Any]
    work: Work
    songs: int
    queue: AttemptQueue
    suspects: set[str] = field(default_factory=set)
    losses: Counter[str] = field(default_factory=Counter)

    def blame(self, attempt: Attempt, exceeded: Exceeded) -> _Ended:
        """Record what ended an attempt."""
        cause = f"{attempt.song.address}: {exceeded.cause}"
        return attempt, self.work.ended(attempt, exceeded.kind, cause, exceeded.elapsed_s)

    def is_node_lost(self, node: str, attempt: Attempt) -> bool:
        """Return whether a machine is gone, which is not the fault of its song, unless often."""
        if node in living_nodes(self.ray):
            return False
        self.losses[attempt.song.id] += 1
        return self.losses[attempt.song.id] < self.work.policy.most_tries


@dataclass
class _Seat:
    """A place for one actor, and the songs that it is trying.

    Attributes
    ----------
    running : dict
        What Ray calls the future record → attempt, and when it began.
    """

    shared: _Shared
    running: dict[Any, tuple[Attempt, float]] = field(default_factory=dict)
    is_ready: bool = False
    _actor: Any = None
    _opening: Any = None
    _starts: int = 0
    _node: str = ""
    _alone: Attempt | None = None  # waits until nothing else runs here
    _died_with: tuple[Attempt, Exceeded] | None = None  # the actor before this one

    @property
    def is_busy(self) -> bool:
        """Whether it has a song, or has to find out what became of one."""
        return bool(self.running) or self._died_with is not None

    @property
    def refs(self) -> list[Any]:
        """What can be waited for."""
        return [*self.running, *([] if self._opening is None else [self._opening])]

    def feed(self) -> None:
        """Give the actor songs; start it if there are some, end it if there will be none."""
        queue, suspects = self.shared.queue, self.shared.suspects
        if self._actor is None and (self._died_with or not queue.is_empty):
            self._actor = self.shared.make()
            self._opening = self._actor.open.remote()
            self._starts += 1
        while self.is_ready and self._alone is None and len(self.running) < self.shared.songs:
            if any(attempt.song.id in suspects for attempt, _ in self.running.values()):
                break
            if (attempt := queue.next()) is None:
                break
            if attempt.song.id in suspects and self.running:
                self._alone = attempt
            else:
                self._submit(attempt)
        if self._alone is not None and not self.running:
            attempt, self._alone = self._alone, None
            self._submit(attempt)
        if queue.is_empty and not self.is_busy:
            self.end()  # so that its machine can go

    def _submit(self, attempt: Attempt) -> None:
        ref = self._actor.process.remote(attempt)
        self.running[ref] = attempt, time.monotonic()

    def hear(self, ref: Any) -> list[_Ended]:
        """Return what an answer of the actor ends, or that there will be none."""
        errors = self.shared.ray.exceptions
        try:
            answer = self.shared.ray.get(ref)
        except (errors.RayActorError, errors.RayTaskError, errors.OutOfMemoryError) as error:
            self._died(error)
            return []
        if isinstance(answer, Refused):
            raise answer.error
        if ref is self._opening:
            return self._opened(answer)
        if isinstance(answer, Exceeded):
            return self._cut(ref, answer)
        attempt, _ = self.running.pop(ref)
        self.shared.suspects.discard(attempt.song.id)
        return [(attempt, answer)]

    def look(self) -> list[_Ended]:
        """Return a song that is far beyond its time: code that cannot even be interrupted."""
        for ref, (attempt, begun) in self.running.items():
            elapsed_s = time.monotonic() - begun
            exceeded = self.shared.work.policy.exceeded(attempt.song, elapsed_s - _PATIENCE_S, 0.0)
            if exceeded is not None:
                return self._cut(ref, Exceeded(*exceeded, elapsed_s))
        return []

    def end(self) -> None:
        """End the actor, whatever it does; songs that it is trying go back."""
        for attempt, _ in self.running.values():
            self.shared.queue.put_back(attempt)
        if self._alone is not None:
            self.shared.queue.put_back(self._alone)
        self.running.clear()
        self._opening, self.is_ready, self._alone = None, False, None
        if self._actor is not None:
            self.shared.ray.kill(self._actor)
            self._actor = None

    def _cut(self, ref: Any, exceeded: Exceeded) -> list[_Ended]:
        """End the actor for what one of its songs does."""
        if exceeded.kind == "memory" and len(self.running) > 1:
            self._suspect_all()
            return []
        attempt, _ = self.running.pop(ref)
        self.end()
        return [self.shared.blame(attempt, exceeded)]

    def _died(self, error: Exception) -> None:
        if not self.is_ready:
            self.end()
            is_raised = isinstance(error, self.shared.ray.exceptions.RayTaskError)
            if is_raised or self._starts >= _MOST_STARTS:
                raise _cannot_start(error)
        elif len(self.running) > 1:
            self._suspect_all()
        else:
            ((attempt, begun),) = self.running.values()
            self.running.clear()
            self.end()
            self._died_with = attempt, Exceeded(*_death(error), time.monotonic() - begun)

    def _suspect_all(self) -> None:
        self.shared.suspects.update(attempt.song.id for attempt, _ in self.running.values())
        self.end()

    def _opened(self, node: str) -> list[_Ended]:
        """Take notice of a new actor; blame a song for the death of the one before.

        Only now is it known that there still is a cluster. What a run was doing when it lost its
        cluster is done by the next run, and no song is blamed.
        """
        self._opening, self.is_ready, self._starts = None, True, 0
        before, self._node = self._node, node
        if self._died_with is None:
            return []
        (attempt, exceeded), self._died_with = self._died_with, None
        if self.shared.is_node_lost(before, attempt):
            self.shared.queue.put_back(attempt)
            return []
        return [self.shared.blame(attempt, exceeded)]


@dataclass
class _Waiting:
    """Looks for a cluster that is gone or has no place, while there is no worker."""

    ray: Any
    seats: list[_Seat]
    _begun: float = field(default_factory=time.monotonic)
    _looked: float = field(default_factory=time.monotonic)
    _has_told: bool = False

    def look(self) -> None:
        now = time.monotonic()
        if any(seat.is_ready for seat in self.seats) or not any(seat.refs for seat in self.seats):
            self._begun = now
        elif now - self._looked > _ALIVE_S:
            self._looked = now
            if not living_nodes(self.ray):
                raise _lost("none of its machines answers")
            if now - self._begun > _WAITING_S and not self._has_told:
                self._has_told = True
                _log.warning("no worker has found a place in the Ray cluster yet")


def _heard(ray: Any, seats: list[_Seat]) -> Iterator[_Ended]:
    """Wait for a moment at most; yield what has ended."""
    waited = {ref: seat for seat in seats for ref in seat.refs}
    if not waited:
        time.sleep(_AWAKE_S)  # a song waits for its next attempt
        return
    ready, _ = ray.wait(list(waited), num_returns=1, timeout=_AWAKE_S)
    for ref in ready:
        yield from waited[ref].hear(ref)
    for seat in seats:
        yield from seat.look()


def _death(error: Exception) -> tuple[FailureKind, str]:
    """Return what ended an actor, as far as Ray knows."""
    if "running low on memory" in str(error):
        return "memory", "its worker was ended because its machine ran out of memory"
    return "crash", "its worker ended: it crashed, was killed, or its machine ran out of memory"


def _cannot_start(error: Exception) -> PartitaError:
    is_raised = "Traceback" in str(error) or "ray::" in str(error)
    reason = _shortened(str(error).strip().split("\n")[-1 if is_raised else 0])
    return UsageError(
        f"workers of the Ray cluster end before they have loaded the model ({reason}): "
        f"every machine needs partita {__version__} and what the model needs"
    )


def _lost(reason: str) -> PartitaError:
    return PartitaError(
        f"the Ray cluster was lost ({_shortened(reason)}): the same command continues"
    )


def _shortened(reason: str) -> str:
    """Return the first line of what Ray says, which may be pages."""
    first = one_line(reason.strip().split("\n")[0])
    return first if len(first) <= _LONGEST_REASON else first[:_LONGEST_REASON] + "…"
