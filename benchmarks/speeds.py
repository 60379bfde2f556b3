"""How fast all weights separate: the column of `partita models`.

    python benchmarks/speeds.py [NAME …] [--seconds 120] [--runs 3]

Two minutes of noise, in memory, with all cores: seconds of music in a second, medians. Weights of
servers other than a package registry are random ones of their configuration: it takes as long.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from partita import Separator
from partita.models import create_model
from partita.weights.card import Card, UrlSource
from partita.weights.cards import CARDS, get_card
from partita.weights.checkpoint import save_checkpoint

RATE = 44100
WARM_UP_S = 5.0


def separator_of(card: Card, folder: Path) -> Separator:
    if not (card.remote and isinstance(card.remote[0], UrlSource)):
        return Separator(card.name)
    checkpoint = folder / f"{card.name}.safetensors"
    save_checkpoint(checkpoint, create_model(card.model, card.config).eval())
    return Separator(str(checkpoint))


def speed_of(separator: Separator, seconds: float, runs: int) -> float:
    """Return seconds of music in a second; the first excerpt, not timed, warms everything up."""
    mixture = np.random.default_rng(0).normal(0, 0.1, (2, round(seconds * RATE)))
    mixture = mixture.astype(np.float32)
    separator(mixture[:, : round(WARM_UP_S * RATE)], RATE)
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        separator(mixture, RATE)
        times.append(time.perf_counter() - started)
    return seconds / statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(CARDS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(f"| {os.cpu_count()} cores | × real time | as shown |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for card in map(get_card, options.names):
            separator = separator_of(card, Path(folder))
            speed = speed_of(separator, options.seconds, options.runs)
            print(f"| {card.name} | {speed:.2f} | {card.speed:g} |", flush=True)


if __name__ == "__main__":
    main()
