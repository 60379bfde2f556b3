"""Processor time to draw a training excerpt: settings of augmentation, one core, medians.

    python benchmarks/augmentation.py [--excerpts 100]

Excerpts of 3 s from the project's own song, four stems, stereo, 44.1 kHz; every excerpt is
augmented with the settings of its row.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from partita import Audio
from partita.datasets import open_dataset
from partita.training.augmentation import NO_AUGMENTATION, Augmentation
from partita.training.cache.decode_dataset import decode_dataset
from partita.training.cache.decoded_songs import DecodedSongs
from partita.training.excerpts import draw_excerpt
from partita.training.recipes import load_recipe

sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))
from example_song import render

RATE, SECONDS = 44100, 3.0


def settings() -> dict[str, Augmentation]:
    recipe = load_recipe("accompaniment-stems").augmentation
    changes: dict[str, dict[str, object]] = {
        "gains and positions": {"gains_db": [-8.0, 4.0], "pan": 1.0, "change_width": 1.0},
        "equaliser": {"equaliser_db": 4.0},
        "tilt and band limit of the mixture": {
            "tilted_mixtures": 1.0,
            "band_limited_mixtures": 1.0,
        },
        "equaliser, tilt and band limit": {
            "equaliser_db": 4.0,
            "tilted_mixtures": 1.0,
            "band_limited_mixtures": 1.0,
        },
        "codec": {"coded_mixtures": 1.0},
        "noise": {"noisy_mixtures": 1.0},
    }
    return {
        "none": NO_AUGMENTATION,
        **{name: dataclasses.replace(NO_AUGMENTATION, **each) for name, each in changes.items()},
        "accompaniment-stems, without speed": dataclasses.replace(recipe, speed_percent=0.0),
        "accompaniment-stems": recipe,
    }


def milliseconds(songs: DecodedSongs, augmentation: Augmentation, count: int) -> list[float]:
    times = []
    for index in range(count):
        started = time.process_time()
        draw_excerpt(songs, round(SECONDS * RATE), augmentation, 0, index)
        times.append(1000 * (time.process_time() - started))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--excerpts", type=int, default=100)
    count = parser.parse_args().excerpts
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for track in ("a", "b"):
            for stem, samples in render(sample_rate=RATE).items():
                path = folder / "songs" / track / f"{stem}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                Audio(torch.as_tensor(samples), RATE).save(path)
        dataset = open_dataset(folder / "songs")
        sources = tuple(dataset.tracks[0].stems)
        songs = decode_dataset(
            dataset, sources, sample_rate=RATE, channels=2, folder=folder / "decoded"
        )
        print("| augmentation | mean, ms | median, ms |\n|---|---|---|")
        for row, augmentation in settings().items():
            times = milliseconds(songs, augmentation, count)
            print(f"| {row} | {statistics.mean(times):.1f} | {statistics.median(times):.1f} |")


if __name__ == "__main__":
    main()
