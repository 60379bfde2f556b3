"""Data sets in folders: a folder a track, or a folder a stem."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from partita.datasets.layout import (
    SUBSETS,
    Problem,
    Reading,
    audio_files,
    make_track,
    subfolders,
    subset_folders,
)
from partita.datasets.tracks import ACCOMPANIMENT, MIXTURE, VOCALS, StemFile, Track
from partita.stems import normal_name

#: Names that tell a stem from a track.
_KNOWN_STEMS = frozenset(
    (
        *(MIXTURE, VOCALS, ACCOMPANIMENT, "drums", "bass", "other", "rest", "residual", "voice"),
        *("instrumental", "lead_vocals", "backing_vocals", "choir", "speech", "music", "effects"),
        *("guitar", "guitars", "acoustic_guitar", "electric_guitar", "piano", "keys", "keyboard"),
        *("organ", "synth", "percussion", "strings", "brass", "wind", "flute", "violin", "viola"),
        *("cello", "saxophone", "trumpet", "kick", "snare", "hihat", "toms", "cymbals"),
    )
)


@dataclass(frozen=True)
class _Entry:
    """A file two levels down: ``outer/inner.wav``."""

    subset: str
    folder: Path
    path: Path

    @property
    def outer(self) -> str:
        return self.folder.name

    @property
    def inner(self) -> str:
        return self.path.stem


def read_tracks(root: Path) -> Reading:
    """Read ``[train|valid|test/]TRACK/STEM.*``; a file called ``mixture.*`` is the mixture.

    Names of stems become lower case.
    """
    return _group(_entries(root), stems_outside=False, root=root)


def read_stems(root: Path) -> Reading:
    """Read ``[train|valid|test/]STEM/TRACK.*``; a folder called ``mixture`` holds mixtures.

    Names of stems become lower case.
    """
    return _group(_entries(root), stems_outside=True, root=root)


def read_track(root: Path) -> Reading:
    """Read ``STEM.*``, audio files that lie directly in a folder: it is one track."""
    if not root.is_dir():
        return Reading()
    entries = [_Entry("", root.resolve(), path) for path in audio_files(root)]
    return _group(entries, stems_outside=False, root=root)


def looks_like_track(root: Path) -> bool:
    """Tell whether audio files lie directly in a folder and one of them is called like a stem."""
    names = [path.stem.lower() for path in audio_files(root)] if root.is_dir() else []
    return any(name.removeprefix("no_") in _KNOWN_STEMS for name in names)


def detect_folders(root: Path) -> str:
    """Tell ``TRACK/STEM.wav`` (``"tracks"``) from ``STEM/TRACK.wav`` (``"stems"``).

    In both, the same file names recur in many folders. The rule, in this order:

    1. A track has more than one file. Where one reading leaves a single file to every track and
       the other does not, the other is right.
    2. Stems have stems' names (vocals, drums, guitar, …): right is the reading under which the
       larger share of the different stem names is among the known ones.
    3. Stems recur and tracks do not: right is the reading with fewer different stem names.
    4. ``"tracks"``, the more usual one.

    Returns
    -------
    str
        ``"tracks"`` or ``"stems"``.
    """
    entries = _entries(root)
    names_tracks = {entry.inner for entry in entries}
    names_stems = {entry.outer for entry in entries}
    rank_tracks = (
        len(entries) > len({(entry.subset, entry.outer) for entry in entries}),
        _known_share(names_tracks),
        -len(names_tracks),
    )
    rank_stems = (
        len(entries) > len({(entry.subset, entry.inner) for entry in entries}),
        _known_share(names_stems),
        -len(names_stems),
    )
    return "stems" if rank_stems > rank_tracks else "tracks"


def _known_share(names: Iterable[str]) -> float:
    known = [name.lower() in _KNOWN_STEMS for name in names]
    return sum(known) / max(len(known), 1)


def _entries(root: Path) -> list[_Entry]:
    """Return all audio files two levels below the root, or below its subsets' folders."""
    return [
        _Entry(subset, folder, path)
        for subset, parent in subset_folders(root)
        for folder in subfolders(parent)
        if not (parent == root and folder.name in SUBSETS)
        for path in audio_files(folder)
    ]


def _group(entries: Iterable[_Entry], *, stems_outside: bool, root: Path) -> Reading:
    grouped: dict[tuple[str, str], dict[str, StemFile]] = defaultdict(dict)
    folders: dict[tuple[str, str], tuple[str, Path]] = {}
    tracks: list[Track] = []
    problems: list[Problem] = []
    for entry in entries:
        stem, name = normal_name(entry.inner), normal_name(entry.outer)
        if stems_outside:
            stem, name = name, stem
        stem = stem.lower()
        # Two folders whose names only look the same are two tracks, and a problem later on.
        key = entry.subset, name if stems_outside else str(entry.folder)
        folders[key] = name, root if stems_outside else entry.folder
        if stem in grouped[key]:
            used = grouped[key][stem].path.name
            problems.append(Problem(name, f"has stem {stem!r} twice: {used} is used, "
                                          f"{entry.path.name} is not"))  # fmt: skip
            continue
        grouped[key][stem] = StemFile(entry.path)
    for (subset, key_name), files in grouped.items():
        name, folder = folders[subset, key_name]
        made = make_track(name, folder, subset, files)
        if isinstance(made, Problem):
            problems.append(made)
        else:
            tracks.append(made)
    return Reading(tracks, problems)
