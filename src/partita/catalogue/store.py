"""The manifest: a folder of small files, written once, that many processes use without locks."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from partita.catalogue.engine import Attempt
from partita.catalogue.files import Files, files_of
from partita.catalogue.records import (
    Outcome,
    PlanHeader,
    PlannedSong,
    RunSettings,
    SongRecord,
    StemRecord,
)
from partita.errors import UsageError, one_line

#: Songs of one file of the plan: what is in memory at once.
SHARD_SONGS = 1000
_SHARD = re.compile(r"/plan/\d{5,}\.jsonl$")
_PLAN, _RUN = "plan.json", "run.json"
_LAYOUT = "partita-catalogue-1"
_READERS = 16  # at once: object stores answer each request late, and many together
_T = TypeVar("_T")


@dataclass(frozen=True)
class State:
    """How far a song is, as the names of its records say.

    Attributes
    ----------
    outcome : str
        Of its last attempt.
    number : int
        That attempt.
    tries : int
        How many failed since it was planned, or since somebody asked for another try.
    """

    outcome: Outcome
    number: int
    tries: int


class Manifest:
    """The manifest of a catalogue.

    Parameters
    ----------
    address : str
        Of its folder.
    files : Files, optional
        Access to it; by default what the address asks for.
    """

    def __init__(self, address: str, files: Files | None = None) -> None:
        self.address = address
        self._files = files_of(address) if files is None else files

    def __repr__(self) -> str:
        return f"Manifest({self.address!r})"

    # What is planned.

    def write_plan(self, shards: Iterable[list[PlannedSong]], header: PlanHeader) -> None:
        """Write a plan; it is there when its header is, which comes last.

        Raises
        ------
        UsageError
            There is a plan already.
        """
        for number, songs in enumerate(shards):
            lines = (json.dumps(_plain(song, leave_out=("shard",))) + "\n" for song in songs)
            if not self._write_once("".join(lines), "plan", f"{number:05}.jsonl"):
                raise self._taken()
        if not self._write_once(_document(header), _PLAN):
            raise self._taken()

    def require_empty(self) -> None:
        """Raise UsageError if anything is at this address but what a killed plan left."""
        left = []
        for found in self._files.list(self.address):
            if not _SHARD.search(found.address.replace("\\", "/")):
                raise self._taken()
            left.append(found.address)
        for address in left:
            self._files.remove(address)

    def header(self) -> PlanHeader:
        """Return what was planned.

        Raises
        ------
        UsageError
            There is no plan.
        """
        content = self._document(_PLAN)
        if content is None:
            raise UsageError(
                f"{one_line(self.address)} holds no plan: partita catalogue plan makes one"
            )
        return PlanHeader(**{**content, "inputs": tuple(content["inputs"])})

    def shard(self, number: int) -> list[PlannedSong]:
        """Return the songs of one file of the plan, the longest first."""
        data = self._files.read(self._at("plan", f"{number:05}.jsonl"))
        return [
            PlannedSong(**{**_known(PlannedSong, json.loads(line)), "shard": number})
            for line in data.splitlines()
        ]

    def songs(self) -> Iterator[PlannedSong]:
        """Yield all songs; one file of the plan is in memory."""
        for number in range(self.header().shards):
            yield from self.shard(number)

    # How the songs are separated.

    def begin(self, settings: RunSettings) -> RunSettings:
        """Record how all songs are separated, or compare with what is recorded; return that.

        Raises
        ------
        UsageError
            The catalogue was begun with other settings, partita or weights; the message names them.
        """
        if self._write_once(_document(settings), _RUN):
            return settings
        begun = self.settings()
        assert begun is not None
        if differences := differing(begun, settings):
            raise UsageError(
                f"{one_line(self.address)} was begun with other settings: {differences}; "
                "run it with those, or plan another catalogue"
            )
        return begun

    def settings(self) -> RunSettings | None:
        """Return how the songs are separated; None: no run has begun."""
        content = self._document(_RUN)
        if content is None:
            return None
        return RunSettings(**{**content, "stems": tuple(content["stems"])})

    # What became of them.

    def write(self, record: SongRecord, shard: int) -> bool:
        """Write the record of an attempt; False: somebody else wrote that one first."""
        name = f"{record.id}.{record.attempt}.{record.outcome}.json"
        return self._write_once(_document(record), "records", f"{shard:05}", name)

    def states(self, shard: int) -> dict[str, State]:
        """Return how far the songs of one file of the plan are: id → state; one listing."""
        return {song: _state(sorted(attempts)) for song, attempts in self._attempts(shard).items()}

    def left(self) -> Iterator[Attempt]:
        """Yield what remains to be tried, in the order of the plan; one shard is in memory."""
        for number in range(self.header().shards):
            yield from self.left_of(number, self.states(number))

    def left_of(self, shard: int, states: Mapping[str, State]) -> Iterator[Attempt]:
        """Yield what remains to be tried of one file of the plan.

        Parameters
        ----------
        shard : int
        states : mapping of str to State
            From `states`.
        """
        for song in self.shard(shard):
            state = states.get(song.id)
            if state is None:
                yield Attempt(song)
            elif state.outcome in ("tried", "waiting"):
                yield Attempt(song, state.number + 1, state.tries)

    def counts(self) -> Counter[Outcome]:
        """Return how many songs have each outcome; what has none yet is not counted."""
        found: Counter[Outcome] = Counter()
        for states in self.of_each_shard(self.states):
            found.update(state.outcome for state in states.values())
        return found

    def of_each_shard(self, look: Callable[[int], _T]) -> Iterator[_T]:
        """Yield what a function finds of each file of the plan, in order, many at once."""
        with ThreadPoolExecutor(_READERS) as pool:
            for some in batched(iter(range(self.header().shards)), _READERS):
                yield from pool.map(look, some)

    def records(
        self, outcomes: Collection[Outcome] = (), *, shards: Iterable[int] | None = None
    ) -> Iterator[SongRecord]:
        """Yield the last record of each song that has one; one shard is in memory.

        Parameters
        ----------
        outcomes : collection of str
            Only these; by default all.
        shards : iterable of int, optional
            Of the files of the plan with these numbers; by default all.
        """
        with ThreadPoolExecutor(_READERS) as pool:
            for number in range(self.header().shards) if shards is None else shards:
                names = [
                    self._at(
                        "records", f"{number:05}", f"{song}.{state.number}.{state.outcome}.json"
                    )
                    for song, state in self.states(number).items()
                    if not outcomes or state.outcome in outcomes
                ]
                for some in batched(names, 4 * _READERS):
                    yield from map(_record, pool.map(self._files.read, some))

    def _attempts(self, shard: int) -> dict[str, list[tuple[int, Outcome]]]:
        found: dict[str, list[tuple[int, Outcome]]] = {}
        for each in self._files.list(self._at("records", f"{shard:05}")):
            song, number, outcome, _ = each.address.replace("\\", "/").rsplit("/", 1)[-1].split(".")
            found.setdefault(song, []).append((int(number), outcome))  # type: ignore[arg-type]
        return found

    # Files.

    def _at(self, *parts: str) -> str:
        return self._files.join(self.address, *parts)

    def _write_once(self, text: str, *parts: str) -> bool:
        return self._files.write_once(self._at(*parts), text.encode())

    def _document(self, name: str) -> dict[str, Any] | None:
        try:
            content = json.loads(self._files.read(self._at(name)))
            if content.pop("layout") != _LAYOUT:
                raise ValueError
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UsageError(
                f"{one_line(self._at(name))} is not of a catalogue that this partita can read"
            ) from None
        return dict(content)

    def _taken(self) -> UsageError:
        return UsageError(
            f"{one_line(self.address)} is not empty: choose another folder with `out`, "
            "or remove this one"
        )


def differing(begun: RunSettings, wanted: RunSettings) -> str:
    """Return which settings of two runs differ, with their values; empty: none do."""
    first, second = dataclasses.asdict(begun), dataclasses.asdict(wanted)
    return "; ".join(
        f"{name} {first[name]!r}, not {second[name]!r}"
        for name in first
        if first[name] != second[name]
    )


def _state(attempts: list[tuple[int, Outcome]]) -> State:
    number, outcome = attempts[-1]
    tries = 0
    for _, each in attempts:
        tries = 0 if each == "waiting" else tries + 1
    return State(outcome, number, tries)


def _record(data: bytes) -> SongRecord:
    content = json.loads(data)
    stems = {
        name: StemRecord(**_known(StemRecord, each)) for name, each in content["stems"].items()
    }
    null = content.get("null_depth_db", "none")  # JSON has no infinity: null is an exact sum
    known = _known(SongRecord, content)
    return SongRecord(
        **{
            **known,
            "stems": stems,
            "warnings": tuple(content["warnings"]),
            "null_depth_db": None if null == "none" else -math.inf if null is None else null,
        }
    )


def record_facts(record: SongRecord) -> dict[str, Any]:
    """Return a record as JSON has it: without a null depth none was measured, null is -inf."""
    facts = _plain(record)
    if record.null_depth_db is None:
        del facts["null_depth_db"]
    elif math.isinf(record.null_depth_db):
        facts["null_depth_db"] = None
    return facts


def _document(content: PlanHeader | RunSettings | SongRecord) -> str:
    facts = record_facts(content) if isinstance(content, SongRecord) else _plain(content)
    return json.dumps({"layout": _LAYOUT, **facts}, allow_nan=False) + "\n"


def _plain(content: Any, leave_out: Collection[str] = ()) -> dict[str, Any]:
    facts = dataclasses.asdict(content)
    return {name: value for name, value in facts.items() if name not in leave_out}


def _known(kind: type, content: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that this version has: later ones may have more."""
    names = {each.name for each in dataclasses.fields(kind)}
    return {name: value for name, value in content.items() if name in names}


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield items in lists of one length; the last may be shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
