"""Make stems of the songs that come with LMMS.

    apt-get install --no-install-recommends lmms lmms-common
    python scripts/lmms_songs.py FOLDER

Every track of every demo song is rendered separately into FOLDER-tracks, classified as drums, bass
or other (`track_stems.py`), and summed: FOLDER gets a folder for each song with drums.flac,
bass.flac, other.flac and a manifest.json with the licence, the stem of each track and its reason,
and the difference between the sum of all tracks and LMMS' mix. Effects on the master are not
additive, and some synthesisers use random numbers. Tracks whose sound contradicts their name are
excluded. No song has vocals. A table of all tracks is printed. Existing songs are kept, so that an
interrupted call resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from free_licences import is_free, licence_of
from lmms_project import RATE, Rendered, Track, blocks, render_tracks
from partita.errors import PartitaError
from track_stems import Measures, measure, stem_of

STEMS = ("drums", "bass", "other")
_MANIFEST = "manifest.json"
_PROJECTS = Path("/usr/share/lmms/projects")
_COPYRIGHT = Path("/usr/share/doc/lmms-common/copyright")
_IN_SOURCE = "data/projects"  # where the copyright file has them
_LEFT_OUT = ""
_PEAK = 0.99
_SILENT_DB = -80.0  # of a song's energy


def main() -> None:
    """Render, classify and sum the tracks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--projects", type=Path, default=_PROJECTS)
    parser.add_argument("--copyright", type=Path, default=_COPYRIGHT)
    arguments = parser.parse_args()
    failed = False
    for project in find_projects(arguments.projects):
        try:
            inside = project.relative_to(arguments.projects)
            licence = licence_of(f"{_IN_SOURCE}/{inside}", arguments.copyright)
            if not is_free(licence):
                print(f"{project.stem}: skipped: its licence is {licence}")
                continue
            print_song(make_song(project, licence, arguments.folder))
        except PartitaError as error:
            failed = True
            print(error, file=sys.stderr)
    sys.exit(failed)


def find_projects(folder: Path) -> list[Path]:
    """Return the demo songs and the short ones, without templates and tutorials."""
    found = [path for part in ("demos", "shorties") for path in (folder / part).rglob("*.mmp*")]
    if not found:
        raise SystemExit(f"{folder} has no songs: apt-get install lmms lmms-common")
    return sorted(found)


def make_song(project: Path, licence: str, folder: Path) -> dict[str, object]:
    """Write a song's stems, unless they exist; return its manifest."""
    out = folder / project.stem
    if not out.exists():
        rendered = render_tracks(project, folder.with_name(f"{folder.name}-tracks") / project.stem)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as work:
            song = Path(work, project.stem)
            song.mkdir()
            facts = {"song": project.stem, "licence": licence, **write_stems(rendered, song)}
            (song / _MANIFEST).write_text(json.dumps(facts, indent=1, ensure_ascii=False))
            song.rename(out)
    manifest: dict[str, object] = json.loads((out / _MANIFEST).read_text())
    return manifest


def write_stems(rendered: Rendered, out: Path) -> dict[str, object]:
    """Classify the tracks, write the stems, and return their entries in the manifest."""
    measured = [measure(blocks(rendered.file(index))) for index in range(len(rendered.tracks))]
    total = sum(measures.energy for measures in measured)
    if total == 0:
        raise PartitaError(f"{out.name}: LMMS rendered only silence")
    mix = read(rendered.mix)
    stems = {stem: np.zeros_like(mix) for stem in (*STEMS, _LEFT_OUT)}
    rows = []
    for index, (track, measures) in enumerate(zip(rendered.tracks, measured, strict=True)):
        stem, reason = "", "silent"
        if decibels(measures.energy / total) > _SILENT_DB:
            stem, reason = stem_of(track, measures)
        into = stem or _LEFT_OUT
        stems = {**stems, into: add(stems[into], read(rendered.file(index)))}
        rows.append(row(track, measures, total, stem, reason))
    length = max(len(samples) for samples in stems.values())
    stems = {stem: add(np.zeros((length, 2), np.float32), part) for stem, part in stems.items()}
    every = np.sum(list(stems.values()), axis=0)[: len(mix)]
    stems = {stem: stems[stem] for stem in STEMS}
    mixture = np.sum(list(stems.values()), axis=0)
    gain = _PEAK / max(_PEAK, *(float(np.abs(x).max()) for x in (mixture, *stems.values())))
    for stem, samples in stems.items():
        soundfile.write(out / f"{stem}.flac", gain * samples, RATE, "PCM_16")
    return {
        "seconds": round(length / RATE, 1),
        "gain": gain * rendered.gain,
        "sum_to_mix_db": round(error_db(every, mix), 1),
        "bands_to_mix_db": round(bands_error_db(every, mix), 1),
        "stems": {stem: facts(measure([samples]), total) for stem, samples in stems.items()},
        "tracks": rows,
    }


