"""Separation of a batch of songs, with an outcome for each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from partita._version import __version__
from partita.audio.reader import AudioReader, open_audio
from partita.errors import (
    AudioWriteError,
    ModelError,
    PartitaError,
    UsageError,
    WeightsError,
    one_line,
    unexpected,
    write_error,
)
from partita.files import folded
from partita.progress import Progress
from partita.separation.batch.earlier import fault_of_stems
from partita.separation.batch.manifest import FileMark, Making, Manifest
from partita.separation.batch.output_plan import OutputPlan
from partita.separation.batch.songs import Outcome, Song, identity
from partita.threads import result_awake

if TYPE_CHECKING:
    from partita.separation.stem_files import Watch
    from partita.separation.stream import MixtureStream

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extra:
    """Something that is made beside the stems of each song.

    Attributes
    ----------
    path : callable
        Returns a file that shows that a song has it.
    make : callable
        Makes it, given the song and the files of its stems.
    watch : callable, optional
        Returns what gets each block of a song while it is separated, given the song and the stems'
        sample rate.
    """

    path: Callable[[Song], Path]
    make: Callable[[Song, Mapping[str, Path]], None]
    watch: Callable[[Song, int], Watch] | None = None


class StreamMaker(Protocol):
    """What a batch needs of a Separator."""

    def mixture_stream(
        self, reader: AudioReader, *, keep_rate: bool, progress: Progress | None
    ) -> MixtureStream:
        """Return the stream of an open file; nothing is read yet."""


@dataclass(frozen=True)
class BatchOptions:
    """Options for all songs of a batch.

    Attributes
    ----------
    model : str
        Its name, recorded beside the stems.
    weights : str
        SHA-256 of the model, recorded too.
    settings : mapping of str to int, float, str, bool or None
        Other options that change the sound, by name; recorded too.
    start_s, duration_s, keep_rate
        As for `partita.Separator.separate`.
    stream : int or None
        The audio stream of each file; None: the default one.
    resume : bool
        Skip songs whose stems all exist and were made from the same song with equal options.
    overwrite : bool
        Replace existing stems; without either, they are an error.
    jobs : int
        Songs in parallel.
    """

    model: str
    weights: str
    settings: Mapping[str, Any]
    start_s: float = 0.0
    duration_s: float | None = None
    keep_rate: bool = False
    stream: int | None = None
    resume: bool = False
    overwrite: bool = False
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            raise UsageError("`resume` and `overwrite` exclude each other")
        if self.jobs < 1:
            raise UsageError(f"`jobs` {self.jobs} is below 1")
        if self.duration_s is not None and not self.duration_s > 0:
            raise UsageError(
                f"`duration_s` {self.duration_s:g} is not a positive number of seconds"
            )


def recorded_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Separator's settings as they are recorded beside the stems.

    Parameters
    ----------
    settings : mapping of str to int, float, str, bool or None
        By the names of the Separator's parameters.
    """
    recorded = {name.removesuffix("_s"): value for name, value in settings.items()}
    if not recorded["shifts"]:
        del recorded["seed"]  # without shifts it has no effect
    if recorded["precision"] == "auto":
        recorded["precision"] = "float32"
    return recorded


def separate_songs(
    songs: Iterable[Song | Outcome],
    plan: OutputPlan,
    separator: Callable[[], StreamMaker],
    options: BatchOptions,
    *,
    progress: Callable[[Song, int, int], Progress] | None = None,
    extras: Sequence[Extra] = (),
) -> Generator[Outcome, None, None]:
    """Separate songs; yield the outcome of each, in order.

    Parameters
    ----------
    songs : iterable of Song or Outcome
        From `find_songs`; outcomes are passed on.
    plan : OutputPlan
    separator : callable
        Returns the Separator; called when the first song needs it.
    options : BatchOptions
    progress : callable, optional
        Returns the progress function for a song; called with the song, its number from 1 on, and
        how many there are.
    extras : sequence of Extra

    Raises
    ------
    PartitaError
        No song can be separated: weights cannot be fetched, options are out of range.
    """
    batch = _Batch(plan, separator, options, progress, extras)
    tasks = batch.prepare(list(dict.fromkeys(songs)))
    if options.jobs == 1:
        yield from map(batch.run, tasks)
        return
    pool = ThreadPoolExecutor(options.jobs)
    try:
        for future in [pool.submit(batch.run, task) for task in tasks]:
            yield result_awake(future)
    finally:
        batch.cancel.set()  # songs that are still running were interrupted
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Task:
    song: Song
    paths: dict[str, Path]
    number: int
    total: int


