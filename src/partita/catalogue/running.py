"""A run of a catalogue: what is left of its plan, through an engine, into records."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from partita._version import __version__
from partita.audio.formats import stem_format
from partita.catalogue.engine import Attempt, Engine, Policy
from partita.catalogue.files import absolute, is_local
from partita.catalogue.records import OUTCOMES, FailureKind, Outcome, RunSettings, SongRecord
from partita.catalogue.store import Manifest
from partita.catalogue.transport.addresses import check_destination
from partita.catalogue.worker import SOUND_OPTIONS, CatalogueWork
from partita.separation.batch import DEFAULT_TEMPLATE, OutputPlan
from partita.stem_names import choose_stems
from partita.weights.plan import ModelPlan


def run_settings(
    destination: str,
    model: ModelPlan,
    *,
    filename: str = DEFAULT_TEMPLATE,
    format: str = "wav",
    bits: str | None = None,
    bitrate: str | None = None,
    stems: Sequence[str] = (),
    keep_rate: bool = False,
    quality: bool = False,
    options: Mapping[str, Any] | None = None,
) -> RunSettings:
    """Return how a catalogue is separated, checked before anything begins.

    Parameters
    ----------
    destination : str
        A folder, or what a store calls one.
    model : ModelPlan
    filename, format, bits, bitrate, stems, keep_rate
        As for `partita.Separator.separate`.
    quality : bool
        Whether each song gets scores without references, and a ``report.json``.
    options : mapping, optional
        Other parameters of `partita.Separator` that change the sound.

    Raises
    ------
    UsageError
        They do not make sense together.
    """
    names = list(choose_stems(model.sources, stems=list(stems)))
    form = stem_format(format, bits, bitrate)
    OutputPlan(Path(), filename, form, model.label, names)
    licence = model.licence
    if not is_local(destination):
        check_destination(destination)
    return RunSettings(
        destination=absolute(destination),
        model=model.name,
        weights=model.digest,
        licence="" if licence is None else licence.text,
        commercial_use=None if licence is None else licence.commercial_use,
        version=__version__,
        filename=filename,
        format=form.name,
        bits=bits,
        bitrate=bitrate,
        stems=tuple(stems),
        keep_rate=keep_rate,
        options={**SOUND_OPTIONS, **(options or {})},
        quality=quality,
    )


@dataclass(frozen=True)
class Survey:
    """How far a catalogue is.

    Attributes
    ----------
    songs : int
        In the plan.
    outcomes : mapping of str to int
        How many songs have each, in this order; songs without a record are ``planned``.
    total_s, left_s : float
        Seconds of audio of all songs, and of those that a run would try; songs of unknown length
        count nothing.
    left : int
        Songs that a run would try.
    duplicates : int
        How many songs sound like an earlier one.
    """

    songs: int
    outcomes: Mapping[str, int]
    total_s: float
    left_s: float
    left: int
    duplicates: int


def survey(manifest: Manifest, *, skip_duplicates: bool = False) -> Survey:
    """Look how far a catalogue is; memory does not grow with it."""
    header = manifest.header()
    outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
    left, left_s = 0, 0.0

    def look(number: int) -> tuple[list[Outcome], list[float]]:
        states = manifest.states(number)
        lengths_s = [
            attempt.song.duration_s or 0.0
            for attempt in manifest.left_of(number, states)
            if not (skip_duplicates and attempt.song.duplicate_of)
        ]
        return [state.outcome for state in states.values()], lengths_s

    for found, lengths_s in manifest.of_each_shard(look):
        outcomes.update(found)
        left += len(lengths_s)
        left_s += sum(lengths_s)
    outcomes["planned"] = header.songs - outcomes.total()
    return Survey(header.songs, outcomes, header.total_s, left_s, left, header.duplicates)


@dataclass
class Progress:
    """How far a run is.

    Attributes
    ----------
    left : int
        Songs still to be done, those that run included.
    left_s : float
        Their seconds of audio, as far as known.
    outcomes, failures : Counter
        Of this run: songs by outcome, attempts that failed by kind.
    done_s : float
        Seconds of audio done in this run.
    """

    left: int
    left_s: float
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    failures: Counter[FailureKind] = field(default_factory=Counter)
    done_s: float = 0.0
    _begun: float = field(default_factory=time.monotonic)

    def add(self, record: SongRecord, planned_s: float | None) -> None:
        """Count a record."""
        if record.kind:
            self.failures[record.kind] += 1
        if record.outcome == "tried":
            return
        self.outcomes[record.outcome] += 1
        self.left = max(0, self.left - 1)
        self.left_s = max(0.0, self.left_s - (planned_s or 0.0))
        if record.outcome == "done":
            self.done_s += record.duration_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._begun

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio in a second, all workers together."""
        return self.done_s / max(self.elapsed_s, 1e-9)

    @property
    def remaining_s(self) -> float | None:
        """Seconds until all is done, at the speed so far; None: not known yet."""
        finished = self.outcomes.total()
        if not finished:
            return None
        if self.left_s and self.done_s:
            return self.left_s / self.real_time_factor
        return self.left * self.elapsed_s / finished


