"""The songs of a batch: files, and those found in folders and by patterns."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from partita.audio.reader import AUDIO_EXTENSIONS
from partita.audio.spool import STANDARD_INPUT
from partita.errors import one_line

if TYPE_CHECKING:
    from partita.separation.estimates import StemFiles

_log = logging.getLogger(__name__)

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
#: Files that are usual beside songs: counted when skipped, not named.
_COMPANIONS = frozenset(
    f".{extension}"
    for extension in (
        *("jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff", "svg", "ico", "pdf", "txt"),
        *("md", "rtf", "doc", "docx", "html", "htm", "json", "xml", "csv", "tsv", "yaml", "yml"),
        *("toml", "ini", "log", "nfo", "cue", "toc", "m3u", "m3u8", "pls", "lrc", "srt", "vtt"),
        *("sfv", "md5", "sha256", "ffp", "accurip", "db", "url", "lnk", "zip", "part", "tmp"),
    )
)
_MOST_NAMED = 3


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

    @property
    def name(self) -> str:
        """Its name in messages."""
        return _name_of(self.source)


@dataclass(frozen=True, repr=False)
class Outcome:
    """The outcome of one input.

    Attributes
    ----------
    source : str
    status : {"done", "skipped", "failed"}
    files : StemFiles or None
        When done.
    paths : mapping of str to Path
        Stem name → file; none when failed.
    error : str
        One line, when failed.
    exception : Exception or None
        The exception, when separating failed.
    redone : str
        Why existing stems were replaced, when resuming.
    warnings : tuple of str
    """

    source: str
    status: Literal["done", "skipped", "failed"]
    files: StemFiles | None = None
    paths: Mapping[str, Path] = field(default_factory=dict, compare=False)
    error: str = ""
    exception: Exception | None = field(default=None, compare=False)
    redone: str = ""
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        made = self.error or ", ".join(self.paths)
        return f"Outcome({self.source!r} {self.status}: {made})"

    @property
    def name(self) -> str:
        """The name of the input in messages."""
        return _name_of(self.source)


def _name_of(source: str) -> str:
    return STANDARD_INPUT if source == "-" else one_line(source)


def find_songs(inputs: Iterable[str], *, outputs: Sequence[Path]) -> Iterator[Song | Outcome]:
    """Find songs; inputs without any become a failed `Outcome`.

    A file that is found twice, under any name, is one song. Other files in folders are logged.

    Parameters
    ----------
    inputs : iterable of str
        Files, folders (searched recursively, links included; hidden files and `outputs` are
        skipped), glob patterns, ``"-"``.
    outputs : sequence of Path
        Folders with stems, not songs.
    """
    seen: set[tuple[tuple[int, int], str]] = set()
    for found in _found(inputs, outputs):
        known_by = identity(Path(found.source)) if isinstance(found, Song) else None
        if isinstance(found, Song) and known_by is not None:
            if (known_by, found.track) in seen:
                continue
            seen.add((known_by, found.track))
        yield found


def _found(inputs: Iterable[str], outputs: Sequence[Path]) -> Iterator[Song | Outcome]:
    for item in inputs:
        if item == "-":
            yield Song("-", "stdin")
            continue
        try:
            matches = [item] if os.path.lexists(item) else sorted(glob.glob(item, recursive=True))
        except (OSError, ValueError, re.error):
            matches = []
        if not matches:
            yield _missing(item)
        for match in matches:
            path = Path(match)
            if path.is_dir():
                yield from _songs_in(path, outputs)
            else:
                yield Song(match, track_name(path))


def is_url(text: str) -> bool:
    """Return whether a text is a URL."""
    return _URL.match(text) is not None


def track_name(path: Path) -> str:
    """Return the name of a file without its extension."""
    stem = path.stem
    return stem.removesuffix(".stem") or stem


def _missing(item: str) -> Song | Outcome:
    if is_url(item):
        name = one_line(item)
        error = f"{name}: is a web address: download the song first, then separate the file"
        return Outcome(item, "failed", error=error)
    if "*" in item or "?" in item:  # brackets are more often part of a name
        name = one_line(item)
        return Outcome(item, "failed", error=f"{name}: no such file, nor any that matches")
    # Opening reports why: missing, name too long, no permission.
    return Song(item, track_name(Path(item)))


def _songs_in(folder: Path, outputs: Sequence[Path]) -> Iterator[Song | Outcome]:
    found = _Search(folder, outputs)
    found.run()
    songs = sorted(found.songs, key=lambda song: Path(song.track).parts[:-1])
    if not songs and not found.failures:
        error = f"{one_line(folder)}: no audio files in here{found.left_out_text(' (', ')')}"
        yield Outcome(str(folder), "failed", error=error)
    elif found.odd:
        _log.info("%s: %s", one_line(folder), found.left_out_text())
    elif found.companions:
        _log.debug("%s: %s", one_line(folder), found.left_out_text())
    yield from found.failures
    yield from songs


@dataclass
class _Search:
    """A recursive search of one folder.

    Attributes
    ----------
    folder : Path
    outputs : sequence of Path
    songs : list of Song
    failures : list of Outcome
        One for each folder that cannot be read.
    odd : list of str
        Names of files that are not audio, except `companions`.
    companions : int
        How many pictures, texts and the like there are.
    """

    folder: Path
    outputs: Sequence[Path]
    songs: list[Song] = field(default_factory=list)
    failures: list[Outcome] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    companions: int = 0

    def run(self) -> None:
        """Search real folders first, then linked ones that are not among them.

        So a folder is read once, and circular links end.
        """
        left_out = {identity(path) for path in self.outputs}
        seen: set[tuple[int, int] | None] = set()
        waiting = [self.folder]
        while waiting:
            linked: list[Path] = []
            for start in waiting:
                for parent, folders, files in os.walk(start, onerror=self._refused):
                    here = Path(parent)
                    if (known_by := identity(here)) in seen:
                        folders[:] = []
                        continue
                    seen.add(known_by)
                    folders[:] = sorted(
                        name
                        for name in folders
                        if not name.startswith(".") and identity(here / name) not in left_out
                    )
                    linked += [here / name for name in folders if (here / name).is_symlink()]
                    for name in sorted(files):
                        self._file(here / name)
            waiting = sorted(linked)

    def _file(self, path: Path) -> None:
        if path.name.startswith("."):
            return
        suffix = path.suffix.lower()
        if path.exists() and not path.is_file():  # a pipe would wait forever
            self.odd.append(one_line(path.relative_to(self.folder)))
        elif suffix in AUDIO_EXTENSIONS:
            below = path.parent.relative_to(self.folder)
            self.songs.append(Song(str(path), (below / track_name(path)).as_posix()))
        elif suffix in _COMPANIONS:
            self.companions += 1
        else:
            self.odd.append(one_line(path.relative_to(self.folder)))

    def _refused(self, error: OSError) -> None:
        reason = one_line(error.strerror or error).lower()
        text = f"{one_line(error.filename)}: this folder cannot be searched: {reason}"
        self.failures.append(Outcome(str(error.filename), "failed", error=text))

    def left_out_text(self, before: str = "", after: str = "") -> str:
        """Return a line about files that are not audio; empty if there are none."""
        count = len(self.odd) + self.companions
        if not count:
            return ""
        named = ", ".join(self.odd[:_MOST_NAMED])
        more = ", …" if len(self.odd) > _MOST_NAMED else ""
        companions = f"{self.companions} pictures, texts and the like" if self.companions else ""
        if self.companions == 1:
            companions = "a picture, a text or the like"
        kinds = " and ".join(filter(None, [named + more, companions]))
        files = "1 file that is" if count == 1 else f"{count} files that are"
        return f"{before}skipped {files} not audio: {kinds}{after}"


def identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a path, links followed; None: it does not exist."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
