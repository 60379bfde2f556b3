"""Speed and memory of all weights: columns of `partita models`.

    python benchmarks/speeds.py [NAME …] [--seconds 120] [--runs 3] [--memory 60 240]

Two minutes of music in memory on all cores: seconds of music per second, medians, and CPU seconds
per second of music, which are more meaningful on a busy machine. With --memory, peak memory of
complete ``partita separate`` processes for songs of the given lengths instead. Weights outside
package registries are replaced by random ones of the same configuration, or of their architecture's
default if only the file states it: time and memory are the same. Bags must be named.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from common import make_song, measure
from partita import Audio, Separator
from partita.models import create_model
from partita.weights.card import Card, UrlSource
from partita.weights.cards import CARDS, get_card
from partita.weights.checkpoint import save_checkpoint

RATE = 44100
WARM_UP_S = 5.0
#: Configurations of networks whose files state them, with the same number of weights.
OF_FILES = {"htdemucs_6s": {"bottom_channels": 0}}


def model_of(card: Card, folder: Path) -> str:
    """Return the card's name, or checkpoints of random weights if its weights cannot be fetched."""
    if card.members:
        return ",".join(model_of(get_card(member.model), folder) for member in card.members)
    if not (card.remote and isinstance(card.remote[0], UrlSource)):
        return card.name
    checkpoint = folder / f"{card.name}.safetensors"
    config = {**card.config, **OF_FILES.get(card.name, {})}
    save_checkpoint(checkpoint, create_model(card.model, config).eval())
    return str(checkpoint)


def speed_of(separator: Separator, seconds: float, runs: int) -> tuple[float, float]:
    """Return seconds of music per second, and CPU seconds per second of music, after a warm-up."""
    mixture = make_song(seconds, RATE).numpy()
    separator(mixture[:, : round(WARM_UP_S * RATE)], RATE)
    times, used = [], []
    for _ in range(runs):
        started, started_cpu = time.perf_counter(), time.process_time()
        separator(mixture, RATE)
        times.append(time.perf_counter() - started)
        used.append(time.process_time() - started_cpu)
    return seconds / statistics.median(times), statistics.median(used) / seconds


def peak_gb(model: str, seconds: float, folder: Path) -> float:
    """Return the peak memory in GB of a process that separates this many seconds."""
    song = folder / f"{seconds:g}.wav"
    if not song.exists():
        Audio(make_song(seconds, RATE), RATE).save(song)
    command = [sys.executable, "-m", "partita", "separate", str(song), "-n", model, "--quiet"]
    return measure([*command, "--out", str(folder / "out"), "--overwrite"]).peak_mb / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = [name for name, card in CARDS.items() if not (card.members or card.member_of)]
    parser.add_argument("names", nargs="*", default=known, metavar="NAME")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory", type=float, nargs="+", metavar="SECONDS")
    options = parser.parse_args()
    if options.memory:
        print(f"| GB for | {' | '.join(f'{s:g} s' for s in options.memory)} |", flush=True)
    else:
        print(f"| {os.cpu_count()} cores | × real time | processor s for a s | as shown |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for card in map(get_card, options.names):
            model = model_of(card, folder)
            if options.memory:
                peaks = [f"{peak_gb(model, seconds, folder):.2f}" for seconds in options.memory]
                print(f"| {card.name} | {' | '.join(peaks)} |", flush=True)
                continue
            speed, used = speed_of(Separator(model), options.seconds, options.runs)
            print(f"| {card.name} | {speed:.2f} | {used:.3f} | {card.speed:g} |", flush=True)


if __name__ == "__main__":
    main()
