"""What a manifest holds: planned songs, how they are separated, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: ``waiting``: somebody asked for another try. ``tried``: failed, worth another attempt.
Outcome = Literal["done", "failed", "quarantined", "tried", "waiting"]
OUTCOMES: tuple[Outcome, ...] = ("done", "failed", "quarantined", "tried", "waiting")

#: Kinds of failures, for counts: what the song is to blame for (``unreadable``, ``missing``,
#: ``denied``, ``changed``, ``target``), what the machine or the store is (``timeout``, ``memory``,
#: ``crash``, ``disk``, ``store``), and what partita is (``unexpected``).
FailureKind = Literal[
    "",
    "unreadable",
    "missing",
    "denied",
    "changed",
    "target",
    "timeout",
    "memory",
    "crash",
    "disk",
    "store",
    "unexpected",
]


@dataclass(frozen=True)
class PlannedSong:
    """A song of a plan.

    Attributes
    ----------
    id : str
        16 hexadecimal digits of the SHA-256 of the address.
    address : str
        A path, or what the store calls it: ``s3://bucket/song.flac``.
    track : str
        Where its stems stand below the destination: the ``{track}`` of file names.
    size : int or None
        In bytes.
    version : str
        Changes when the content does: the store's etag, or the time of the last change of a file in
        nanoseconds. Empty: unknown.
    duration_s : float or None
        As the file states it; None: unknown.
    fingerprint : str
        Of its sound, see `partita.catalogue.duplicates`; empty: none was made.
    duplicate_of : str
        Id of the first song of the plan with the same sound; empty: there is none.
    fault : str
        Why it cannot be separated, one line, known when it was planned; it fails at once.
    fault_kind : str
        The kind of that failure.
    shard : int
        Number of the plan's file that holds it, which is where its records are.
    """

    id: str
    address: str
    track: str
    size: int | None = None
    version: str = ""
    duration_s: float | None = None
    fingerprint: str = ""
    duplicate_of: str = ""
    fault: str = ""
    fault_kind: FailureKind = ""
    shard: int = 0


@dataclass(frozen=True)
class PlanHeader:
    """What was planned.

    Attributes
    ----------
    songs, shards : int
    total_bytes : int
        Of the songs whose size is known.
    total_s : float
        Seconds of audio of the songs whose length is known.
    duplicates, faults : int
        How many songs sound like an earlier one; how many cannot be separated.
    inputs : tuple of str
        What was asked for.
    version : str
        partita's.
    made : str
        When, UTC, ISO 8601.
    """

    songs: int
    shards: int
    total_bytes: int
    total_s: float
    duplicates: int
    faults: int
    inputs: tuple[str, ...]
    version: str
    made: str


@dataclass(frozen=True)
class RunSettings:
    """How all songs of a catalogue are separated; every worker has to agree with it.

    Attributes
    ----------
    destination : str
        Where the stems go.
    model : str
        Name of the weights.
    weights : str
        Their SHA-256, see `partita.weights.plan.ModelPlan.digest`.
    licence : str
        Of the weights; empty: unknown.
    commercial_use : bool or None
        Whether it allows it.
    version : str
        partita's.
    filename, format, bits, bitrate
        As for `partita.Separator.separate`.
    stems : tuple of str
        As for `partita.Separator`; empty: all sources.
    keep_rate : bool
        As for `partita.Separator.separate`.
    options : mapping of str to int, float, str, bool or None
        Other parameters of `partita.Separator` that change the sound, by name.
    quality : bool
        Whether each song gets scores without references.
    """

    destination: str
    model: str
    weights: str
    licence: str
    commercial_use: bool | None
    version: str
    filename: str
    format: str = "wav"
    bits: str | None = None
    bitrate: str | None = None
    stems: tuple[str, ...] = ()
    keep_rate: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    quality: bool = False


@dataclass(frozen=True)
class StemRecord:
    """One stem under its final name.

    Attributes
    ----------
    address : str
    size : int
        In bytes.
    sha256 : str
        Of the file.
    samples : int
        As decoded, in each channel.
    stream : int
        Number of the sound track in a file that holds all stems, else 0.
    sdr_db : float or None
        Its quality as estimated without references; None: not asked for, or the stem is silent.
    """

    address: str
    size: int
    sha256: str
    samples: int
    stream: int = 0
    sdr_db: float | None = None


@dataclass(frozen=True)
class SongRecord:
    """What became of one attempt at a song.

    Attributes
    ----------
    id, address, track : str
        The song's.
    outcome : {"done", "failed", "quarantined", "tried", "waiting"}
    attempt : int
        From 1.
    cause : str
        Why it failed, one line.
    kind : str
        The kind of failure.
    stems : mapping of str to StemRecord
        When done: complete, under their final names, decoded once.
    sample_rate, channels : int
        Of the stems.
    duration_s : float
        Of the stems.
    null_depth_db : float or None
        See `partita.separation.estimates.StemFiles`; ``-inf`` is an exact sum.
    gain_db : float
        Of all stems.
    suspects : int
        How many suspect passages the quality estimate found.
    warnings : tuple of str
    started : str
        UTC, ISO 8601, by the worker's clock; only for people.
    elapsed_s : float
        Of this attempt, everything included.
    separating_s : float
        Of it, decoding, separating and encoding.
    worker : str
        Host and process.
    version, model, weights, licence : str
        As in `RunSettings`.
    commercial_use : bool or None
    """

    id: str
    address: str
    track: str
    outcome: Outcome
    attempt: int = 1
    cause: str = ""
    kind: FailureKind = ""
    stems: Mapping[str, StemRecord] = field(default_factory=dict)
    sample_rate: int = 0
    channels: int = 0
    duration_s: float = 0.0
    null_depth_db: float | None = None
    gain_db: float = 0.0
    suspects: int = 0
    warnings: tuple[str, ...] = ()
    started: str = ""
    elapsed_s: float = 0.0
    separating_s: float = 0.0
    worker: str = ""
    version: str = ""
    model: str = ""
    weights: str = ""
    licence: str = ""
    commercial_use: bool | None = None
