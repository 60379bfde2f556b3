"""What the readers of all layouts share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from partita.audio.reader import AUDIO_EXTENSIONS
from partita.datasets.tracks import MIXTURE, StemFile, Track, order_stems
from partita.errors import UsageError, one_line

#: Folders with these names hold the tracks of a subset.
SUBSETS = ("train", "valid", "test")


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
    """What the reader of a layout made of a folder."""

    tracks: Sequence[Track] = ()
    problems: Sequence[Problem] = ()

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


def subfolders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder, sorted by name."""
    return [path for path in list_folder(folder) if path.is_dir()]


def audio_files(folder: Path) -> list[Path]:
    """Return the visible audio files in a folder, by their extensions, sorted by name."""
    return [
        path
        for path in list_folder(folder)
        if path.suffix.lower() in AUDIO_EXTENSIONS and path.is_file()
    ]


def subset_folders(root: Path) -> list[tuple[str, Path]]:
    """Return ``(subset, folder)`` for all folders named after a subset, and ``("", root)``."""
    inside = [(name, root / name) for name in SUBSETS if (root / name).is_dir()]
    return [*inside, ("", root)]


def make_track(
    name: str, path: Path, subset: str, files: Mapping[str, StemFile]
) -> Track | Problem:
    """Build a track from all its files, the mixture among them by its name."""
    stems = {stem: files[stem] for stem in order_stems(files) if stem != MIXTURE}
    if not stems:
        return Problem(name, "has a mixture but no stems, left out")
    return Track(name, path, subset, stems, files.get(MIXTURE))
