"""Collect recordings of single instruments from Debian packages: guitars and drums.

    apt-get install sonic-pi-samples fretsonfire-songs-sectoid fretsonfire-songs-muldjord
    python scripts/recorded_stems.py FOLDER

FOLDER gets a folder for each recording with other.flac or drums.flac, and a manifest.json with
its licence: songs of one stem, for remixes (`scripts/four_stems.py --songs FOLDER`). Existing
recordings are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

_RATE, _PEAK = 44100, 0.99
_MANIFEST = "manifest.json"
_FRETS = "usr/share/games/fretsonfire/data/songs"
_LOOPS = "usr/share/sonic-pi/samples"


@dataclass(frozen=True)
class Recording:
    """A recording of one instrument.

    Attributes
    ----------
    name : str
    file : str
        Its path in the package.
    stem, package, licence, author : str
    """

    name: str
    file: str
    stem: str
    package: str
    licence: str
    author: str


def _guitar(pack: str, song: str, licence: str, author: str) -> Recording:
    name = f"{pack} {song.replace('_', ' ')}"
    file = f"{_FRETS}/{pack}/{song}/guitar.ogg"
    return Recording(name, file, "other", f"fretsonfire-songs-{pack}", licence, author)


def _loop(name: str) -> Recording:
    file = f"{_LOOPS}/loop_{name}.flac"
    return Recording(f"loop {name}", file, "drums", "sonic-pi-samples", "CC0-1.0", "Freesound")


#: Sonic Pi's breakbeat is excluded: its loudest sound is a bass at 51 Hz.
RECORDINGS = (
    *(
        _guitar("sectoid", song, "MIT", "Carlos Viola Iborra")
        for song in ("Escape from chaosland", "Feelings", "Metal madness", "War of freedom")
    ),
    *(
        _guitar("muldjord", song, "CC-BY-SA-3.0", "El Senator of Muldjord")
        for song in ("armygeddon", "chaos_god", "internal_degeneration", "mutilated_mime")
    ),
    *map(_loop, ("amen", "amen_full", "industrial", "perc1", "perc2", "safari", "tabla")),
)


def main() -> None:
    """Write all recordings that are installed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--root", type=Path, default=Path("/"), help="root of unpacked packages")
    arguments = parser.parse_args()
    missing = {
        recording.package
        for recording in RECORDINGS
        if not (arguments.root / recording.file).exists()
    }
    if missing:
        parser.error(f"not installed: apt-get install {' '.join(sorted(missing))}")
    total = {"drums": 0.0, "other": 0.0}
    for recording in RECORDINGS:
        total[recording.stem] += write(recording, arguments.root, arguments.folder)
    for stem, seconds in total.items():
        print(f"{stem}: {seconds / 60:.1f} min")


def write(recording: Recording, root: Path, folder: Path) -> float:
    """Write a recording, unless it exists; return its length in seconds."""
    out = folder / recording.name
    audio = out / f"{recording.stem}.flac"
    if not out.exists():
        samples, rate = soundfile.read(root / recording.file, always_2d=True)
        samples = soxr.resample(samples, rate, _RATE)
        samples *= _PEAK / max(_PEAK, np.abs(samples).max())  # Vorbis may exceed full scale
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as work:
            song = Path(work, recording.name)
            song.mkdir()
            soundfile.write(song / audio.name, samples, _RATE, "PCM_16")
            facts = {
                key: getattr(recording, key) for key in ("name", "licence", "author", "package")
            }
            (song / _MANIFEST).write_text(json.dumps(facts, indent=1))
            song.rename(out)
    return float(soundfile.info(audio).duration)


if __name__ == "__main__":
    main()
