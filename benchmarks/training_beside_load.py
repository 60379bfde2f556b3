"""Speed of `partita train` beside busy programs, with several thread settings.

    python benchmarks/training_beside_load.py [--recipe umx-tiny] [--seconds 15] [--rounds 2]

Each figure is a separate training, excerpts drawn from noise included. Settings alternate, with no,
one and eight busy processes beside them. Steps per second, medians.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

#: Settings of the recipe, and of the environment.
WAYS: dict[str, tuple[list[str], dict[str, str]]] = {
    "`partita train`": ([], {}),
    "`threads=0`": (["threads=0"], {}),
    "`threads=0`, long loops": (["threads=0"], {"GOMP_SPINCOUNT": "300000"}),  # PyTorch's default
    "`threads=0`, `OMP_WAIT_POLICY=PASSIVE`": (["threads=0"], {"OMP_WAIT_POLICY": "PASSIVE"}),
    "`threads=1`": (["threads=1"], {}),
}
BUSY = [sys.executable, "-c", "while True: pass"]
_STEPS = 5  # an epoch
_RATE = 44100


def write_songs(folder: Path) -> None:
    """Write three songs of noise."""
    rng = np.random.default_rng(0)
    for index in range(3):
        song = folder / f"song {index}"
        song.mkdir(parents=True)
        for stem in ("vocals", "drums", "bass", "other"):
            soundfile.write(song / f"{stem}.wav", 0.1 * rng.normal(size=(20 * _RATE, 2)), _RATE)


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    running = [subprocess.Popen(BUSY) for _ in range(count)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def steps_per_second(way: str, data: Path, options: argparse.Namespace) -> float:
    """Train for some seconds; the first epoch does not count if there are more."""
    settings, environment = WAYS[way]
    others = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "MKL_"))}
    settings = [
        *settings,
        f"minutes={options.seconds / 60}",
        f"steps_per_epoch={_STEPS}",
        "valid_tracks=0",
    ]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "partita", "train", options.recipe, "--data", str(data)]
        command += ["--out", f"{folder}/run", "--quiet"]
        command += [part for setting in settings for part in ("--set", setting)]
        home = {"PARTITA_HOME": str(data.parent / "home")}
        subprocess.run(command, env=others | home | environment, check=True)
        with (Path(folder) / "run" / "losses.csv").open() as file:
            rows = list(csv.DictReader(file))
    first = rows[0] if len(rows) > 1 else {"step": "0", "seconds": "0"}  # very slow: count it
    steps = float(rows[-1]["step"]) - float(first["step"])
    return steps / (float(rows[-1]["seconds"]) - float(first["seconds"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", default="umx-tiny")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--busy", type=int, nargs="*", default=[0, 1, 8])
    options = parser.parse_args()
    found: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "songs"
        write_songs(data)
        for _ in range(options.rounds):
            for busy in options.busy:
                for way in WAYS:
                    with busy_processes(busy):
                        rate = steps_per_second(way, data, options)
                    found.setdefault((way, busy), []).append(rate)
    print(f"| {options.recipe}, steps/s, {os.cpu_count()} cores | {' | '.join(WAYS)} |")
    print("|---" * (len(WAYS) + 1) + "|")
    for busy in options.busy:
        cells = (f"{statistics.median(found[way, busy]):.2f}" for way in WAYS)
        print(f"| {busy} busy processes | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
