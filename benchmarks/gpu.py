"""Speed on a GPU, in under eight minutes: separation, decoding beside it, training, scores.

    python benchmarks/gpu.py [--device cuda] [--limit 450] [--short]
    python benchmarks/gpu.py --device cpu --short     rehearses it without a GPU

Needs no network: weights that are not in the cache are random, of the same size. Sections:

1. Networks on a song in memory: how many seconds of music a second, by precision and by windows in
   one call, and the device's peak memory.
2. The whole command for `four-stems`, from mp3 to wav: how much of its time the device would need
   alone, and what decoding and encoding take.
3. Training steps a second, on random excerpts.
4. BSS Eval on the device beside the processor's, and the largest difference of their scores.

What does not fit in the time or memory is said to be left out. Figures of ``--short`` say nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

import bsseval
from common import make_song
from partita import Audio, Separator
from partita.audio.reader import open_audio
from partita.devices import choose_device
from partita.errors import PartitaError
from partita.evaluation.bsseval import bss_eval
from partita.models import create_model
from partita.training.losses import TrainingStep
from partita.weights.cards import get_card
from partita.weights.checkpoint import save_checkpoint
from partita.weights.places import weights_path

RATE = 44100
FOUR, FIRST, SECOND = "four-stems", "spleeter-2stems", "accompaniment-stems"
#: Names → registered model and configuration; of small networks for ``--short``.
NETWORKS: Mapping[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "Open-Unmix, of umxhq's size": ("open-unmix", {}, {"hidden": 16}),
    "Demucs v2": ("demucs", {}, {"hidden": 4, "lstm_layers": 1}),
    "HTDemucs": ("htdemucs", {}, {"layers": 1}),
    "BS-RoFormer": ("bs-roformer", {}, {"layers": 1, "features": 16, "heads": 1}),
    "Mel-Band RoFormer": ("mel-band-roformer", {}, {"layers": 1, "features": 16, "heads": 1}),
}
#: Recipes' networks → configuration, for short, seconds of an excerpt, loss.
TRAININGS: Mapping[str, tuple[str, dict[str, Any], dict[str, Any], float, str]] = {
    "Open-Unmix": ("open-unmix", {}, {"hidden": 16}, 6.0, "magnitude"),
    "Demucs, light": ("demucs", {"depth": 3, "lstm_layers": 1}, {"hidden": 4}, 1.0, "l1"),
    "band-split": ("band-split", {}, {"layers": 1, "features": 8}, 3.0, "magnitude"),
}
BATCH = 16
GOALS = {FOUR: "≥ 300×", "HTDemucs": "≥ 150×"}


class Clock:
    """The time that is left, and the device's time."""

    def __init__(self, device: torch.device, limit_s: float) -> None:
        self.device, self._end = device, time.perf_counter() + limit_s

    @property
    def is_over(self) -> bool:
        """Whether nothing new may begin."""
        return time.perf_counter() > self._end

    def seconds(self, run: Callable[[], object]) -> float:
        """Return the seconds of a function, the device's work included."""
        self._wait()
        started = time.perf_counter()
        run()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_gb(self) -> float:
        """Return the device's peak memory since the last call."""
        if self.device.type != "cuda":
            return float("nan")
        peak = torch.cuda.max_memory_allocated(self.device) / 1e9
        torch.cuda.reset_peak_memory_stats(self.device)
        return peak


def weights(folder: Path, name: str, model: str, config: dict[str, Any]) -> str:
    """Return the path of a checkpoint of random weights."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        save_checkpoint(path, create_model(model, config).eval())
    return str(path)


def four_stems(folder: Path) -> str:
    """Return the default's name, or the same chain of a random first network."""
    card = get_card(FIRST)
    if weights_path(card).exists():
        return FOUR
    return f"{weights(folder, FIRST, card.model, dict(card.config))}+{SECOND}"


def networks(clock: Clock, folder: Path, short: bool) -> None:
    """Print how fast songs in memory are separated."""
    song = make_song(4.0 if short else 240.0, RATE)
    seconds = song.shape[-1] / RATE
    names = {FOUR: four_stems(folder)}
    for name, (model, config, small) in NETWORKS.items():
        names[name] = weights(folder, name, model, {**config, **(small if short else {})})
    print("| network | precision | windows a call | × real time | goal | GB |")
    print("|---|---|---|---|---|---|", flush=True)
    precisions = ("float32", "bfloat16", "float16")  # the last of which processors only imitate
    for precision in precisions[:2] if clock.device.type == "cpu" else precisions:
        for name, weights_name in names.items():
            separator = Separator(weights_name, device=str(clock.device), precision=precision)
            for batch in (1, 2) if short else (1, 4, 16):
                if clock.is_over:
                    print(f"| {name} | {precision} | {batch} | left out: the time is over |  |  |")
                    continue
                for model in separator._estimator.models:
                    model.batch = batch
                row = f"| {name} | {precision} | {batch} |"
                try:
                    if not short:
                        separator(song[:, : 30 * RATE], RATE)  # libraries choose their kernels
                    clock.peak_gb()
                    elapsed = clock.seconds(partial(separator, song, RATE))
                except (PartitaError, RuntimeError) as error:
                    print(f"{row} left out: {type(error).__name__} |  |  |", flush=True)
                    continue
                goal = GOALS.get(name, "")
                print(
                    f"{row} {seconds / elapsed:.1f} | {goal} | {clock.peak_gb():.2f} |", flush=True
                )


