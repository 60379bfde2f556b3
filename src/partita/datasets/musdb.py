"""MUSDB18, compressed (``.stem.mp4``) and HQ (wav).

Rafii, Liutkus, Stöter, Mimilakis and Bittner, "The MUSDB18 corpus for music separation", 2017,
https://doi.org/10.5281/zenodo.1117372.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av

from partita.audio.container import metadata_of, open_container
from partita.audio.formats import STEM_MP4, is_stem_mp4
from partita.audio.stem_mp4 import EMPTY, STEM_ORDER, read_stem_names, stem_streams
from partita.datasets.layout import (
    Problem,
    Reading,
    audio_files,
    list_folder,
    subfolders,
    subset_folders,
)
from partita.datasets.tracks import MIXTURE, StemFile, Track, order_stems
from partita.errors import UsageError
from partita.stem_names import normal_name

#: Audio stream of each signal in a ``.stem.mp4`` that names none.
_STREAMS = {MIXTURE: 0, **stem_streams(STEM_ORDER)}
#: Where FFmpeg finds the title of a stream.
_TITLE_KEYS = ("title", "name", "handler_name")
#: What people call the usual stems, in lower case.
_USUAL_NAMES = {"vox": "vocals", "vocal": "vocals", **{name: name for name in STEM_ORDER}}
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


def read_musdb18(root: Path) -> Reading:
    """Read ``{train,test}/TRACK.stem.mp4``, ``TRACK.stem.mp4``, or one such file.

    Stream 0 is the mixture. The stems behind it have the names that the file gives them; without
    names they are drums, bass, other and vocals.
    """
    tracks, problems = [], []
    for subset, path in _stem_mp4_files(root):
        streams = _read_streams(path)
        if isinstance(streams, str):
            problems.append(Problem(str(path), streams))
            continue
        files = {stem: StemFile(path, stream) for stem, stream in streams.items()}
        tracks.append(_track(path.name[: -len(f".{STEM_MP4}")], path, subset, files))
    return Reading(tracks, problems)


def read_musdb18hq(root: Path) -> Reading:
    """Read ``{train,test}/TRACK/{mixture,drums,bass,other,vocals}.wav``.

    A folder that lacks some of the five is a problem; the layout is another one where no folder
    has them all.
    """
    tracks, problems = [], []
    for subset, folder in _hq_folders(root):
        files = {stem: StemFile(folder / f"{stem}.wav") for stem in _STREAMS}
        try:
            there = {path.name for path in audio_files(folder)}
        except UsageError as error:
            problems.append(Problem(folder.name, f"{error}, left out"))
            continue
        missing = [file.path.name for file in files.values() if file.path.name not in there]
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
    found = [_names_in(folder) for _, folder in _hq_folders(root)]
    complete = sum(names == wanted for names in found)
    return complete > len(found) / 2 and all(names <= wanted for names in found)


def _names_in(folder: Path) -> set[str]:
    """Return the names of the audio files; none where the folder cannot be read."""
    try:
        return {path.name for path in audio_files(folder)}
    except UsageError:
        return set()


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
    lower = {normal_name(stem).lower(): file for stem, file in files.items()}
    files = lower if len(lower) == len(files) else files
    stems = {stem: files[stem] for stem in order_stems(files) if stem != MIXTURE}
    return Track(normal_name(name), path, subset, stems, files[MIXTURE])


def _read_streams(path: Path) -> dict[str, int] | str:
    """Return signal → audio stream of a ``.stem.mp4``, or what is wrong with it."""
    try:
        with open_container(path) as container:
            found = [metadata_of(stream) for stream in container.streams.audio]
        titles = [[each.get(key, "") for each in found[1:]] for key in _TITLE_KEYS]
        for names in (read_stem_names(path) or [], *titles):
            if named := _by_name(names, len(found) - 1):
                return {MIXTURE: 0, **named}
    except (av.FFmpegError, OSError, ValueError):
        return "cannot be decoded, left out: copy or download the file again"
    if len(found) < len(_STREAMS):
        return f"has {len(found)} audio streams instead of {len(_STREAMS)}, left out"
    return _STREAMS


def _by_name(names: Sequence[str], streams: int) -> dict[str, int]:
    """Return stem → stream; nothing where names are lacking, double or all "SoundHandler"."""
    names = [_USUAL_NAMES.get(name.lower(), name) for name in names]
    named = {name: index for index, name in enumerate(names, start=1) if name != EMPTY}
    is_complete = len(names) == streams and len(named) == len(names) - names.count(EMPTY)
    return named if is_complete and "" not in named and MIXTURE not in named else {}
