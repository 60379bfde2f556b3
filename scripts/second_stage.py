"""Make a data set for the second model of a chain: songs of which the first has taken its part.

    python scripts/second_stage.py DATASET OUT [--first spleeter-2stems] [--takes vocals]
        [--songs N] [--prefix TEXT]

Of each song the first model estimates the stem that it takes, and what is left of it, true stem
minus estimate, is written in its place; the other stems are links to the files of DATASET. So the
sum of a song's stems is what the second model will be given. With --songs, so many songs are
treated like that, which takes time, and of the others nothing is left of that stem. The prefix
parts songs of several data sets in OUT. A call that was broken off goes on.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import soundfile

from partita import Separator
from partita.datasets import Track, open_dataset

_LEFT_OUT = 1e-4  # what is quieter at its loudest is silence that 16 bits cannot tell


def main() -> None:
    """Write the data set."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", default="spleeter-2stems")
    parser.add_argument("--takes", default="vocals")
    parser.add_argument("--songs", type=int)
    parser.add_argument("--prefix", default="")
    arguments = parser.parse_args()
    separator = Separator(arguments.first, stems=[arguments.takes])
    tracks = list(open_dataset(arguments.data))
    for number, track in enumerate(tracks, 1):
        folder = arguments.out / (arguments.prefix + track.path.name)
        if not folder.exists():
            is_heard = arguments.songs is None or number <= arguments.songs
            write_song(track, arguments.takes, separator if is_heard else None, folder)
        print(f"{number} of {len(tracks)}: {track.name}", flush=True)


def write_song(track: Track, taken: str, separator: Separator | None, folder: Path) -> None:
    """Write the folder of one song, whole or not at all; no separator leaves nothing."""
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, file in track.stems.items():
        if name != taken:
            (partial / f"{name}{file.path.suffix}").symlink_to(file.path.resolve())
    if separator is not None:
        residue, rate = left_of(track, taken, separator)
        if np.abs(residue).max(initial=0.0) > _LEFT_OUT:
            soundfile.write(partial / f"{taken}.flac", residue.T, rate, subtype="PCM_16")
    partial.rename(folder)


def left_of(track: Track, taken: str, separator: Separator) -> tuple[np.ndarray, int]:
    """Return a true stem minus its estimate, ``[channels, samples]`` below ±1, and the rate."""
    stems = {name: audio.samples.numpy() for name, audio in track.load_stems().items()}
    rate = track.sample_rate
    mixture = np.sum(list(stems.values()), axis=0, dtype=np.float32)
    estimate = separator(mixture, rate, keep_rate=True)[taken].samples.numpy()
    residue = stems.get(taken, np.zeros_like(mixture)) - estimate
    return residue.clip(-1, 1 - 2**-15), rate


if __name__ == "__main__":
    main()
