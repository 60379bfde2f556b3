"""Data sets in folders: a folder a track, a folder a stem, a folder a source."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from partita.datasets.layout import (
    MIXTURE_NAMES,
    SUBSET_NAMES,
    Problem,
    Reading,
    audio_files,
    empty_folder_warnings,
    empty_folders,
    folder_id,
    make_track,
    subfolders,
    subset_folders,
    walk,
)
from partita.datasets.tracks import ACCOMPANIMENT, MIXTURE, VOCALS, StemFile, Track
from partita.errors import UsageError
from partita.stem_names import normal_name

#: Shares by which unrelated recordings are told from songs, see `detect_folders`.
_FEW, _MOST = 0.25, 0.5

#: Names that tell a stem from a track.
_KNOWN_STEMS = frozenset(
    (
        *(MIXTURE, VOCALS, ACCOMPANIMENT, "drums", "bass", "other", "rest", "residual", "voice"),
        *("instrumental", "lead_vocals", "backing_vocals", "choir", "speech", "music", "effects"),
        *("guitar", "guitars", "acoustic_guitar", "electric_guitar", "piano", "keys", "keyboard"),
        *("organ", "synth", "percussion", "strings", "brass", "wind", "flute", "violin", "viola"),
        *("cello", "saxophone", "trumpet", "kick", "snare", "hihat", "toms", "cymbals"),
        *("vocal", "voices", "drum", "other_keys", "bowed_strings", "other_plucked", "singer"),
    )
)


#: Folders of these names hold the stems of the folder that they are in.
_INNER_FOLDERS = ("stems", "stem")


@dataclass(frozen=True)
class _Entry:
    """A file at least two levels down: ``top/…/file.wav``."""

    subset: str
    parent: Path
    top: Path
    path: Path

    @property
    def track_folder(self) -> Path:
        """The folder of the track, where tracks are folders."""
        folder = self.path.parent
        return folder.parent if folder.name.lower() in _INNER_FOLDERS else folder

    @property
    def outer(self) -> str:
        """The stem, where stems are folders."""
        return self.top.name

    @property
    def below(self) -> str:
        """The track, where stems are folders: its path in there."""
        return self.path.relative_to(self.top).with_suffix("").as_posix()

    @property
    def song(self) -> str:
        """The same without the stem's name: ``vocals/Song_vocals.wav`` is of the track ``Song``."""
        folder, _, name = self.below.rpartition("/")
        stem = re.escape(self.outer)
        around = rf"(?:^|[\s_.(\[-]+){stem}[)\]]*$|^{stem}[\s_.-]+"
        return f"{folder}/" * bool(folder) + (re.sub(around, "", name, flags=re.I) or name)

    @property
    def inner(self) -> str:
        return self.path.stem


def read_tracks(root: Path) -> Reading:
    """Read ``[train|valid|test/]TRACK/STEM.*``; ``mixture.*`` or ``mix.*`` is the mixture.

    Tracks may lie deeper, as in ``ALBUM/TRACK/STEM.*``, and their stems in a folder ``stems``.
    Names of stems become lower case.
    """
    search = _Search(root)
    entries = _tracks_only(search.entries)
    folders = {(entry.subset, entry.track_folder): entry.parent for entry in entries}
    counts = Counter((subset, normal_name(folder.name)) for subset, folder in folders)

    def name_of(entry: _Entry) -> str:
        folder = entry.track_folder
        if counts[entry.subset, normal_name(folder.name)] == 1:
            return folder.name
        return folder.relative_to(entry.parent).as_posix()

    files = [
        _File(entry.subset, name_of(entry), entry.track_folder, entry.inner, entry.path)
        for entry in entries
    ]
    warnings = search.empty_folder_warnings(entry.track_folder for entry in entries)
    return _group(files, search.problems, warnings)


def _tracks_only(entries: list[_Entry]) -> list[_Entry]:
    """Leave out what lies in folders below a track, such as its raw recordings."""
    tracks = {entry.track_folder for entry in entries if is_known_stem(entry.inner)}
    return [entry for entry in entries if tracks.isdisjoint(entry.track_folder.parents)]


def read_stems(root: Path) -> Reading:
    """Read ``[train|valid|test/]STEM/TRACK.*``; a folder called ``mixture`` holds mixtures.

    Names of stems become lower case.
    """
    search = _Search(root)
    files = [
        _File(entry.subset, entry.song, root, entry.outer, entry.path) for entry in search.entries
    ]
    return _group(files, search.problems, search.empty_folder_warnings())


def read_unaligned(root: Path) -> Reading:
    """Read ``[train|valid|test/]SOURCE/*``: unrelated recordings of single sources.

    Every file, however deep in its folder, is a track with one stem. Names of sources become lower
    case.
    """
    search = _Search(root)
    tracks: list[Track] = []
    mixtures = set()
    for entry in search.entries:
        source = normal_name(entry.outer).lower()
        if source in MIXTURE_NAMES:
            mixtures.add(entry.outer)
            continue
        name = normal_name(f"{entry.outer}/{entry.below}")
        tracks.append(Track(name, entry.path, entry.subset, {source: StemFile(entry.path)}))
    alone = [Problem(each, "mixtures without stems, left out") for each in sorted(mixtures)]
    return Reading(tracks, [*search.problems, *alone], search.empty_folder_warnings())