def row(
    track: Track, measures: Measures, total: float, stem: str, reason: str
) -> dict[str, object]:
    """Return a track's entry in the manifest."""
    return {
        "name": track.name,
        "plugin": track.plugin,
        "sample": track.sample,
        "keys": [track.keys[0], track.keys[-1], len(set(track.keys))] if track.keys else [],
        "stem": stem,
        "reason": reason,
        **facts(measures, total),
    }


def facts(measures: Measures, total: float) -> dict[str, float]:
    """Return rounded measurements, with the energy relative to the song's."""
    return {
        "energy_db": round(decibels(measures.energy / total), 1),
        "low_share": round(measures.low_share, 2),
        "centroid_hz": round(measures.centroid_hz),
        "percussive_share": round(measures.percussive_share, 2),
        "attack_share": round(measures.attack_share, 2),
    }


def read(path: Path) -> NDArray[np.float32]:
    """Read a file ``[samples, 2]``."""
    samples: NDArray[np.float32] = soundfile.read(path, dtype="float32", always_2d=True)[0]
    return samples


def add(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum of two signals, of the longer one's length."""
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total


def error_db(estimate: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Return the energy of the difference relative to the reference."""
    length = min(len(estimate), len(truth))
    difference = np.square(estimate[:length] - truth[:length], dtype=np.float64).sum()
    return decibels(difference / max(np.square(truth, dtype=np.float64).sum(), 1e-12))


def bands_error_db(estimate: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Return the mean difference of octave levels in frames of 50 ms.

    Random noise and phases of synthesisers change samples but hardly these levels. Levels more than
    50 dB below the loudest are not compared.
    """
    levels = [octave_levels(signal) for signal in (estimate, truth)]
    count = min(len(each) for each in levels)
    first, second = (each[:count] for each in levels)
    loud = second > second.max(initial=-np.inf) - 50
    return float(np.abs(first - second)[loud].mean()) if loud.any() else 0.0


def octave_levels(signal: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return levels in dB ``[frames of 50 ms, octaves]``."""
    length = RATE // 20
    count = len(signal) // length
    frames = signal[: count * length].mean(axis=1).reshape(count, length)
    powers = np.square(np.abs(np.fft.rfft(frames)))
    octaves = np.split(powers, 2 ** np.arange(1, 11), axis=1)  # from bins 20 Hz wide
    return 10 * np.log10(np.stack([octave.sum(axis=1) for octave in octaves], axis=1) + 1e-6)


def decibels(ratio: float) -> float:
    """Return a ratio of energies in dB, at least -120."""
    return float(10 * np.log10(max(ratio, 1e-12)))


def print_song(manifest: Mapping[str, object]) -> None:
    """Print the stem of each track of a song, and measurements of the stems."""
    print(
        f"{manifest['song']}: {manifest['seconds']} s, {manifest['licence']}, "
        f"tracks against mix {manifest['sum_to_mix_db']} dB, "
        f"in octaves {manifest['bands_to_mix_db']} dB"
    )
    tracks, stems = manifest["tracks"], manifest["stems"]
    assert isinstance(tracks, Sequence)
    assert isinstance(stems, Mapping)
    lines = [(f"{each['name']} ({each['plugin']})", each["stem"], each) for each in tracks]
    for name, stem, each in [*lines, *((f"= {stem}", "", stems[stem]) for stem in STEMS)]:
        keys = "{}-{} ({})".format(*each["keys"]) if each.get("keys") else ""
        print(
            f"  {name[:40]:40} {stem:5} {each['energy_db']:6.1f} dB"
            f" {each['low_share']:4.0%} low {each['centroid_hz']:5} Hz"
            f" {each['percussive_share']:4.0%} percussive {each['attack_share']:4.0%} attack"
            f" {keys:12} {each.get('reason', '')}"
        )


if __name__ == "__main__":
    main()
