"""What the library remembers: songs, jobs and their stems."""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from partita.mixing.tempo_key import Correction, TempoKey
from partita.serve.states import State


@dataclass(frozen=True, kw_only=True)
class SongRecord:
    """A song of the library.

    Attributes
    ----------
    id : str
    name : str
        For people: the name of its file without folders and extension.
    folder : str
        Its folder in the library, for people too.
    file : str
        The song itself, below `folder`.
    size : int
        In bytes.
    sample_rate, channels, samples : int
        Counted by decoding it.
    peaks : str
        Its waveform, see `partita.serve.waveforms`.
    added_at : float
        Seconds since 1970.
    tempo_key : TempoKey or None
        As it was estimated from the stems of its first separation.
    correction : Correction
        Of that, by a person.
    """

    id: str
    name: str
    folder: str
    file: str
    size: int
    sample_rate: int
    channels: int
    samples: int
    peaks: str
    added_at: float
    tempo_key: TempoKey | None = None
    correction: Correction = field(default_factory=Correction)

    @property
    def corrected(self) -> TempoKey | None:
        """Tempo, beats and key as a person has put them right."""
        return self.tempo_key and self.tempo_key.corrected(self.correction)

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.samples / self.sample_rate


@dataclass(frozen=True, kw_only=True)
class StemRecord:
    """A stem of a separated song.

    Attributes
    ----------
    name : str
        As the model has it.
    file : str
        Below the job's folder.
    size : int
        In bytes.
    peaks : str
        Its waveform.
    """

    name: str
    file: str
    size: int
    peaks: str


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What a separation has led to.

    Attributes
    ----------
    stems : tuple of StemRecord
    gain_db : float
        Gain of all stems, 0 or negative, which prevents clipping.
    null_depth_db : float or None
        Level of the residual relative to the mixture; None: not measured, or nothing remains.
    elapsed_s : float
        Wall-clock time of separating and writing.
    warnings : tuple of str
    quality : dict or None
        The report without references, see `partita.evaluation.quality.as_json`.
    tempo_key : TempoKey or None
        The song's, which the library keeps with the song.
    """

    stems: tuple[StemRecord, ...]
    gain_db: float
    null_depth_db: float | None
    elapsed_s: float
    warnings: tuple[str, ...] = ()
    quality: dict[str, Any] | None = None
    tempo_key: TempoKey | None = None


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """The separation of a song with a model.

    Attributes
    ----------
    id, song_id : str
    model : str
    state : State
    attempts : int
        How often it was started.
    phase : str
        While it runs: ``loading``, ``fetching``, ``separating``,
        ``writing`` or ``estimating``.
    done, total : float
        Progress of the phase, in bytes or in seconds of audio; total 0: unknown.
    error : str
        One sentence, when failed.
    folder : str
        Of its stems, below the song's.
    created_at : float
        Seconds since 1970.
    result : JobResult or None
        When done.
    """

    id: str
    song_id: str
    model: str
    state: State
    attempts: int
    phase: str
    done: float
    total: float
    error: str
    folder: str
    created_at: float
    result: JobResult | None


def song_of(row: sqlite3.Row) -> SongRecord:
    """Return the song of a row of the database."""
    names = [field.name for field in dataclasses.fields(SongRecord)]
    values = {name: row[name] for name in names}
    estimate, correction = values.pop("tempo_key"), values.pop("correction")
    return SongRecord(
        **values,
        tempo_key=None if estimate is None else TempoKey.from_json(json.loads(estimate)),
        correction=Correction() if correction is None else Correction(**json.loads(correction)),
    )


def job_of(row: sqlite3.Row) -> JobRecord:
    """Return the job of a row of the database."""
    names = [field.name for field in dataclasses.fields(JobRecord)]
    values = {name: row[name] for name in names}
    values["state"] = State(values["state"])
    values["result"] = None if values["result"] is None else _result_of(values["result"])
    return JobRecord(**values)


def as_text(record: object) -> str:
    """Return a dataclass as JSON for the database."""
    values = dataclasses.asdict(record)  # type: ignore[call-overload]
    return json.dumps(values, allow_nan=False)  # SQLite cannot read NaN


def result_text(result: JobResult) -> str:
    """Return what a job's row keeps of its result."""
    return as_text(dataclasses.replace(result, tempo_key=None))


def _result_of(text: str) -> JobResult:
    values = json.loads(text)
    stems = tuple(StemRecord(**stem) for stem in values.pop("stems"))
    return JobResult(stems=stems, warnings=tuple(values.pop("warnings")), **values)


def finite(value: float | None) -> float | None:
    """Return a number for JSON, which has no infinity: None stands for it."""
    return None if value is None or not math.isfinite(value) else value