def read_track(root: Path) -> Reading:
    """Read ``STEM.*``, audio files that lie directly in a folder: it is one track."""
    if not root.is_dir():
        return Reading()
    folder = root.resolve()
    files = [_File("", folder.name, folder, path.stem, path) for path in audio_files(root)]
    return _group(files)


def looks_like_track(root: Path) -> bool:
    """Tell whether a folder itself has audio files and one of them has a stem's name."""
    names = [path.stem.lower() for path in audio_files(root)] if root.is_dir() else []
    return any(name.removeprefix("no_") in _KNOWN_STEMS for name in names)


def detect_folders(root: Path) -> str:
    """Tell ``TRACK/STEM.wav`` (``"tracks"``) from ``STEM/TRACK.wav`` (``"stems"``).

    In both, the same file names recur in many folders. The rule, in this order:

    1. Folders have stems' names, files have not, and the files' names do not recur: these are
       recordings of single sources that make no songs (``"unaligned"``).
    2. Every file has a stem's name (or a mixture's), no folder has: ``"tracks"``, even if each
       holds one file.
    3. A track has more than one file. Where one reading leaves a single file to every track and
       the other does not, the other is right.
    4. Stems have stems' names (vocals, drums, guitar, …): right is the reading under which the
       larger share of the different stem names is among the known ones.
    5. Stems recur and tracks do not: right is the reading with fewer different stem names.
    6. ``"tracks"``, the more usual one.

    Returns
    -------
    str
        ``"tracks"``, ``"stems"`` or ``"unaligned"``.
    """
    entries = _Search(root).entries
    names_tracks = {entry.inner for entry in entries}
    names_stems = {entry.outer for entry in entries}
    files_of = Counter((entry.subset, entry.song) for entry in entries)
    recurring = sum(count > 1 for count in files_of.values()) / max(len(files_of), 1)
    if (
        recurring < _FEW
        and _known_share(names_stems) > _MOST
        and _known_share(names_tracks) < _known_share(names_stems) / 2
    ):
        return "unaligned"
    is_stem = {name: is_known_stem(name) or name.lower() in MIXTURE_NAMES for name in names_tracks}
    if all(is_stem.values()) and not _known_share(names_stems):
        return "tracks"
    rank_tracks = (
        len(entries) > len({(entry.subset, entry.track_folder) for entry in entries}),
        _known_share(names_tracks),
        -len(names_tracks),
    )
    rank_stems = (len(entries) > len(files_of), _known_share(names_stems), -len(names_stems))
    return "stems" if rank_stems > rank_tracks else "tracks"


def is_known_stem(name: str) -> bool:
    """Tell whether a name is usual for a stem."""
    return name.lower().replace(" ", "_").removeprefix("no_") in _KNOWN_STEMS


def _known_share(names: Iterable[str]) -> float:
    known = [is_known_stem(name) for name in names]
    return sum(known) / max(len(known), 1)


class _Search:
    """A search for all audio files at least two levels below a root, or its subsets' folders.

    Attributes
    ----------
    entries : list of _Entry
    problems : list of Problem
        Folders that cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.entries: list[_Entry] = []
        self.problems: list[Problem] = []
        self._root = _unwrapped(root)
        self._visited: list[Path] = []
        seen = {folder_id(self._root.stat())}
        for subset, parent in subset_folders(self._root):
            for top in subfolders(parent):
                if parent == self._root and top.name.lower() in SUBSET_NAMES:
                    self._visited.insert(0, top)
                    continue
                for folder in walk(top, self.problems, seen=seen):
                    self._visited.append(folder)
                    self.entries += [
                        _Entry(subset, parent, top, path) for path in audio_files(folder)
                    ]

    def empty_folder_warnings(self, tracks: Iterable[Path] = ()) -> list[Problem]:
        """Return a warning for folders without audio, except those inside tracks."""
        holding = {entry.path.parent for entry in self.entries}
        return empty_folder_warnings(self._root, empty_folders(self._visited, holding, tracks))


def _unwrapped(root: Path) -> Path:
    """Go down while there is nothing but one folder that holds no audio itself."""
    while True:
        inside = subfolders(root)
        if len(inside) != 1 or inside[0].name.lower() in SUBSET_NAMES or audio_files(root):
            return root
        try:
            if audio_files(inside[0]) or not subfolders(inside[0]):
                return root
        except UsageError:
            return root
        root = inside[0]


@dataclass(frozen=True)
class _File:
    """Where a file belongs."""

    subset: str
    track: str
    folder: Path
    stem: str
    path: Path


def _group(
    files: Iterable[_File], problems: Iterable[Problem] = (), warnings: Sequence[Problem] = ()
) -> Reading:
    """Put the files of each track together.

    Two folders whose names only look the same are two tracks, and a problem later on.
    """
    grouped: dict[tuple[str, str, Path], dict[str, StemFile]] = defaultdict(dict)
    tracks: list[Track] = []
    told = list(problems)
    for file in files:
        name, stem = normal_name(file.track), normal_name(file.stem).lower()
        stems = grouped[file.subset, name, file.folder]
        if stem in stems:
            used = stems[stem].path.name
            told.append(Problem(name, f"has stem {stem!r} twice: {used} is used, "
                                          f"{file.path.name} is not"))  # fmt: skip
            continue
        stems[stem] = StemFile(file.path)
    for (subset, name, folder), stems in grouped.items():
        made = make_track(name, folder, subset, stems)
        if isinstance(made, Problem):
            told.append(made)
        else:
            tracks.append(made)
    return Reading(tracks, told, warnings)
