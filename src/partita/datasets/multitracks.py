"""Data sets of multitracks, with several files a stem: MoisesDB, Slakh2100, MedleyDB.

Pereira et al., "MoisesDB: a dataset for source separation beyond 4-stems", ISMIR 2023; Manilow et
al., "Cutting music source separation some Slakh", WASPAA 2019; Bittner et al., "MedleyDB: a
multitrack dataset for annotation-intensive MIR research", ISMIR 2014.

Of the YAML files of Slakh2100 and MedleyDB two fields are wanted, in lines that programs wrote; a
line at a time is enough for that, and takes neither another library nor what YAML can hold besides.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from partita.datasets.folders import is_known_stem
from partita.datasets.layout import (
    MIXTURE_NAMES,
    SUBSET_NAMES,
    Problem,
    Reading,
    audio_files,
    empty_folder_warnings,
    empty_folders,
    make_track,
    subfolders,
    subset_of,
    walk,
)
from partita.datasets.tracks import MIXTURE, StemFile, Track
from partita.errors import UsageError
from partita.stem_names import normal_name

_LARGEST_METADATA = 1 << 20  # bytes
_STEM_LINE = re.compile(r"^\s+(S\d+):\s*$", re.I)
_FIELD_LINE = re.compile(r"^\s+(inst_class|instrument):\s*(.*?)\s*$")
_ITEM_LINE = re.compile(r"^\s*-\s*(.+?)\s*$")
#: Instruments of MedleyDB and Slakh2100 that make the usual stems; others keep their names.
_USUAL_STEMS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("male singer", "female singer", "vocalists", "male rapper", "female rapper",
             "male screamer", "female screamer", "male speaker", "female speaker", "beatboxing"),
            "vocals",
        ),
        **dict.fromkeys(
            ("drum set", "drum machine", "kick drum", "bass drum", "snare drum", "toms",
             "high hat", "cymbal"),
            "drums",
        ),
        **dict.fromkeys(("electric bass", "double bass"), "bass"),
        "strings (continued)": "strings",
    }
)  # fmt: skip


def read_moisesdb(root: Path) -> Reading:
    """Read ``TRACK/STEM/*.wav``; a stem is the sum of its folder's files.

    The track's name is artist and song of ``data.json``, where that is there.
    """
    return _read(root, _is_moisesdb_track, _moisesdb_track)


def read_slakh(root: Path) -> Reading:
    """Read ``[train|validation|test/]TRACK/{mix.flac,metadata.yaml,stems/S00.flac,…}``.

    Stems are the classes of instruments (``piano``, ``guitar``, …), each the sum of its files.
    """
    return _read(root, _is_slakh_track, _slakh_track)


def read_medleydb(root: Path) -> Reading:
    """Read ``NAME/{NAME_MIX.wav,NAME_METADATA.yaml,NAME_STEMS/NAME_STEM_01.wav,…}``.

    Stems are instruments; singers are ``vocals``, parts of the drum set ``drums``, and electric and
    double bass ``bass``.
    """
    return _read(root, _is_medleydb_track, _medleydb_track)


_Made = Track | Problem


def _read(
    root: Path, is_track: Callable[[Path, Path], bool], make: Callable[[Path, str], _Made]
) -> Reading:
    if not root.is_dir():
        return Reading()
    problems: list[Problem] = []
    visited = list(walk(root, problems, depth=3))
    folders = [folder for folder in visited if _holds(is_track, root, folder)]
    if not folders:
        return Reading()
    tracks: list[Track] = []
    for folder in folders:
        try:
            made = make(folder, subset_of(root, folder))
        except UsageError as error:
            made = Problem(folder.name, str(error))
        if isinstance(made, Track):
            tracks.append(made)
        else:
            problems.append(made)
    empty = empty_folders(visited, folders, folders)
    return Reading(tracks, problems, empty_folder_warnings(root, empty, "track of this layout"))


def _holds(is_track: Callable[[Path, Path], bool], root: Path, folder: Path) -> bool:
    try:
        return is_track(root, folder)
    except UsageError:
        return False  # a problem already


def _is_moisesdb_track(root: Path, folder: Path) -> bool:
    """Tell by ``data.json``, or by subfolders with names of stems and no other audio.

    A ``data.json`` that cannot be read counts beside one folder with a stem's name.

    By these alone the root of a data set with a folder a source would be a track as well.
    """
    if "stems" in _json_object(folder / "data.json"):
        return True
    if folder == root or folder.name.lower() in SUBSET_NAMES or is_known_stem(folder.name):
        return False
    if any(path.stem.lower() not in MIXTURE_NAMES for path in audio_files(folder)):
        return False
    inside = [child for child in subfolders(folder) if audio_files(child)]
    known = sum(is_known_stem(child.name) for child in inside)
    return known > (0 if (folder / "data.json").is_file() else 1) and known > len(inside) / 2


def _moisesdb_track(folder: Path, subset: str) -> _Made:
    files: dict[str, list[Path]] = {
        normal_name(child.name).lower(): audio_files(child)
        for child in subfolders(folder)
        if audio_files(child)
    }
    facts = _json_object(folder / "data.json")
    title = " - ".join(str(facts[key]) for key in ("artist", "song") if facts.get(key))
    return _track(title or folder.name, folder, subset, files, audio_files(folder))


def _is_slakh_track(_: Path, folder: Path) -> bool:
    stems = folder / "stems"
    return stems.is_dir() and any(_is_stem_id(path.stem) for path in audio_files(stems))


def _is_stem_id(name: str) -> bool:
    return re.fullmatch(r"S\d+", name, re.I) is not None


def _slakh_track(folder: Path, subset: str) -> _Made:
    instruments = _instruments(folder / "metadata.yaml")
    files: dict[str, list[Path]] = defaultdict(list)
    for path in audio_files(folder / "stems"):
        if path.stem.upper() not in instruments:
            return Problem(folder.name, f"metadata.yaml does not name {path.stem}, left out")
        files[instruments[path.stem.upper()]].append(path)
    return _track(folder.name, folder, subset, files, audio_files(folder))


def _is_medleydb_track(_: Path, folder: Path) -> bool:
    """Tell by any of the names that only MedleyDB has, so that missing parts are reported."""
    name = folder.name.lower()
    if {f"{name}_stems", f"{name}_raw"} & {child.name.lower() for child in subfolders(folder)}:
        return True
    names = {path.stem.lower() for path in audio_files(folder)}
    return names == {f"{name}_mix"} or (folder / f"{folder.name}_METADATA.yaml").is_file()


def _stems_folder(folder: Path) -> Path | None:
    wanted = f"{folder.name}_stems".lower()
    return next((child for child in subfolders(folder) if child.name.lower() == wanted), None)


def _medleydb_track(folder: Path, subset: str) -> _Made:
    name, inside = folder.name, _stems_folder(folder)
    if inside is None:
        return Problem(name, f"has no folder {name}_STEMS, left out")
    instruments = _instruments(folder / f"{name}_METADATA.yaml")
    files: dict[str, list[Path]] = defaultdict(list)
    for path in audio_files(inside):
        stem_id = f"S{path.stem.rpartition('_')[2]}"
        if stem_id not in instruments:
            return Problem(name, f"{name}_METADATA.yaml does not name {path.stem}, left out")
        files[instruments[stem_id]].append(path)
    mixes = [path for path in audio_files(folder) if path.stem == f"{name}_MIX"]
    return _track(name, folder, subset, files, mixes, is_mixture=True)


def _track(
    name: str,
    folder: Path,
    subset: str,
    files: Mapping[str, list[Path]],
    beside: Iterable[Path],
    *,
    is_mixture: bool = False,
) -> _Made:
    """Build a track from the files of each stem and those that lie beside the stems' folders."""
    stems = {
        stem: StemFile(first, others=tuple(map(StemFile, others)))
        for stem, (first, *others) in files.items()
    }
    for path in beside:
        if is_mixture or path.stem.lower() in MIXTURE_NAMES:
            stems[MIXTURE] = StemFile(path)
    return make_track(normal_name(name), folder, subset, stems)


def _json_object(path: Path) -> dict[str, Any]:
    """Return what a small JSON file holds; nothing where it is no object or not there."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_METADATA:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _instruments(path: Path) -> dict[str, str]:
    """Return number of a stem (``S01``) → name, from the lines that say it.

    Raises
    ------
    UsageError
        The file is not there, or cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(_LARGEST_METADATA).splitlines()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{path.name}: {reason}: its stems have no names, left out") from None
    found: dict[str, str] = {}
    stem, awaits_item = "", False
    for line in lines:
        if match := _STEM_LINE.match(line):
            stem, awaits_item = match[1].upper(), False
        elif stem and stem not in found and (match := _FIELD_LINE.match(line)):
            value = match[2].strip("[]").split(",")[0]
            awaits_item = not value
            if value:
                found[stem] = _stem_name(value)
        elif awaits_item and (match := _ITEM_LINE.match(line)):
            found[stem], awaits_item = _stem_name(match[1]), False
    return found


def _stem_name(instrument: str) -> str:
    plain = normal_name(instrument.strip().strip("\"'")).lower()
    return _USUAL_STEMS.get(plain, plain.replace(" ", "_").replace("/", "_"))