@dataclass
class _Batch:
    plan: OutputPlan
    separator: Callable[[], StreamMaker]
    options: BatchOptions
    progress: Callable[[Song, int, int], Progress] | None
    extras: Sequence[Extra]
    cancel: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        form, options, stems = self.plan.form, self.options, list(self.plan.stems)
        self._making = Making(
            __version__,
            options.model,
            options.weights,
            {
                **options.settings,
                "start": options.start_s,
                "duration": options.duration_s,
                "keep_rate": options.keep_rate,
                "stream": options.stream,
                "stems": stems if form.holds_all_stems else sorted(stems),
                "format": form.name,
                "bits": form.bits,
                "bitrate": form.bitrate,
            },
        )

    def prepare(self, songs: Sequence[Song | Outcome]) -> list[Outcome | _Task]:
        """Choose the paths of all stems before the first song is separated."""
        inputs = {identity(Path(song.source)) for song in songs if isinstance(song, Song)}
        taken: dict[str, tuple[Path, Song]] = {}
        tasks: list[Outcome | _Task] = []
        for number, song in enumerate(songs, start=1):
            if isinstance(song, Outcome):
                tasks.append(song)
                continue
            try:
                paths = self.plan.paths(song)
                for path in paths.values():
                    _check_target(path, inputs, taken)
                self._check_present(paths)
            except PartitaError as error:
                tasks.append(_failed(song, error))
            except OSError as error:
                tasks.append(_failed(song, write_error(error.filename or "", error)))
            else:
                tasks.append(_Task(song, paths, number, len(songs)))
                taken.update({folded(path): (path, song) for path in paths.values()})
        return tasks

    def _check_present(self, paths: Mapping[str, Path]) -> None:
        present = next((path for path in paths.values() if path.exists()), None)
        if present is not None and not (self.options.resume or self.options.overwrite):
            raise AudioWriteError(
                f"{one_line(present)} exists already; "
                "`overwrite=True` replaces it, `resume=True` skips finished songs"
            )

    def run(self, task: Outcome | _Task) -> Outcome:
        """Separate one song; return its outcome."""
        from partita.separation.stem_files import write_stems  # which imports PyTorch

        if isinstance(task, Outcome):
            return task
        song = task.song
        try:
            redone = ""
            if self.options.resume and any(path.exists() for path in task.paths.values()):
                redone = self._fault_of_present(task)
                if not redone:
                    return Outcome(song.source, "skipped", paths=task.paths)
            manifest, mark = Manifest(self.plan.manifest_path(song)), _mark(song)
            with self._open(song) as reader:
                stream = self._stream(task, reader)
                watches = [e.watch(song, stream.out_rate) for e in self.extras if e.watch]
                with manifest.replacing(task.paths):
                    files = write_stems(
                        stream,
                        reader,
                        task.paths,
                        self.plan.form,
                        root=self.plan.root,
                        track=song.track.rsplit("/", 1)[-1],
                        watches=watches,
                        cancel=self.cancel,
                    )
            warnings = files.warnings
            if fault := self._fault_of_record(manifest, files.stems, mark):
                text = f"`resume` will not know how these stems were made: {fault}"
                warnings = (*warnings, f"{song.name}: {text}")
            for extra in self.extras:
                extra.make(song, files.stems)
            return Outcome(
                song.source, "done", files, files.stems, redone=redone, warnings=warnings
            )
        except (UsageError, ModelError, WeightsError):  # they concern all songs
            raise
        except PartitaError as error:
            return _failed(song, error)
        except Exception as error:
            _log.debug("%s", song.name, exc_info=True)
            text = f"{unexpected(error)}; `logging.DEBUG` shows details"
            return _failed(song, error, text)

    def _stream(self, task: _Task, reader: AudioReader) -> MixtureStream:
        progress = self.progress and self.progress(task.song, task.number, task.total)
        return self.separator().mixture_stream(
            reader, keep_rate=self.options.keep_rate, progress=progress
        )

    def _fault_of_record(
        self, manifest: Manifest, stems: Mapping[str, Path], mark: FileMark | None
    ) -> str:
        """Record what made the stems; return why that failed, empty on success."""
        try:
            manifest.write(stems, self._making, mark)
        except OSError as error:
            return one_line(error.strerror or error)
        return ""

    def _open(self, song: Song) -> AudioReader:
        return open_audio(
            song.source,
            start_s=self.options.start_s,
            duration_s=self.options.duration_s,
            stream=self.options.stream,
            cancel=self.cancel,
        )

    def _fault_of_present(self, task: _Task) -> str:
        """Return why existing stems must be replaced; empty: they are as wanted."""
        missing = next((path for path in task.paths.values() if not path.exists()), None)
        if missing is not None:
            return f"{one_line(missing.name)} is missing"
        beside = (extra.path(task.song) for extra in self.extras)
        missing = next((path for path in beside if not path.exists()), None)
        if missing is not None:
            return f"{one_line(missing.name)} is missing"
        source = Path(task.song.source)
        if task.song.source == "-" or not source.is_file():
            return "the input is not a file, so it cannot be compared"
        manifest = Manifest(self.plan.manifest_path(task.song))
        if manifest.covers(task.paths):
            return manifest.difference(task.paths, self._making, source)
        with self._open(task.song) as reader:
            return fault_of_stems(reader, task.paths, in_one=self.plan.form.holds_all_stems)


def _failed(song: Song, error: Exception, text: str = "") -> Outcome:
    """Return the outcome of a song that failed; the line begins with its name."""
    text = text or str(error)
    line = text if text.startswith(f"{song.name}: ") else f"{song.name}: {text}"
    return Outcome(song.source, "failed", error=line, exception=error)


def _mark(song: Song) -> FileMark | None:
    """Return the mark of a song's file; None: it is not a readable file."""
    path = Path(song.source)
    try:
        return FileMark.of(path) if song.source != "-" and path.is_file() else None
    except (OSError, ValueError):
        return None


def _check_target(
    path: Path,
    inputs: Set[tuple[int, int] | None],
    taken: Mapping[str, tuple[Path, Song]],
) -> None:
    same, other = taken.get(folded(path), (path, None))
    if other is not None:
        where = "" if same == path else " on systems that do not tell them apart"
        raise AudioWriteError(
            f"its stems would get the same paths as those of {other.name}{where}: "
            "rename one, or separate it into another folder (`out`)"
        )
    if path.is_dir():
        raise AudioWriteError(
            f"{one_line(path)} is a folder, not a file: "
            "remove it, or choose another `out` or `filename`"
        )
    if path.exists() and not path.is_file():  # a pipe, a device
        raise AudioWriteError(
            f"{one_line(path)} is not a file: remove it, or choose another `out` or `filename`"
        )
    if path.exists() and identity(path) in inputs:
        raise AudioWriteError(
            f"{one_line(path)} would overwrite an input: choose another `out` or `filename`"
        )
