"""Many songs: what to read, where the stems go, and a result for each whatever happens."""

from __future__ import annotations

import glob
import logging
import os
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from partita.audio.formats import StemFormat
from partita.audio.reader import AUDIO_EXTENSIONS, open_audio
from partita.errors import AudioReadError, AudioWriteError, PartitaError, UsageError, one_line
from partita.threads import map_awake
from partita.weights.chain import file_label

if TYPE_CHECKING:
    from partita.passage import Progress
    from partita.separation import Separator, StemFiles

_log = logging.getLogger(__name__)

DEFAULT_TEMPLATE = "{model}/{track}/{stem}.{ext}"
_FIELDS = ("model", "track", "stem", "ext")


@dataclass(frozen=True)
class Song:
    """One input.

    Attributes
    ----------
    source : str
        Path, or ``"-"`` for standard input.
    track : str
        Where it stands in the output: its name without extension, with the folders it was found
        in below the folder that was asked for.
    """

    source: str
    track: str


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Attributes
    ----------
    source : str
    status : {"done", "skipped", "failed"}
    files : StemFiles or None
        When done.
    paths : mapping of str to Path
        Stem name → file, when done or skipped.
    error : str
        One line, when failed.
    """

    source: str
    status: Literal["done", "skipped", "failed"]
    files: StemFiles | None = None
    paths: Mapping[str, Path] | None = None
    error: str = ""


@dataclass(frozen=True)
class OutputPlan:
    """Where stems go.

    Attributes
    ----------
    root : Path
        Nothing is ever written outside it.
    template : str
        Below `root`; fields ``{model} {track} {stem} {ext}``.
    form : StemFormat
    model : str
    stems : sequence of str
    """

    root: Path
    template: str
    form: StemFormat
    model: str
    stems: Sequence[str]

    def __post_init__(self) -> None:
        check_template(self.template, one_file=self.form.holds_all_stems or len(self.stems) == 1)

    @property
    def model_name(self) -> str:
        """What ``{model}`` stands for."""
        return _component(file_label(self.model))

    def paths(self, song: Song) -> dict[str, Path]:
        """Return stem name → path for one song.

        Raises
        ------
        AudioWriteError
            A path would leave the output folder.
        """
        name = PurePosixPath(song.track).name
        return {
            stem: self._path(song, name if self.form.holds_all_stems else stem, self.form.name)
            for stem in self.stems
        }

    def figure_path(self, song: Song, name: str) -> Path:
        """Return where a picture of that name goes: beside the stems.

        Raises
        ------
        AudioWriteError
            The path would leave the output folder.
        """
        path = self._path(song, name, "png")
        if "{stem}" not in self.template:
            path = path.with_name(f"{path.name.removesuffix('.png')}-{name}.png")
        return path if path.suffix == ".png" else path.with_name(f"{path.name}.png")

    def _path(self, song: Song, stem: str, extension: str) -> Path:
        values = {
            "model": self.model_name,
            "track": "/".join(_component(part) for part in PurePosixPath(song.track).parts),
            "stem": _component(stem),
            "ext": extension,
        }
        path = self.root / _fill(self.template, values)
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise AudioWriteError(
                f"{one_line(path)} lies outside the output folder {one_line(self.root)}: "
                "change --filename"
            )
        return path


def _fill(template: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)


def check_template(template: str, *, one_file: bool = False) -> None:
    """Raise `UsageError` where a file name template cannot work."""
    for name in re.findall(r"\{(.*?)\}", template):
        if name not in _FIELDS:
            known = " ".join(f"{{{field}}}" for field in _FIELDS)
            raise UsageError(f"--filename: unknown field {{{name}}}; known: {known}")
    if re.sub(r"\{\w+\}", "", template).count("{") or not template.strip():
        raise UsageError(f"--filename: {template!r} is not a template")
    if "{stem}" not in template and not one_file:
        raise UsageError("--filename: the template needs {stem}, or all stems get one name")
    path = PurePosixPath(template)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError("--filename: the template must stay below the output folder (--out)")


def _component(name: str) -> str:
    """Make a text safe as one part of a path."""
    name = name.replace("/", "_").replace(os.sep, "_").replace("\0", "_")
    return "_" * max(len(name), 1) if name.strip(".") == "" else name


def find_songs(inputs: Iterable[str], *, outputs: Sequence[Path]) -> Iterator[Song | Outcome]:
    """Turn what a person typed into songs; what holds none becomes a failed `Outcome`.

    Parameters
    ----------
    inputs : iterable of str
        Files, folders (searched through; hidden files and `outputs` are left out),
        glob patterns, ``"-"``.
    outputs : sequence of Path
        Folders that hold stems, not songs.
    """
    for item in inputs:
        if item == "-":
            yield Song("-", "stdin")
            continue
        try:
            matches = [item] if os.path.lexists(item) else sorted(glob.glob(item, recursive=True))
        except (OSError, ValueError, re.error):
            matches = []
        if not matches:
            # Opening says best why it is not there: missing, name too long, no permission.
            yield Song(item, _track_name(Path(item)))
        for match in matches:
            path = Path(match)
            if not path.is_dir():
                yield Song(match, _track_name(path))
                continue
            songs = list(_search_folder(path, outputs))
            if not songs:
                yield Outcome(match, "failed", error=f"{one_line(match)}: no audio files in here")
            yield from songs


def _track_name(path: Path) -> str:
    stem = path.stem
    return stem.removesuffix(".stem") or stem


def _search_folder(folder: Path, outputs: Sequence[Path]) -> Iterator[Song]:
    left_out = {path.resolve() for path in outputs}
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (Path(parent) / name).resolve() not in left_out
        )
        for name in sorted(files):
            path = Path(parent) / name
            if path.suffix.lower() in AUDIO_EXTENSIONS and not name.startswith("."):
                below = path.parent.relative_to(folder)
                yield Song(str(path), (below / _track_name(path)).as_posix())


@dataclass(frozen=True)
class BatchOptions:
    """What applies to every song of a batch.

    Attributes
    ----------
    start_s, duration_s, keep_rate
        As for `partita.Separator.separate_file`.
    resume : bool
        Skip songs whose stems are all there.
    overwrite : bool
        Replace stems that are there; without either, they are an error.
    jobs : int
        Songs at once.
    """

    start_s: float = 0.0
    duration_s: float | None = None
    keep_rate: bool = False
    resume: bool = False
    overwrite: bool = False
    jobs: int = 1


def separate_songs(
    songs: Iterable[Song | Outcome],
    plan: OutputPlan,
    separator: Callable[[], Separator],
    options: BatchOptions,
    *,
    progress: Callable[[Song], Progress] | None = None,
    draw: Callable[[Separator, Song, Mapping[str, Path]], None] | None = None,
) -> Generator[Outcome, None, None]:
    """Separate songs and say of each, in order, what became of it.

    Parameters
    ----------
    songs : iterable of Song or Outcome
        As `find_songs` gives them; outcomes are passed on.
    plan : OutputPlan
    separator : callable
        Returns the Separator; called when the first song really needs it.
    options : BatchOptions
    progress : callable, optional
        Returns the progress function for a song.
    draw : callable, optional
        Makes pictures of a song whose stems, by name, are written.

    Raises
    ------
    PartitaError
        What no song would survive: weights that cannot be had, options out of range.
    """
    tasks = _prepare(list(dict.fromkeys(songs)), plan, options)
    cancel = threading.Event()

    def run(task: Outcome | _Task) -> Outcome:
        if isinstance(task, Outcome):
            return task
        watch = progress(task.song) if progress else None
        return _separate_one(task, plan, separator, options, watch, draw, cancel)

    if options.jobs == 1:
        yield from map(run, tasks)
        return
    pool = ThreadPoolExecutor(options.jobs)
    try:
        yield from map_awake(pool, run, tasks)
    finally:
        cancel.set()  # what still runs here was interrupted
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Task:
    song: Song
    paths: dict[str, Path]


def _prepare(
    songs: Sequence[Song | Outcome], plan: OutputPlan, options: BatchOptions
) -> list[Outcome | _Task]:
    """Decide about every song before the first one is touched."""
    inputs = [Path(song.source) for song in songs if isinstance(song, Song)]
    taken: dict[Path, str] = {}
    tasks: list[Outcome | _Task] = []
    for song in songs:
        if isinstance(song, Outcome):
            tasks.append(song)
            continue
        try:
            paths = plan.paths(song)
            for path in paths.values():
                _check_target(path, song, inputs, taken)
            tasks.append(_task(song, paths, options))
            taken.update(dict.fromkeys(paths.values(), song.source))
        except PartitaError as error:
            tasks.append(Outcome(song.source, "failed", error=str(error)))
        except OSError as error:
            reason = f"{one_line(song.source)}: {one_line(error.strerror or error)}"
            tasks.append(Outcome(song.source, "failed", error=reason))
    return tasks


def _check_target(
    path: Path, song: Song, inputs: Sequence[Path], taken: Mapping[Path, str]
) -> None:
    if path in taken:
        raise AudioWriteError(
            f"{one_line(song.source)}: its stems would get the same paths as those of "
            f"{one_line(taken[path])}: rename one, or separate it into another folder (--out)"
        )
    if path.is_dir():
        raise AudioWriteError(
            f"{one_line(song.source)}: a folder called {one_line(path)} is in the way: "
            "remove it, or choose another --out or --filename"
        )
    if path.exists():
        for source in inputs:
            if source.exists() and path.samefile(source):
                raise AudioWriteError(
                    f"{one_line(song.source)}: {one_line(path)} would overwrite an input: "
                    "choose another --out or --filename"
                )


def _task(song: Song, paths: dict[str, Path], options: BatchOptions) -> Outcome | _Task:
    present = [path for path in paths.values() if path.exists()]
    if present and options.resume and len(present) == len(paths):
        return Outcome(song.source, "skipped", paths=paths)
    if present and not (options.resume or options.overwrite):
        raise AudioWriteError(
            f"{one_line(song.source)}: {one_line(present[0])} is there already; "
            "--overwrite replaces it, --resume skips finished songs"
        )
    return _Task(song, paths)


def _separate_one(
    task: _Task,
    plan: OutputPlan,
    separator: Callable[[], Separator],
    options: BatchOptions,
    progress: Progress | None,
    draw: Callable[[Separator, Song, Mapping[str, Path]], None] | None,
    cancel: threading.Event,
) -> Outcome:
    source = task.song.source
    try:
        with open_audio(source, start_s=options.start_s, duration_s=options.duration_s) as reader:
            files = separator().separate_to_files(
                reader,
                task.paths,
                plan.form,
                root=plan.root,
                track=task.song.track.rsplit("/", 1)[-1],
                keep_rate=options.keep_rate,
                progress=progress,
                cancel=cancel,
            )
        if draw is not None:
            draw(separator(), task.song, files.stems)
        return Outcome(source, "done", files, files.stems)
    except (AudioReadError, AudioWriteError) as error:
        return Outcome(source, "failed", error=str(error))
    except PartitaError:  # weights or options: no other song would fare better
        raise
    except Exception as error:
        _log.debug("%s", source, exc_info=True)
        reason = one_line(f"{type(error).__name__}: {error}")
        text = f"{one_line(source)}: failed unexpectedly ({reason}); --verbose tells more"
        return Outcome(source, "failed", error=text)