class CatalogueRun:
    """One run of a catalogue.

    Parameters
    ----------
    manifest : Manifest
    settings : RunSettings
        From `Manifest.begin`.
    engine : Engine
    policy : Policy
    device : str
        As for `partita.Separator`.
    skip_duplicates : bool
        Leave out songs that sound like an earlier one.

    Attributes
    ----------
    progress : Progress
    """

    def __init__(
        self,
        manifest: Manifest,
        settings: RunSettings,
        engine: Engine,
        policy: Policy,
        *,
        device: str = "auto",
        skip_duplicates: bool = False,
    ) -> None:
        self._manifest, self._engine = manifest, engine
        self._work = CatalogueWork(absolute(manifest.address), settings, policy, device)
        self._skips_duplicates = skip_duplicates
        found = survey(manifest, skip_duplicates=skip_duplicates)
        self.progress = Progress(found.left, found.left_s)
        self._running: dict[str, float | None] = {}

    def records(self, cancel: threading.Event | None = None) -> Generator[SongRecord, None, None]:
        """Run what is left; yield each record as it comes; when closed, running songs are ended.

        Raises
        ------
        PartitaError
            What concerns all songs: other weights on a worker, a manifest that cannot be written.
        """
        cancel = threading.Event() if cancel is None else cancel
        with contextlib.closing(self._engine.run(self._attempts(), self._work, cancel)) as records:
            for record in records:
                planned_s = self._running.get(record.id)
                if record.outcome != "tried":
                    self._running.pop(record.id, None)
                self.progress.add(record, planned_s)
                yield record

    def _attempts(self) -> Iterator[Attempt]:
        for attempt in self._manifest.left():
            if not (self._skips_duplicates and attempt.song.duplicate_of):
                self._running[attempt.song.id] = attempt.song.duration_s
                yield attempt


def ask_again(
    manifest: Manifest, outcomes: Sequence[Outcome], cause: str, *, kinds: Collection[str] = ()
) -> int:
    """Record that songs shall be tried again; return how many.

    Parameters
    ----------
    manifest : Manifest
    outcomes : sequence of str
        Of which songs.
    cause : str
        Why, for the record.
    kinds : collection of str
        Only failures of these kinds; by default all.
    """
    count = 0
    for number in range(manifest.header().shards):
        for record in manifest.records(outcomes, shards=(number,)):
            if not kinds or record.kind in kinds:
                count += ask_again_for(manifest, record, number, cause)
    return count


def ask_again_for(manifest: Manifest, record: SongRecord, shard: int, cause: str) -> bool:
    """Record that one song shall be tried again; False: somebody did already."""
    asked = SongRecord(
        record.id, record.address, record.track, "waiting", record.attempt + 1, cause=cause
    )
    return manifest.write(asked, shard)
