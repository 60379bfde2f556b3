"""What parts of the synthesiser are worth: small networks taught without them, on real songs.

    python packages/partita-synthesis/benchmarks/ablation.py --data FOLDER --out RUNS
        [--variants all no-amplifier …] [--seeds 0 1 2] [--songs 60] [--duration 10] [--steps 400]

FOLDER holds real songs to score on. For each seed and variant, songs are synthesised in mono, at
the same seed the same music, and a small Open-Unmix learns from them, from the same first weights
and in the same order. The table holds means of SDR over stems (`benchmarks/common.py`), the mean
over seeds of the difference to ``all``, and in how many seeds it is positive. RUNS keeps what is
done: a run that was broken off goes on, and more seeds or variants can be added. A variant that was
taught by another version of the package is added with ``--variants all --name after``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from partita.datasets import open_dataset
from partita_synthesis import SynthesisSettings, sounds, write_songs

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
from common import OVERALL, STEMS, score, train, with_model

RATE = 16000
NETWORK = {
    **{"sample_rate": RATE, "fft_samples": 1024, "hop_samples": 512, "bandwidth_hz": RATE / 2},
    **{"hidden": 64, "excerpt_s": 3.0, "batch_size": 8, "steps_per_epoch": 50},
    **{"valid_tracks": 0, "workers": 1},
}


def changed(module: Any, name: str, change: Callable[[Any], Any]) -> None:
    """Let a function of a module return something else."""
    function = getattr(module, name)
    setattr(module, name, lambda *given, **named: change(function(*given, **named)))


def without(**fields: Any) -> Callable[[Any], Any]:
    """Return what replaces fields of a data class."""
    return lambda value: dataclasses.replace(value, **fields)


#: How each variant is made, in the process that synthesises its songs.
VARIANTS: dict[str, Callable[[], object]] = {
    "all": lambda: None,
    "no-amplifier": lambda: changed(sounds, "draw_sound", without(amplifier=None)),
    "no-electronic": lambda: sounds._OWN_SHARE.update(drums=0, bass=0, lead=0, pad=0),
}


def synthesise(variant: str, seed: int, out: Path, options: argparse.Namespace) -> None:
    """Write the songs of a variant."""
    VARIANTS[variant]()
    if variant == "no-amplifier":
        from partita_synthesis import song

        song.draw_sound = sounds.draw_sound
    settings = SynthesisSettings(
        STEMS,
        options.duration,
        RATE,
        channels=1,
        seed=seed,
    )
    write_songs(settings, options.songs, out, jobs=1)


def teach(variant: str, seed: int, folder: Path, options: argparse.Namespace) -> None:
    """Let a network learn from a variant, and keep its scores."""
    kept = folder / "scores.json"
    if kept.is_file():
        return
    again = [sys.executable, __file__, "--data", options.data, "--out", folder / "songs"]
    again += ["--songs", options.songs, "--duration", options.duration]
    again += ["--synthesise", variant, "--seeds", seed]
    subprocess.run([str(part) for part in again], check=True)
    settings = [f"{name}={value}" for name, value in NETWORK.items()]
    settings += [f"sources={','.join(STEMS)}", f"seed={seed}"]
    settings += [f"epochs={options.steps // NETWORK['steps_per_epoch']}"]
    cores = os.cpu_count() or 1
    weights = train("umx-tiny", folder / "songs", folder / "training", settings, cores)
    scores = score(with_model(weights), list(open_dataset(options.data)))
    kept.write_text(json.dumps(scores, indent=1))
    shutil.rmtree(folder / "songs")


def show(found: dict[str, dict[int, float]], seeds: list[int]) -> None:
    """Print the table in Markdown."""
    print(f"\n| | {' | '.join(f'seed {seed}' for seed in seeds)} | beside all | better |")
    print(f"|---|{'---|' * (len(seeds) + 2)}")
    for name, row in found.items():
        cells = [f"{row[seed]:.2f}" if seed in row else "" for seed in seeds]
        both = [row[seed] - found["all"][seed] for seed in row if seed in found.get("all", {})]
        gain = f"{np.mean(both):+.2f} ± {np.std(both):.2f}" if both else ""
        better = f"{sum(value > 0 for value in both)} of {len(both)}"
        print(f"| {name} | {' | '.join([*cells, gain, better])} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--name", help="row of the table, for a single variant")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--songs", type=int, default=60)
    parser.add_argument("--duration", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--synthesise", metavar="VARIANT", help="songs only; the script's own use")
    options = parser.parse_args()
    if options.synthesise:
        synthesise(options.synthesise, options.seeds[0], options.out, options)
        return
    for seed in options.seeds:
        for variant in options.variants:
            folder = options.out / (options.name or variant) / str(seed)
            folder.mkdir(parents=True, exist_ok=True)
            teach(variant, seed, folder, options)
            found = {
                row.name: {
                    int(path.parent.name): float(json.loads(path.read_text())[OVERALL]["SDR"])
                    for path in sorted(row.glob("*/scores.json"))
                }
                for row in sorted(options.out.iterdir())
            }
            show(found, sorted({number for row in found.values() for number in row}))


if __name__ == "__main__":
    main()
