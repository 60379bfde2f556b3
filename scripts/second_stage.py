"""Make a data set for the second model of a chain: songs without the first model's stem.

    python scripts/second_stage.py DATASET OUT [--first spleeter-2stems] [--stem vocals]
        [--songs N] [--prefix TEXT]

The first model estimates its stem of each song. The stem is replaced by its residual, true stem
minus estimate; the other stems are links to the files of DATASET. So the sum of a song's stems is
the input of the second model. With --songs, only so many songs are separated, which takes time; the
others have no such stem. The prefix distinguishes songs of several data sets in OUT. An interrupted
call resumes.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import soundfile

from partita import Separator
from partita.datasets import Track, open_dataset

_SILENT = 1e-4  # a lower peak is silence in 16 bits


def main() -> None:
    """Write the data set."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", default="spleeter-2stems")
    parser.add_argument("--stem", default="vocals")
    parser.add_argument("--songs", type=int)
    parser.add_argument("--prefix", default="")
    arguments = parser.parse_args()
    separator = Separator(arguments.first, stems=[arguments.stem])
    tracks = list(open_dataset(arguments.data))
    for number, track in enumerate(tracks, 1):
        folder = arguments.out / (arguments.prefix + track.path.name)
        if not folder.exists():
            is_separated = arguments.songs is None or number <= arguments.songs
            write_song(track, arguments.stem, separator if is_separated else None, folder)
        print(f"{number} of {len(tracks)}: {track.name}", flush=True)


def write_song(track: Track, stem: str, separator: Separator | None, folder: Path) -> None:
    """Write the folder of one song, complete or not at all."""
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, file in track.stems.items():
        if name != stem:
            (partial / f"{name}{file.path.suffix}").symlink_to(file.path.resolve())
    if separator is not None:
        difference, rate = residual(track, stem, separator)
        if np.abs(difference).max(initial=0.0) > _SILENT:
            soundfile.write(partial / f"{stem}.flac", difference.T, rate, subtype="PCM_16")
    partial.rename(folder)


def residual(track: Track, stem: str, separator: Separator) -> tuple[np.ndarray, int]:
    """Return a true stem minus its estimate, ``[channels, samples]`` below ±1, and the rate."""
    stems = {name: audio.samples.numpy() for name, audio in track.load_stems().items()}
    rate = track.sample_rate
    mixture = np.sum(list(stems.values()), axis=0, dtype=np.float32)
    estimate = separator(mixture, rate, keep_rate=True)[stem].samples.numpy()
    difference = stems.get(stem, np.zeros_like(mixture)) - estimate
    return difference.clip(-1, 1 - 2**-15), rate


if __name__ == "__main__":
    main()
