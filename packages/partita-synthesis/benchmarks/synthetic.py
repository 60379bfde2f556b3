"""What a small network learns from synthetic songs alone, scored on real ones.

    python packages/partita-synthesis/benchmarks/synthetic.py --data FOLDER --out RUNS
        [--subset test] [--songs 240] [--duration 12] [--seed 11] [--recipe umx-tiny]
        [--set KEY=VALUE …]

FOLDER holds real tracks, of the subset named or all; their stems are what is learned (name them
with --stems where tracks lack some). Synthetic songs, mono, go to RUNS/songs, and the training to
RUNS/training; what is there already stays and goes on. Scores are those of `benchmarks/common.py`:
beside the network stand the mixture, and plain HPSS, whose percussive part is taken for drums and
for the rest of a guitar, and whose harmonic part for everything else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

import partita

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
from common import METRICS, OVERALL, Scores, Separate, score, score_mixture, train, with_model
from partita.datasets import open_dataset
from partita.datasets.tracks import order_stems

PERCUSSIVE = ("drums", "rest")


def synthesise(out: Path, stems: list[str], options: argparse.Namespace) -> float:
    """Write the songs; return how long it took."""
    command = [sys.executable, "-m", "partita", "data", "synthesize", "--mono", "--out", out]
    command += ["--stems", ",".join(stems), "--songs", options.songs, "--seed", options.seed]
    command += ["--duration", options.duration, "--quiet", *options.synthesize]
    command += ["--jobs", max(1, (os.cpu_count() or 1) // options.beside)]
    started = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True)
    return time.perf_counter() - started


def with_hpss() -> Separate:
    """Return what takes the percussive part for drums and the harmonic one for the others."""
    separator = partita.Separator("hpss")

    def separate(mixture: np.ndarray, rate: int) -> dict[str, np.ndarray]:
        estimates = separator(mixture, rate, keep_rate=True)
        parts = {name: audio.samples.numpy().mean(axis=0, keepdims=True)
                 for name, audio in estimates.items()}  # fmt: skip
        estimates_of_stems = defaultdict(lambda: parts["harmonic"])
        return estimates_of_stems | dict.fromkeys(PERCUSSIVE, parts["percussive"])

    return separate


def show(rows: dict[str, Scores], stems: list[str]) -> None:
    """Print the table in Markdown."""
    print(f"| {' / '.join(METRICS)}, dB | {' | '.join([*stems, OVERALL])} |")
    print(f"|---|{'---|' * (len(stems) + 1)}")
    for name, scores in rows.items():
        cells = [" / ".join(f"{scores[s][m]:.2f}" for m in METRICS) for s in [*stems, OVERALL]]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--subset")
    parser.add_argument("--stems")
    parser.add_argument("--songs", type=int, default=240)
    parser.add_argument("--duration", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--recipe", default="umx-tiny")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--beside", type=int, default=1, help="how many of these share the cores")
    parser.add_argument(
        "--synthesize", nargs=argparse.REMAINDER, default=[], help="more options of the synthesis"
    )
    options = parser.parse_args()
    tracks = list(open_dataset(options.data, subset=options.subset))
    stems = order_stems({name for track in tracks for name in track.stems})
    if options.stems:
        stems = options.stems.split(",")
    songs_s = synthesise(options.out / "songs", stems, options)
    started = time.perf_counter()
    settings = [f"sources={','.join(stems)}", "workers=1", *options.settings]
    songs, training = options.out / "songs", options.out / "training"
    weights = train(options.recipe, songs, training, settings, options.beside)
    print(f"{songs_s:.0f} s of synthesis, {time.perf_counter() - started:.0f} s of training")
    rows = {
        "mixture": score_mixture(tracks),
        "HPSS": score(with_hpss(), tracks),
        options.recipe: score(with_model(weights), tracks),
    }
    show(rows, stems)


if __name__ == "__main__":
    main()
