"""One song of a catalogue: from its source to verified stems at the destination, and a record."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partita._version import __version__
from partita.audio.formats import stem_format
from partita.audio.work_folder import work_folder
from partita.catalogue.engine import Attempt, Policy
from partita.catalogue.faults import SongError, song_error
from partita.catalogue.files import Files, files_of, is_local
from partita.catalogue.records import FailureKind, RunSettings, SongRecord, StemRecord
from partita.catalogue.store import Manifest
from partita.catalogue.verifying import Decoded, decode, stem_record
from partita.errors import (
    AudioReadError,
    ModelError,
    UsageError,
    WeightsError,
    one_line,
    write_error,
)
from partita.evaluation.quality.reports import QualityReports
from partita.separation.batch import (
    BatchOptions,
    Outcome,
    OutputPlan,
    Song,
    recorded_settings,
    separate_songs,
)
from partita.separation.batch.manifest import RECORDS
from partita.weights.resolve import resolve

if TYPE_CHECKING:
    from partita.separation.batch.separate import StreamMaker

_log = logging.getLogger(__name__)

#: Parameters of `partita.Separator` that change the sound, and their defaults.
SOUND_OPTIONS: Mapping[str, Any] = {
    "segment_s": None,
    "overlap": None,
    "shifts": 0,
    "seed": 0,
    "precision": "auto",
    "sum_to_mix": False,
    "wiener": 0,
}


@dataclass(frozen=True)
class CatalogueWork:
    """What has to be done with each song of a catalogue: `partita.catalogue.engine.Work`.

    Attributes
    ----------
    manifest : str
        Its address.
    settings : RunSettings
    policy : Policy
    device : str
        As for `partita.Separator`.
    """

    manifest: str
    settings: RunSettings
    policy: Policy = field(default_factory=Policy)
    device: str = "auto"

    def open(self) -> CatalogueWorker:
        """Return a worker for this process, its model loaded."""
        check_same(self.settings)
        from partita.separation.separator import Separator  # which imports PyTorch

        options = {**SOUND_OPTIONS, **self.settings.options}
        stems = list(self.settings.stems)
        separator = Separator(self.settings.model, stems=stems, device=self.device, **options)
        return CatalogueWorker(self, separator, list(separator.stems))

    def ended(
        self, attempt: Attempt, kind: FailureKind, cause: str, elapsed_s: float
    ) -> SongRecord:
        """Write and return the record of an attempt whose worker could not write one."""
        record = self.failure(attempt, kind, cause, elapsed_s)
        Manifest(self.manifest).write(record, attempt.song.shard)
        return record

    def failure(
        self, attempt: Attempt, kind: FailureKind, cause: str, elapsed_s: float
    ) -> SongRecord:
        """Return the record of a failed attempt."""
        return dataclasses.replace(
            self.blank(attempt),
            outcome=self.policy.outcome(kind, attempt.tries + 1),
            cause=one_line(cause),
            kind=kind,
            elapsed_s=round(elapsed_s, 3),
        )

    def blank(self, attempt: Attempt) -> SongRecord:
        """Return a record with what is known before an attempt."""
        song, settings = attempt.song, self.settings
        return SongRecord(
            song.id,
            song.address,
            song.track,
            "failed",
            attempt.number,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            worker=f"{platform.node()}:{os.getpid()}",
            version=settings.version,
            model=settings.model,
            weights=settings.weights,
            licence=settings.licence,
            commercial_use=settings.commercial_use,
        )


def check_same(settings: RunSettings) -> None:
    """Raise UsageError if this machine's partita or weights are not those of a catalogue."""
    here = platform.node()
    if settings.version != __version__:
        raise UsageError(
            f"{here} has partita {__version__}, the catalogue was begun with "
            f"{settings.version}: install the same version on all workers"
        )
    digest = resolve(settings.model).digest
    if digest != settings.weights:
        raise UsageError(
            f"{here} has other weights of {settings.model} (SHA-256 {digest[:12]}…) than the "
            f"catalogue was begun with ({settings.weights[:12]}…): use the same on all workers"
        )


