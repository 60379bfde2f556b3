"""MUSDB18, compressed (``.stem.mp4``) and HQ (wav).

Rafii, Liutkus, Stöter, Mimilakis and Bittner, "The MUSDB18 corpus for music separation", 2017,
https://doi.org/10.5281/zenodo.1117372.
"""

from __future__ import annotations

from pathlib import Path

import av

from partita.audio.container import open_container
from partita.datasets.layout import (
    Problem,
    Reading,
    audio_files,
    list_folder,
    subfolders,
    subset_folders,
)
from partita.datasets.tracks import MIXTURE, StemFile, Track, order_stems

STEM_MP4 = ".stem.mp4"
#: Audio stream of each signal in a ``.stem.mp4``.
_STREAMS = {MIXTURE: 0, "drums": 1, "bass": 2, "other": 3, "vocals": 4}
#: The tracks of the train folder that are for validation, as agreed on in the field since the
#: musdb package named them.
VALIDATION_TRACKS = frozenset(
    (
        "Actions - One Minute Smile",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Johnny Lokke - Promises & Lies",
        "Patrick Talbot - A Reason To Leave",
        "Triviul - Angelsaint",
        "Alexander Ross - Goodbye Bolero",
        "Fergessen - Nos Palpitants",
        "Leaf - Summerghost",
        "Skelpolu - Human Mistakes",
        "Young Griffo - Pennies",
        "ANiMAL - Rockshow",
        "James May - On The Line",
        "Meaxic - Take A Step",
        "Traffic Experiment - Sirens",
    )
)


def is_stem_mp4(path: Path) -> bool:
    """Tell whether a path is named like a ``.stem.mp4``."""
    return path.name.lower().endswith(STEM_MP4)


def read_musdb18(root: Path) -> Reading:
    """Read ``{train,test}/TRACK.stem.mp4``, ``TRACK.stem.mp4``, or one such file.

    Streams 0 to 4 are mixture, drums, bass, other and vocals.
    """
    tracks, problems = [], []
    for subset, path in _stem_mp4_files(root):
        problem = _check_streams(path)
        if problem:
            problems.append(Problem(str(path), problem))
            continue
        files = {stem: StemFile(path, stream) for stem, stream in _STREAMS.items()}
        tracks.append(_track(path.name[: -len(STEM_MP4)], path, subset, files))
    return Reading(tracks, problems)


def read_musdb18hq(root: Path) -> Reading:
    """Read ``{train,test}/TRACK/{mixture,drums,bass,other,vocals}.wav``.

    A folder that lacks some of the five is a problem; the layout is another one where no folder
    has them all.
    """
    tracks, problems = [], []
    for subset, folder in _hq_folders(root):
        files = {stem: StemFile(folder / f"{stem}.wav") for stem in _STREAMS}
        missing = [file.path.name for file in files.values() if not file.path.is_file()]
        if missing:
            problems.append(Problem(folder.name, f"lacks {', '.join(missing)}, left out"))
        else:
            tracks.append(_track(folder.name, folder, subset, files))
    return Reading(tracks, problems) if tracks else Reading()


def is_musdb18hq(root: Path) -> bool:
    """Tell MUSDB18-HQ from other data sets with a folder a track, which need not be complete.

    It has no folder ``valid``, no audio but the five files, and all five of most tracks.
    """
    if (root / "valid").is_dir():
        return False
    wanted = {f"{stem}.wav" for stem in _STREAMS}
    found = [{path.name for path in audio_files(folder)} for _, folder in _hq_folders(root)]
    complete = sum(names == wanted for names in found)
    return complete > len(found) / 2 and all(names <= wanted for names in found)


def _hq_folders(root: Path) -> list[tuple[str, Path]]:
    return [
        (subset, folder)
        for subset in ("train", "test")
        if (root / subset).is_dir()
        for folder in subfolders(root / subset)
    ]


def _stem_mp4_files(root: Path) -> list[tuple[str, Path]]:
    if root.is_file():
        return [("", root)] if is_stem_mp4(root) else []
    return [
        (subset, path)
        for subset, folder in subset_folders(root)
        for path in list_folder(folder)
        if is_stem_mp4(path) and path.is_file()
    ]


def _track(name: str, path: Path, subset: str, files: dict[str, StemFile]) -> Track:
    if subset == "train" and name in VALIDATION_TRACKS:
        subset = "valid"
    stems = {stem: files[stem] for stem in order_stems(files) if stem != MIXTURE}
    return Track(name, path, subset, stems, files[MIXTURE])


def _check_streams(path: Path) -> str:
    """Return what is wrong with a ``.stem.mp4``, nothing where it holds all its streams."""
    try:
        with open_container(path) as container:
            streams = len(container.streams.audio)
    except (av.FFmpegError, OSError, ValueError):
        return "cannot be decoded, left out: copy or download the file again"
    if streams < len(_STREAMS):
        return f"has {streams} audio streams instead of {len(_STREAMS)}, left out"
    return ""
