"""Comparison of all networks: the same steps, excerpts and songs, one seed.

    python benchmarks/networks.py --data FOLDER --out RUNS [--steps 320] [--only NAME…]

FOLDER holds tracks in ``train/`` and ``test/``. Recipes are trained `--jobs` at a time, scaled down
alike: mono at 22.05 kHz, batches of four excerpts of two seconds, learning rate 1e-3; losses and
optimisers are the recipes' own, no track is held out, the last weights count. Existing
trainings are resumed or used as they are. Then the test tracks are scored as in `common.py`.

Multiply-adds are those of matrix products, convolutions and LSTMs for a second of audio, windows
without their overlap. Speeds are measured on an idle machine: training on one core in
seconds of excerpts per second; separation of a minute on all cores in seconds of music per second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from common import (
    METRICS,
    OVERALL,
    Scores,
    multiply_adds,
    score,
    score_mixture,
    train,
    with_model,
)
from partita import Separator
from partita.datasets import open_dataset
from partita.models._protocol import SeparationModel
from partita.training.losses import TrainingStep
from partita.training.recipes import load_recipe
from partita.training.run import Start

RATE, BATCH, EXCERPT_S, EPOCH = 22050, 4, 2.0, 40
ALIKE = (
    f"sample_rate={RATE}",
    "channels=1",
    f"batch_size={BATCH}",
    f"excerpt_s={EXCERPT_S}",
    "accumulate=1",
    "learning_rate=1e-3",
    "valid_tracks=0",
    "workers=1",
    "seed=0",
)
_SHORT = ("fft_samples=1024", "hop_samples=512")
_SMALL_DEMUCS = ("hidden=32", "depth=4", "lstm_layers=2", "bidirectional=true")


@dataclass(frozen=True)
class Entrant:
    """A recipe, and the settings that scale it down."""

    recipe: str
    settings: tuple[str, ...] = ()


#: The slowest first, so that all cores stay busy.
ENTRANTS = {
    "mmdensenet": Entrant(
        "mmdensenet",
        (
            *_SHORT,
            "splits_hz=5512.5",
            "blocks=8x3 8x3 8x3 8x3 8x3 8x3 8x3,6x2 6x2 6x2 6x2 6x2 6x2 6x2,"
            "4x2 4x2 4x2 4x2 4x2 4x2 4x2",
            "first_channels=16,16,8",
        ),
    ),
    "mmdenselstm": Entrant(
        "mmdenselstm",
        (
            *_SHORT,
            "splits_hz=2050,5512.5",
            "blocks=8x3 8x3 8x3 8x3+32 8x3 8x3+32 8x3,4x2 4x2 4x2 4x2+8 4x2 4x2 4x2,"
            "2x1 2x1 +4 2x1 2x1,4x2 4x2 4x2 4x3 4x3+32 4x3 4x2 4x2+32 4x2",
            "first_channels=16,16,16,8",
        ),
    ),
    "demucs-light": Entrant("demucs-light"),
    "demucs": Entrant("demucs-paper", _SMALL_DEMUCS),
    "demucs-multidecoder": Entrant("demucs-multidecoder", (*_SMALL_DEMUCS, "loss=l2")),
    "unet": Entrant(
        "unet",
        ("fft_samples=2048", "hop_samples=512", "bins=512", "frames=96", "widths=16,32,64,128,256"),
    ),
    "conv-tasnet-light": Entrant("conv-tasnet-light"),
    "umx-tiny": Entrant("umx-tiny", (*_SHORT, "bandwidth_hz=11025")),
}


def settings_of(entrant: Entrant) -> list[str]:
    """Return all differences from the recipe except the number of steps."""
    return [*ALIKE, *entrant.settings]


def training_speed(model: SeparationModel, loss: str) -> float:
    """Return the seconds of excerpts per second of training on one core."""
    step = TrainingStep(model, loss).train()
    optimiser = torch.optim.Adam(step.parameters())
    rows = 0.1 * torch.randn(BATCH, len(model.learned), 1, round(EXCERPT_S * RATE))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    elapsed = []
    for _ in range(5):
        started = time.perf_counter()
        optimiser.zero_grad()
        step(rows).total.backward()
        optimiser.step()
        elapsed.append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    return BATCH * EXCERPT_S / statistics.median(elapsed[1:])


def separation_speed(weights: Path) -> float:
    """Return the seconds of music per second of separation on all cores."""
    separator, seconds = Separator(str(weights)), 60
    song = 0.1 * torch.randn(1, seconds * RATE)
    elapsed = []
    for _ in range(3):
        started = time.perf_counter()
        separator(song, RATE)
        elapsed.append(time.perf_counter() - started)
    return seconds / statistics.median(elapsed)


def costs(entrant: Entrant, weights: Path) -> dict[str, float]:
    """Return the costs of a trained model."""
    recipe, model = Start(load_recipe(entrant.recipe), settings_of(entrant)).resolve()
    return {
        "millions": sum(p.numel() for p in model.parameters()) / 1e6,
        "gmac": multiply_adds(model) / 1e9,
        "training": training_speed(model, recipe.training.loss),
        "separation": separation_speed(weights),
    }


def print_scores(scores: dict[str, Scores]) -> None:
    targets = list(next(iter(scores.values())))
    print(f"\n| SDR / SIR / SAR, dB | {' | '.join(targets)} |")
    print("|---" * (len(targets) + 1) + "|")
    for name, rows in scores.items():
        cells = (" / ".join(f"{rows[target][metric]:.2f}" for metric in METRICS)
                 for target in targets)  # fmt: skip
        print(f"| `{name}` | {' | '.join(cells)} |")


def print_costs(found: dict[str, dict[str, float]]) -> None:
    print("\n| | parameters | multiply-adds | training, one core | separation |")
    print("|---|---|---|---|---|")
    for name, row in found.items():
        print(
            f"| `{name}` | {row['millions']:.2f} M | {row['gmac']:.2f} G/s "
            f"| {row['training']:.2f}× real time | {row['separation']:.1f}× real time |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=320)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=ENTRANTS, default=list(ENTRANTS))
    options = parser.parse_args()
    length = (f"epochs={options.steps // EPOCH}", f"steps_per_epoch={EPOCH}")

    def train_one(name: str) -> Path:
        settings = [*settings_of(ENTRANTS[name]), *length]
        out = options.out / name
        return train(ENTRANTS[name].recipe, options.data, out, settings, options.jobs)

    with ThreadPoolExecutor(options.jobs) as pool:
        weights = dict(zip(options.only, pool.map(train_one, options.only), strict=True))
    tracks = list(open_dataset(options.data, subset="test"))
    scores = {"mixture": score_mixture(tracks)}
    for name, path in weights.items():
        scores[name] = score(with_model(path), tracks)
        print(f"{name}: mean SDR {scores[name][OVERALL]['SDR']:.2f} dB", flush=True)
    found = {name: costs(ENTRANTS[name], path) for name, path in weights.items()}
    (options.out / "scores.json").write_text(json.dumps({"scores": scores, "costs": found}))
    print_scores(scores)
    print_costs(found)


if __name__ == "__main__":
    main()
