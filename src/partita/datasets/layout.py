"""Common parts of the readers of all layouts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from partita.audio.reader import AUDIO_EXTENSIONS
from partita.datasets.tracks import MIXTURE, StemFile, Track, order_stems
from partita.errors import UsageError, one_line

#: Folders with these names hold the tracks of a subset.
SUBSETS = ("train", "valid", "test")
#: What a mixture is called; the first one that is there is taken.
MIXTURE_NAMES = (MIXTURE, "mix")
#: Other people's names for them.
SUBSET_NAMES = MappingProxyType({**{name: name for name in SUBSETS}, "validation": "valid"})
_MOST_NAMED = 8


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set.

    Attributes
    ----------
    where : str
        A track or a file.
    what : str
        What is wrong with it.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.what}")


@dataclass(frozen=True)
class Reading:
    """What the reader of a layout found in a folder."""

    tracks: Sequence[Track] = ()
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()

    def __bool__(self) -> bool:
        return bool(self.tracks or self.problems)


#: From the root of a data set to what is in it; an empty reading where it has another layout.
Reader = Callable[[Path], Reading]


def list_folder(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted by name, without hidden files and folders.

    Raises
    ------
    UsageError
        The folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{one_line(folder)}: cannot be read: {reason}") from None


#: Device and number of folders.
Seen = set[tuple[int, int]]


def walk(
    root: Path, problems: list[Problem], *, depth: int = 4, seen: Seen | None = None
) -> Iterator[Path]:
    """Yield a folder and the visible folders below it, sorted, those that links lead to as well.

    Parameters
    ----------
    root : Path
    problems : list of Problem
        Gets the folders that cannot be read.
    depth : int
        How many levels below the root.
    seen : set, optional
        Folders to leave out, such as those above, to which links may lead; those that are found
        are added.
    """
    visited = set() if seen is None else seen

    def visit(folder: Path, left: int) -> Iterator[Path]:
        try:
            state = folder.stat()
            inside = [path for path in sorted(folder.iterdir()) if _is_visible_folder(path)]
        except OSError as error:
            problems.append(Problem(str(folder), f"cannot be read, left out: {error.strerror}"))
            return
        if folder_id(state) in visited:
            return
        visited.add(folder_id(state))
        yield folder
        for child in inside if left else ():
            yield from visit(child, left - 1)

    yield from visit(root, depth)


def folder_id(state: os.stat_result) -> tuple[int, int]:
    """Return what identifies a folder, whichever links lead to it."""
    return state.st_dev, state.st_ino


def _is_visible_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def empty_folders(
    visited: Sequence[Path], holding: Iterable[Path], tracks: Iterable[Path] = ()
) -> list[Path]:
    """Return the topmost folders with nothing in them that belongs to a data set.

    Parameters
    ----------
    visited : sequence of Path
        Folders above before those in them.
    holding : iterable of Path
        Those that hold something.
    tracks : iterable of Path
        Whatever else lies in these needs no explanation.
    """
    used = {above for folder in holding for above in (folder, *folder.parents)}
    explained = {*tracks}
    found = []
    for folder in visited:
        if folder not in used and explained.isdisjoint(folder.parents):
            explained.add(folder)  # and what is in it
            found.append(folder)
    return found


def empty_folder_warnings(
    root: Path, folders: Sequence[Path], what: str = "audio"
) -> list[Problem]:
    """Return a warning that names folders without audio; nothing where there are none."""
    if not folders:
        return []
    named = ", ".join(folder.relative_to(root).as_posix() for folder in folders[:_MOST_NAMED])
    if len(folders) > _MOST_NAMED:
        named += f" and {len(folders) - _MOST_NAMED} more"
    holds = "holds" if len(folders) == 1 else "hold"
    return [Problem(named, f"{holds} no {what}, left out")]


def subset_of(root: Path, folder: Path) -> str:
    """Return the subset that a folder is in, by the names of the folders above it."""
    for part in folder.relative_to(root).parts:
        if part.lower() in SUBSET_NAMES:
            return SUBSET_NAMES[part.lower()]
    return ""


def subfolders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder, sorted by name."""
    return [path for path in list_folder(folder) if path.is_dir()]


def audio_files(folder: Path) -> list[Path]:
    """Return the visible audio files in a folder, by their extensions, sorted by name.

    Links that lead nowhere are among them: whoever reads them is told.
    """
    return [
        path
        for path in list_folder(folder)
        if path.suffix.lower() in AUDIO_EXTENSIONS
        and (path.is_file() or (path.is_symlink() and not path.exists()))
    ]


def subset_folders(root: Path) -> list[tuple[str, Path]]:
    """Return ``(subset, folder)`` for all folders named after a subset, and ``("", root)``."""
    inside = [
        (SUBSET_NAMES[folder.name.lower()], folder)
        for folder in subfolders(root)
        if folder.name.lower() in SUBSET_NAMES
    ]
    return [*sorted(inside, key=lambda each: SUBSETS.index(each[0])), ("", root)]


def make_track(
    name: str, path: Path, subset: str, files: Mapping[str, StemFile]
) -> Track | Problem:
    """Build a track from all its files, the mixture among them by its name."""
    mixture = next((files[each] for each in MIXTURE_NAMES if each in files), None)
    stems = {stem: files[stem] for stem in order_stems(files) if stem not in MIXTURE_NAMES}
    if not stems:
        return Problem(name, "has a mixture but no stems, left out")
    return Track(name, path, subset, stems, mixture)
