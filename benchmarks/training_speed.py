"""Steps per second of ``partita train`` and of other loops, most of them around others' networks.

    python benchmarks/training_speed.py [--recipe demucs-light] [--seconds 15] [--rounds 2]
        [--busy 0 1]

Both train on the same wav files of noise.

umx-tiny: mono, four sources, batches of eight excerpts of 4 s. The other loop is what openunmix's
``train.py`` does: its own transform and network, one for each source, a `DataLoader` that reads the
excerpts with soundfile, Adam, mean squared error.

demucs-light: stereo, batches of four excerpts of 20,000 samples. The other loop is demucs 2.0.3's
own, with its network, dataset, shifts and flipped signs; as the recipe's, its LSTM has one
direction. It reads with soundfile instead of torchaudio, in the process that trains: that takes a
few hundredths of a step.

accompaniment-stems: stereo, batches of six excerpts of 3 s. No public loop trains a band-split
network of that kind; the other loop is a plain one around the same module: the same loss, AdamW,
clipped gradients, and none of the recipe's augmentation.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from partita.models import create_model
from training_beside_load import WAYS, busy_processes, steps_per_second, write_songs

STEMS = ("vocals", "drums", "bass", "other")
RATE, SONG_S = 44100, 20
EXCERPT_S, BATCH, HIDDEN = 4.0, 8, 64  # of umx-tiny
DEMUCS_SAMPLES, DEMUCS_BATCH = 20_000, 4
OURS = next(iter(WAYS))


class Excerpts(Dataset):  # type: ignore[misc]
    """Random excerpts ``[stems, channels, samples]`` of the songs in a folder."""

    def __init__(self, folder: Path, seconds: float, *, mono: bool = False) -> None:
        self._count, self._mono = round(seconds * RATE), mono
        self._songs = sorted(path for path in folder.iterdir() if path.is_dir())
        self._random = np.random.default_rng(0)

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> Tensor:
        song, count = self._songs[index % len(self._songs)], self._count
        start = int(self._random.integers(SONG_S * RATE - count))
        stems = []
        for name in STEMS:
            path = song / f"{name}.wav"
            samples, _ = soundfile.read(path, count, start, dtype="float32", always_2d=True)
            samples = samples.mean(axis=1, keepdims=True) if self._mono else samples
            stems.append(torch.from_numpy(samples.T))
        return torch.stack(stems)


def openunmix_steps_per_second(folder: Path, seconds: float) -> float:
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
    for stems in DataLoader(Excerpts(folder, EXCERPT_S, mono=True), batch_size=BATCH):
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


class OneDirection(nn.Module):
    """An LSTM in the place of demucs's, which sees both directions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, width, steps]`` to the same shape."""
        states: Tensor = self.lstm(x.permute(2, 0, 1))[0]
        return states.permute(1, 2, 0)


def replace_imports_of_demucs() -> None:
    """Put soundfile in the place of torchaudio, and nothing in that of what is not used."""

    def load(path: str, frame_offset: int, num_frames: int) -> tuple[Tensor, int]:
        samples, rate = soundfile.read(
            path, num_frames, frame_offset, dtype="float32", always_2d=True
        )
        return torch.from_numpy(samples.T), rate

    for name, contents in {
        "torchaudio": {"load": load},
        "musdb": {},
        "diffq": {"UniformQuantizer": None, "DiffQuantizer": None},
    }.items():
        vars(sys.modules.setdefault(name, types.ModuleType(name))).update(contents)


def demucs_steps_per_second(folder: Path, seconds: float) -> float:
    """Train as demucs 2.0.3 does for some seconds, after a first step."""
    replace_imports_of_demucs()
    from demucs.augment import FlipSign, Shift
    from demucs.model import Demucs
    from demucs.train import train_model
    from demucs.wav import Wavset

    torch.manual_seed(0)
    network = Demucs(list(STEMS), depth=3, lstm_layers=1, normalize=True)
    network.lstm = OneDirection(network.lstm.linear.out_features)
    stride = RATE  # between examples, which are that much longer and randomly shifted
    samples = network.valid_length(DEMUCS_SAMPLES) + stride
    facts = {"length": SONG_S * RATE, "samplerate": RATE, "mean": 0.0, "std": 1.0}
    songs = {path.name: facts for path in folder.iterdir() if path.is_dir()}
    examples = Wavset(folder, songs, list(STEMS), length=samples, stride=stride)
    augment = nn.Sequential(Shift(stride), FlipSign())
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-4)

    def train(dataset: Dataset) -> None:  # type: ignore[type-arg]
        with contextlib.redirect_stdout(io.StringIO()):
            loss = nn.MSELoss()
            train_model(
                0, dataset, network, loss, optimiser, augment, workers=0, batch_size=DEMUCS_BATCH
            )

    train(Subset(examples, range(DEMUCS_BATCH)))
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        train(examples)
        steps += len(examples) // DEMUCS_BATCH
    return steps / (time.perf_counter() - started)


def band_split_steps_per_second(folder: Path, seconds: float) -> float:
    """Train partita's band-split network in a plain loop for some seconds, after a first step."""
    torch.manual_seed(0)
    config = {"level_range_db": [-20.0, -20.0], "any_width": True}
    network = create_model("band-split", {**config, "features": 48, "hidden": 48, "layers": 3})
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    started, steps = time.perf_counter(), -1
    for stems in DataLoader(Excerpts(folder, 3.0), batch_size=6):
        loss = nn.functional.l1_loss(network(stems.sum(dim=1)), stems)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        steps += 1
        if steps == 0:
            started = time.perf_counter()
        elif time.perf_counter() - started > seconds:
            break
    return steps / (time.perf_counter() - started)


#: Recipe → the other loop.
THEIRS: Mapping[str, Callable[[Path, float], float]] = {
    "umx-tiny": openunmix_steps_per_second,
    "demucs-light": demucs_steps_per_second,
    "accompaniment-stems": band_split_steps_per_second,
}


def run(
    recipe: str, seconds: float, rounds: int, busy: tuple[int, ...]
) -> Mapping[int, list[list[float]]]:
    """Return busy processes → steps per second of both, ours first, in each round."""
    found: dict[int, list[list[float]]] = {count: [] for count in busy}
    options = argparse.Namespace(recipe=recipe, seconds=seconds)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "songs"
        write_songs(data)
        for _ in range(rounds):
            for count, rates in found.items():
                with busy_processes(count):
                    ours = steps_per_second(OURS, data, options)
                    rates.append([ours, THEIRS[recipe](data, seconds)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", choices=THEIRS, default="umx-tiny")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--busy", type=int, nargs="*", default=[0, 1])
    options = parser.parse_args()
    found = run(options.recipe, options.seconds, options.rounds, tuple(options.busy))
    for count, rates in found.items():
        ours, theirs = (statistics.median(each) for each in zip(*rates, strict=True))
        print(f"{count} busy: {ours:.2f} steps/s, theirs {theirs:.2f}: {ours / theirs:.2f}×")


if __name__ == "__main__":
    main()