class CatalogueWorker:
    """Separates songs of a catalogue in one process.

    Parameters
    ----------
    work : CatalogueWork
    separator : StreamMaker
        Its Separator, or something that gives the same streams.
    stems : list of str
        What it separates into.
    """

    def __init__(self, work: CatalogueWork, separator: StreamMaker, stems: list[str]) -> None:
        settings = work.settings
        self._work, self._settings, self._separator = work, settings, separator
        self._form = stem_format(settings.format, settings.bits, settings.bitrate)
        self._label = resolve(settings.model).label
        self._stems = stems
        self._manifest = Manifest(work.manifest)
        self._destination = files_of(settings.destination)
        self._options = BatchOptions(
            settings.model,
            settings.weights,
            recorded_settings({**SOUND_OPTIONS, **settings.options}),
            keep_rate=settings.keep_rate,
            resume=True,  # stems that a killed worker finished without a record are kept
        )

    def process(self, attempt: Attempt) -> SongRecord:
        """Separate a song, verify its stems, write its record, return it."""
        begun = time.perf_counter()
        try:
            record = self._done(attempt)
        except SongError as error:
            elapsed_s = time.perf_counter() - begun
            record = self._work.failure(attempt, error.kind, error.cause, elapsed_s)
        else:
            elapsed_s = time.perf_counter() - begun
            record = dataclasses.replace(record, elapsed_s=round(elapsed_s, 3))
        try:
            self._manifest.write(record, attempt.song.shard)
        except OSError as error:
            raise write_error(self._work.manifest, error) from error
        return record

    def _done(self, attempt: Attempt) -> SongRecord:
        song = attempt.song
        self._check(attempt)
        try:
            source_files = _files_of_song(song.address)
            found = source_files.find(song.address)
            if song.version and found.version != song.version and not _asked_again(attempt):
                raise SongError(
                    "changed",
                    f"{one_line(song.address)}: was changed since it was planned; "
                    "partita catalogue retry takes it as it is now",
                )
            with (
                source_files.open_source(song.address, found.version) as path,
                self._folder() as root,
            ):
                return self._separated(attempt, path, root)
        except SongError:
            raise
        except (UsageError, ModelError, WeightsError):  # they concern all songs
            raise
        except Exception as error:
            _log.debug("%s", song.address, exc_info=True)
            raise song_error(error, song.address) from error

    def _check(self, attempt: Attempt) -> None:
        song = attempt.song
        if song.fault and not _asked_again(attempt):
            raise SongError(song.fault_kind or "unreadable", song.fault)
        stems_at = self._destination.join(self._settings.destination, self._fixed_part())
        if _is_below(song.address, stems_at):
            raise SongError(
                "target",
                f"{one_line(song.address)}: lies where stems go ({one_line(stems_at)}), "
                "where it could be replaced: choose another destination",
            )

    def _fixed_part(self) -> str:
        """Return the folders of all stems below the destination, the same for all songs."""
        parts = self._settings.filename.replace("{model}", self._label).split("/")[:-1]
        fixed = []
        for part in parts:
            if "{" in part:
                break
            fixed.append(part)
        return "/".join(fixed)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        """Give the folder to separate into: the destination itself if it is local."""
        destination = self._settings.destination
        if is_local(destination):
            yield Path(destination)
            return
        with work_folder(Path(tempfile.gettempdir())) as work:
            yield work / "stems"

    def _separated(self, attempt: Attempt, path: Path, root: Path) -> SongRecord:
        settings = self._settings
        song = Song(str(path), attempt.song.track)
        plan = OutputPlan(root, settings.filename, self._form, self._label, self._stems)
        reports = QualityReports(plan, [song], settings.model) if settings.quality else None
        extras = [reports.extra] if reports else []
        (outcome,) = separate_songs(
            [song], plan, lambda: self._separator, self._options, extras=extras
        )
        if outcome.status == "failed":
            raise _failure(outcome, attempt.song.address, path)
        report = (reports.of(song.source) if reports else None) or {}
        record = self._record(attempt, outcome, root, report)
        if not is_local(settings.destination):
            for own in root.rglob(RECORDS):  # for `resume` only, which the manifest replaces
                own.unlink()
            self._destination.publish(root, settings.destination)
        return record

    def _record(
        self, attempt: Attempt, outcome: Outcome, root: Path, report: Mapping[str, Any]
    ) -> SongRecord:
        files = outcome.files
        samples = 0 if files is None else round(files.duration_s * files.sample_rate)
        stems: dict[str, StemRecord] = {}
        decoded: Decoded | None = None
        for number, (stem, path) in enumerate(outcome.paths.items(), start=1):
            address = self._destination.join(
                self._settings.destination, path.relative_to(root).as_posix()
            )
            stream = number if self._form.holds_all_stems else 0
            try:
                decoded = decode(path, stream, self._form, samples)
            except AudioReadError as error:
                raise SongError("disk", f"a stem is not what was written: {error}") from error
            found = stem_record(path, address, stream, decoded.samples)
            sdr_db = report.get("stems", {}).get(stem, {}).get("sdr_db")
            stems[stem] = dataclasses.replace(found, sdr_db=sdr_db)
        assert decoded is not None  # a song has stems
        return dataclasses.replace(
            self._work.blank(attempt),
            outcome="done",
            stems=stems,
            sample_rate=decoded.sample_rate,
            channels=decoded.channels,
            duration_s=decoded.samples / decoded.sample_rate,
            null_depth_db=None if files is None else files.null_depth_db,
            gain_db=0.0 if files is None else files.gain_db,
            suspects=len(report.get("suspects", ())),
            warnings=tuple(one_line(text) for text in outcome.warnings),
            separating_s=0.0 if files is None else round(files.elapsed_s, 3),
        )


def _files_of_song(address: str) -> Files:
    try:
        return files_of(address)
    except UsageError as error:  # it concerns this song only
        raise SongError("unreadable", str(error)) from error


def _failure(outcome: Outcome, address: str, path: Path) -> SongError:
    """Return why a song failed, with its address instead of a temporary path."""
    cause = outcome.error.replace(one_line(path), one_line(address))
    kind = song_error(outcome.exception or AudioReadError(cause), address).kind
    return SongError(kind, cause)


def _asked_again(attempt: Attempt) -> bool:
    """Return whether somebody asked for another try, knowing why the last one failed."""
    return attempt.number > 1 and not attempt.tries


def _is_below(address: str, folder: str) -> bool:
    if is_local(address) and is_local(folder):
        return Path(os.path.realpath(address)).is_relative_to(os.path.realpath(folder))
    return address.startswith(folder.rstrip("/") + "/")