def command(clock: Clock, folder: Path, short: bool) -> None:
    """Print what files cost beside the networks."""
    song = make_song(4.0 if short else 300.0, RATE)
    seconds, path = song.shape[-1] / RATE, folder / "song.mp3"
    Audio(song, RATE).save(path)
    print("| four-stems, mp3 to wav | s | × real time |\n|---|---|---|")
    separator = Separator(four_stems(folder), device=str(clock.device))
    separator(song[:, : min(song.shape[-1], 30 * RATE)], RATE)

    def whole() -> None:
        separator.separate(path, folder / "out", overwrite=True)

    def decode() -> None:
        with open_audio(path) as reader:
            for _ in reader.blocks():
                pass

    def encode() -> None:
        for stem in separator.stems:
            Audio(song, RATE).save(folder / f"{stem}.wav")

    works = {
        "everything": whole,
        "networks, in memory": lambda: separator(song, RATE),
        "decoding": decode,
        "four wav files": encode,
    }
    times = {
        name: statistics.median(clock.seconds(work) for _ in range(1 if short else 3))
        for name, work in works.items()
    }
    for name, elapsed in times.items():
        print(f"| {name} | {elapsed:.3f} | {seconds / elapsed:.0f} |")
    share = times["networks, in memory"] / times["everything"]
    print(f"\nthe networks alone: {share:.0%} of the time\n", flush=True)


def trainings(clock: Clock, short: bool) -> None:
    """Print training steps a second."""
    batch = 2 if short else BATCH
    print(f"| training, batches of {batch} | float32 | bfloat16 |\n|---|---|---|")
    for name, (model, config, small, excerpt_s, loss) in TRAININGS.items():
        cells = []
        for dtype in (torch.float32, torch.bfloat16):
            if clock.is_over:
                cells.append("left out: the time is over")
                continue
            settings = {**config, **(small if short else {})}
            step = TrainingStep(create_model(model, settings), loss).to(clock.device).train()
            optimiser = torch.optim.Adam(step.parameters())
            count = round((0.5 if short else excerpt_s) * RATE)
            sources = len(step.model.learned)
            rows = 0.1 * torch.randn(batch, sources, 2, count, device=clock.device)

            def once(
                step: TrainingStep = step,
                optimiser: torch.optim.Optimizer = optimiser,
                rows: torch.Tensor = rows,
                dtype: torch.dtype = dtype,
            ) -> None:
                optimiser.zero_grad()
                enabled = dtype != torch.float32
                with torch.autocast(clock.device.type, dtype, enabled=enabled):
                    loss = step(rows).total
                loss.backward()
                optimiser.step()

            times = [clock.seconds(once) for _ in range(2 if short else 12)]
            cells.append(f"{1 / statistics.median(times[len(times) // 4 :]):.2f} steps/s")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def scores(clock: Clock, short: bool) -> None:
    """Print how fast BSS Eval is, and how equal its scores."""
    true, guess = (
        torch.from_numpy(each).movedim(1, 2).contiguous()
        for each in bsseval.signals(3.0 if short else 120.0)
    )
    there = true.to(clock.device), guess.to(clock.device)
    found = {}

    def score(name: str, *signals: torch.Tensor) -> None:
        found[name] = bss_eval(*signals, window=RATE)

    if not short:
        score("device", *there)
    ours = clock.seconds(lambda: score("device", *there))
    theirs = clock.seconds(lambda: score("cpu", true, guess))
    worst = max(
        float((getattr(found["device"], f).cpu() - getattr(found["cpu"], f)).abs().max())
        for f in ("sdr", "isr", "sir", "sar")
    )
    print(
        f"\nBSS Eval v4: {ours:.2f} s on {clock.device}, {theirs:.2f} s on the processor; "
        f"scores differ by at most {worst:.1e} dB (goal: 1e-6)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--limit", type=float, default=450.0, metavar="SECONDS")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    device = choose_device(options.device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    print(f"{card}, PyTorch {torch.__version__}{', short' if options.short else ''}\n")
    started = time.perf_counter()
    clock = Clock(device, options.limit)
    with tempfile.TemporaryDirectory() as name:
        command(clock, Path(name), options.short)
        trainings(clock, options.short)
        scores(clock, options.short)
        print()
        networks(clock, Path(name), options.short)
    print(f"\n{(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
