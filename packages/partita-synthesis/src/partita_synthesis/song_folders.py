"""Data sets of synthesised songs: a folder for each, complete or absent."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.audio.encode import encode_file
from partita.audio.formats import stem_format
from partita.audio.tags import Tags
from partita.audio.work_folder import work_folder
from partita.datasets.tracks import MIXTURE
from partita.errors import AudioWriteError, UsageError, one_line, write_error
from partita.files import whole_file
from partita.progress import Progress
from partita_synthesis.settings import SynthesisSettings
from partita_synthesis.song import Studio, SynthesizedSong
from partita_synthesis.workers import in_processes

Samples = npt.NDArray[np.float32]

MANIFEST, SONG_FACTS = "manifest.json", "song.json"
_FULL_SCALE = 1 << 15
_BLOCK = 1 << 16  # samples encoded in one go
_PACKED = 0.6  # what FLAC leaves of 16-bit samples, about


def write_songs(
    settings: SynthesisSettings,
    count: int,
    out: Path,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write songs as a data set: ``OUT/SONG/{mixture,STEM}.flac``.

    Samples are 16-bit integers, and the mixture is the sum of the stems to the last bit. Songs that
    are there from an earlier call with the same settings stay: an interrupted call goes
    on where it stopped, and more songs can be added.

    Parameters
    ----------
    settings : SynthesisSettings
    count : int
        How many songs, numbered from 0.
    out : Path
        The folder; made if need be.
    jobs : int, optional
        Processes; one for each core by default. What is written does not depend on it.
    progress : callable, optional
        Called with the seconds of songs that are there, and that there will be.

    Returns
    -------
    dict
        The manifest: settings, licences of all sounds, facts about each song. It lies in the
        folder as ``manifest.json``.

    Raises
    ------
    UsageError
        Wrong settings, or a folder that holds something else.
    AudioWriteError
        The folder cannot be written, or the disk is full.
    """
    if count < 1:
        raise UsageError(f"`songs` must be at least 1, not {count}")
    studio = Studio(settings)
    try:
        songs = _songs_there(out, settings)
        with work_folder(out) as work:
            missing = [number for number in range(count) if number not in songs]
            _check_room(settings, len(missing), out)
            task = _Task(studio, work, out)
            with closing(in_processes(task, missing, jobs or os.cpu_count() or 1)) as written:
                for number, facts in written:
                    songs[number] = facts
                    if progress is not None:
                        total = max(count, len(songs))
                        progress(len(songs) * settings.duration_s, total * settings.duration_s)
            manifest = _manifest(settings, [songs[number] for number in sorted(songs)])
            with whole_file(out / MANIFEST) as partial:
                partial.write_text(json.dumps(manifest, indent=1), "utf-8")
    except OSError as error:
        raise write_error(out, error) from error
    return manifest


@dataclasses.dataclass(frozen=True)
class _Task:
    """Makes and writes one song."""

    studio: Studio
    work: Path
    out: Path

    def __call__(self, number: int) -> tuple[int, dict[str, Any]]:
        song = self.studio.song(number)
        made = self.work / str(number)
        made.mkdir()
        facts = {"name": song.name, **song.facts, "settings": _as_json(self.studio.settings)}
        for name, samples in _rounded(song).items():
            encode_file(
                made / f"{name}.flac",
                _blocks(samples),
                stem_format("flac", "16", None),
                sample_rate=song.sample_rate,
                channels=len(samples),
                frames=samples.shape[1],
                tags=Tags(),
            )
        (made / SONG_FACTS).write_text(json.dumps(facts, indent=1), "utf-8")
        made.replace(self.out / song.name)
        return number, facts


def _rounded(song: SynthesizedSong) -> dict[str, Samples]:
    """Return stems as 16-bit integers hold them, and a mixture that is their sum exactly."""
    stems = {}
    mixture = np.zeros_like(song.mixture)
    for name, samples in song.stems.items():
        stem = samples * np.float32(_FULL_SCALE)
        np.rint(stem, out=stem)
        stem *= np.float32(1 / _FULL_SCALE)
        mixture += stem  # exact: float32 holds sums of a few such numbers
        stems[name] = stem
    return {MIXTURE: mixture, **stems}


def _blocks(samples: Samples) -> Iterator[Samples]:
    for begin in range(0, samples.shape[1], _BLOCK):
        yield samples[:, begin : begin + _BLOCK]


def _songs_there(out: Path, settings: SynthesisSettings) -> dict[int, dict[str, Any]]:
    """Return number → facts of the songs in a folder, which may hold nothing else."""
    name = one_line(out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{name}: is a file, not a folder")
    songs: dict[int, dict[str, Any]] = {}
    for entry in sorted(out.iterdir()) if out.exists() else []:
        if entry.name == MANIFEST or entry.name.startswith("."):
            continue
        facts = _read_facts(entry)
        if facts is None:
            raise UsageError(
                f"{name}: holds {one_line(entry.name)}, which is no synthesised song: "
                "choose an empty folder"
            )
        if facts["settings"] != _as_json(settings):
            raise UsageError(
                f"{name}: holds songs of other settings: choose another folder or remove them"
            )
        songs[facts["number"]] = facts
    return songs


def _read_facts(folder: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads((folder / SONG_FACTS).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and {"settings", "number"} <= facts.keys() else None


def _as_json(settings: SynthesisSettings) -> dict[str, Any]:
    """Return settings as JSON gives them back."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return plain


def _check_room(settings: SynthesisSettings, songs: int, out: Path) -> None:
    files = len(settings.stems) + 1
    samples = round(settings.duration_s * settings.sample_rate) * settings.channels
    needed = round(2 * samples * files * songs * _PACKED)  # bytes
    free = shutil.disk_usage(out).free
    if needed > free:
        raise AudioWriteError(
            f"cannot write {one_line(out)}: {songs} songs need about {needed / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free: ask for fewer, or choose another folder (`out`)"
        )


def _manifest(settings: SynthesisSettings, songs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    players = [player for song in songs for player in song["players"]]
    licences = {player["sound"]: player["licence"] for player in players}
    return {
        "settings": _as_json(settings),
        "licences": dict(sorted(licences.items())),
        "songs": [{k: v for k, v in song.items() if k != "settings"} for song in songs],
    }
