"""Opening a data set, whatever its layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from partita.audio.formats import is_stem_mp4
from partita.audio.reader import AUDIO_EXTENSIONS
from partita.datasets.folders import (
    detect_folders,
    looks_like_track,
    read_stems,
    read_track,
    read_tracks,
    read_unaligned,
)
from partita.datasets.layout import Problem, Reader, Reading, audio_files, list_folder
from partita.datasets.multitracks import read_medleydb, read_moisesdb, read_slakh
from partita.datasets.musdb import is_musdb18hq, read_musdb18, read_musdb18hq
from partita.datasets.table import find_csv, read_csv
from partita.datasets.tracks import Track
from partita.errors import UnknownNameError, UsageError, one_line

AUTO = "auto"
LAYOUTS: Mapping[str, Reader] = MappingProxyType(
    {
        "musdb18": read_musdb18,
        "musdb18hq": read_musdb18hq,
        "moisesdb": read_moisesdb,
        "slakh": read_slakh,
        "medleydb": read_medleydb,
        "tracks": read_tracks,
        "stems": read_stems,
        "unaligned": read_unaligned,
        "csv": read_csv,
        "track": read_track,
    }
)
_MULTITRACKS = ("slakh", "medleydb", "moisesdb")
_EXPECTED = "TRACK.stem.mp4, TRACK/STEM.wav, STEM/TRACK.wav, SOURCE/ANYTHING.wav or one csv file"


@dataclass(frozen=True, repr=False)
class Dataset:
    """The tracks of a data set.

    Attributes
    ----------
    root : Path
    layout : str
        One of `LAYOUTS`.
    tracks : sequence of Track
        In a fixed order: by subset, then as in the layout.
    problems : sequence of Problem
        What cannot be used; of the whole data set, whichever subset was asked for.
    warnings : sequence of Problem
        Folders without audio, which may be intended.
    """

    root: Path
    layout: str
    tracks: Sequence[Track]
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()

    def __repr__(self) -> str:
        tracks = "one track" if len(self.tracks) == 1 else f"{len(self.tracks)} tracks"
        problems = f", problems: {len(self.problems)}" if self.problems else ""
        return f"Dataset({str(self.root)!r}: {tracks}, layout {self.layout}{problems})"

    def __iter__(self) -> Iterator[Track]:
        return iter(self.tracks)

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def is_aligned(self) -> bool:
        """Whether the stems of a track belong together; else only random mixes can be made."""
        return self.layout != "unaligned"

    @property
    def is_one_track(self) -> bool:
        """Whether the root itself is a track: a ``.stem.mp4`` or a folder of stems."""
        if self.layout in _MULTITRACKS and len(self.tracks) == 1:
            return self.tracks[0].path == self.root
        return self.layout == "track" or is_stem_mp4(self.root)


def open_dataset(root: str | Path, *, subset: str | None = None, layout: str = AUTO) -> Dataset:
    """Find the tracks of a data set; no audio is decoded.

    Parameters
    ----------
    root : str or Path
        A folder, a csv file, or a single ``.stem.mp4``.
    subset : str, optional
        Only the tracks of this subset: ``train``, ``valid`` or ``test``. The 14 validation
        tracks of MUSDB18's train folder are ``valid``.
    layout : str
        ``auto`` finds out. Otherwise one of

        - ``musdb18``: ``{train,test}/TRACK.stem.mp4``, or without the two folders;
        - ``musdb18hq``: ``{train,test}/TRACK/{mixture,drums,bass,other,vocals}.wav``;
        - ``moisesdb``: ``TRACK/{data.json,STEM/*.wav}``, several files a stem;
        - ``slakh``: ``[train|validation|test/]TRACK/{mix.flac,metadata.yaml,stems/S00.flac}``;
        - ``medleydb``: ``NAME/{NAME_MIX.wav,NAME_METADATA.yaml,NAME_STEMS/NAME_STEM_01.wav}``;
        - ``tracks``: ``[train|valid|test/]TRACK/STEM.*``, any audio format;
        - ``stems``: ``[train|valid|test/]STEM/TRACK.*``, any audio format;
        - ``unaligned``: ``[train|valid|test/]SOURCE/*``, recordings of single sources that make no
          songs, to be mixed at random;
        - ``csv``: a table, see `partita.datasets.table.read_csv`;
        - ``track``: ``STEM.*`` directly in the folder, which is one track. Found out only where
          one of the files has a usual stem's name.

        How ``auto`` tells ``tracks``, ``stems`` and ``unaligned`` apart says
        `partita.datasets.folders.detect_folders`.

    Raises
    ------
    UnknownNameError
        No such layout.
    UsageError
        The root is missing, empty or no data set, the csv is broken, or no track belongs to the
        subset. A track that is broken is no error but one of the data set's `problems`.
    """
    root = Path(root)
    if layout != AUTO and layout not in LAYOUTS:
        raise UnknownNameError("layout", layout, [AUTO, *LAYOUTS])
    _check_root(root)
    found, reading = _detect(root) if layout == AUTO else (layout, LAYOUTS[layout](root))
    if not reading:
        raise UsageError(_nothing(root, layout))
    tracks, repeated = _unique(reading.tracks)
    problems = [*reading.problems, *repeated]
    if subset is not None:
        tracks = _of_subset(root, tracks, subset)
    return Dataset(root, found, tuple(tracks), tuple(problems), tuple(reading.warnings))


def _check_root(root: Path) -> None:
    name = one_line(root)
    try:
        if not root.exists():
            raise UsageError(f"{name}: no such folder")
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}") from None
    if root.is_dir():
        if not list_folder(root):
            raise UsageError(f"{name}: the folder is empty; a data set holds {_EXPECTED}")
    elif find_csv(root) is None and not is_stem_mp4(root):
        kind = "an audio file" if root.suffix.lower() in AUDIO_EXTENSIONS else "a file"
        raise UsageError(
            f"{name}: is {kind}, not a data set: name the folder above the tracks, "
            "a csv file or a .stem.mp4"
        )


def _detect(root: Path) -> tuple[str, Reading]:
    """Return the layout of a root and what its reader finds: an empty reading if it has none."""
    candidates = ["musdb18"]
    if is_musdb18hq(root):
        candidates.append("musdb18hq")
    if root.is_dir():
        candidates += [*_MULTITRACKS, detect_folders(root)]
    candidates.append("csv")
    if looks_like_track(root):
        candidates.append("track")
    for layout in candidates:
        reading = LAYOUTS[layout](root)
        if reading:
            return layout, reading
    return AUTO, Reading()


def _nothing(root: Path, layout: str) -> str:
    kind = "" if layout == AUTO else f" of layout {layout!r}"
    text = f"{one_line(root)}: no data set{kind} in here; it would hold {_EXPECTED}"
    if root.is_dir() and audio_files(root):
        text += "; audio files lie directly in it: is the folder above meant?"
    return text


def _unique(tracks: Iterable[Track]) -> tuple[list[Track], list[Problem]]:
    """Keep the first track of every name."""
    kept: dict[str, Track] = {}
    problems = []
    for track in tracks:
        first = kept.setdefault(track.name, track)
        if first is not track:
            where = " and ".join(each.subset or str(each.path) for each in (first, track))
            problems.append(
                Problem(track.name, f"two tracks have this name ({where}), the second is left out")
            )
    return list(kept.values()), problems


def _of_subset(root: Path, tracks: Sequence[Track], subset: str) -> list[Track]:
    chosen = [track for track in tracks if track.subset == subset]
    if not chosen:
        there = ", ".join(sorted({track.subset for track in tracks} - {""})) or "none"
        raise UsageError(f"{one_line(root)}: has no tracks of subset {subset!r}; subsets: {there}")
    return chosen
