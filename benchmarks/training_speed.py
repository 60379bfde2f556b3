"""Steps per second of ``partita train`` and of a plain loop around openunmix's own network.

    python benchmarks/training_speed.py [--seconds 15] [--rounds 2] [--busy 0 1]

Both train the recipe ``umx-tiny``: mono, four sources, batches of eight excerpts of 4 s from the
same wav files. The plain loop is what openunmix's ``train.py`` does: its own transform and network,
one for each source, a `DataLoader` that reads the excerpts with soundfile, Adam, mean squared
error.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from training_beside_load import WAYS, busy_processes, steps_per_second, write_songs

STEMS = ("vocals", "drums", "bass", "other")
RATE, EXCERPT_S, BATCH, HIDDEN = 44100, 4.0, 8, 64
RECIPE, OURS = "umx-tiny", next(iter(WAYS))


class Excerpts(Dataset):  # type: ignore[misc]
    """Random excerpts ``[stems, 1, samples]`` of the songs in a folder."""

    def __init__(self, folder: Path) -> None:
        self._songs = sorted(path for path in folder.iterdir() if path.is_dir())
        self._random = np.random.default_rng(0)

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> Tensor:
        song, count = self._songs[index % len(self._songs)], round(EXCERPT_S * RATE)
        start = int(self._random.integers(20 * RATE - count))
        stems = []
        for name in STEMS:
            path = song / f"{name}.wav"
            samples, _ = soundfile.read(path, count, start, dtype="float32", always_2d=True)
            stems.append(torch.from_numpy(samples.mean(axis=1, keepdims=True).T))
        return torch.stack(stems)


def plain_steps_per_second(folder: Path, seconds: float) -> float:
    """Train as openunmix does for some seconds, after a first step."""
    sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))  # imported but not used
    from openunmix.model import OpenUnmix
    from openunmix.transforms import ComplexNorm, TorchSTFT

    torch.manual_seed(0)
    transform = nn.Sequential(TorchSTFT(n_fft=2048, n_hop=1024), ComplexNorm(mono=True))
    seen = round(16000 / RATE * 2048)
    networks = nn.ModuleList(
        OpenUnmix(nb_bins=1025, nb_channels=1, hidden_size=HIDDEN, nb_layers=1, max_bin=seen)
        for _ in STEMS
    )
    optimiser = torch.optim.Adam(networks.parameters(), lr=2e-3)
    started, steps = time.perf_counter(), 0
    for stems in DataLoader(Excerpts(folder), batch_size=BATCH):
        mixture = transform(stems.sum(dim=1))
        loss = torch.stack(
            [
                nn.functional.mse_loss(network(mixture), transform(stems[:, number]))
                for number, network in enumerate(networks)
            ]
        ).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        steps += 1
        if steps == 1:
            started = time.perf_counter()
        elif time.perf_counter() - started > seconds:
            break
    return (steps - 1) / (time.perf_counter() - started)


def run(seconds: float, rounds: int, busy: tuple[int, ...]) -> Mapping[int, list[list[float]]]:
    """Return busy processes → steps per second of both, ours first, in each round."""
    found: dict[int, list[list[float]]] = {count: [] for count in busy}
    options = argparse.Namespace(recipe=RECIPE, seconds=seconds)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "songs"
        write_songs(data)
        for _ in range(rounds):
            for count, rates in found.items():
                with busy_processes(count):
                    ours = steps_per_second(OURS, data, options)
                    rates.append([ours, plain_steps_per_second(data, seconds)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--busy", type=int, nargs="*", default=[0, 1])
    options = parser.parse_args()
    for count, rates in run(options.seconds, options.rounds, tuple(options.busy)).items():
        ours, theirs = (statistics.median(each) for each in zip(*rates, strict=True))
        print(f"{count} busy: {ours:.2f} steps/s, plain {theirs:.2f}: {ours / theirs:.2f}×")


if __name__ == "__main__":
    main()
