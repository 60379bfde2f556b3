"""Ablations of the second stage of four-stems: architecture and training songs.

    python benchmarks/four_stems.py train FOLDER --data NAME=DATASET … [--minutes 10] [--jobs 2]
        [--only VARIANT …]
    python benchmarks/four_stems.py score DATASET … [--weights NAME=CHECKPOINT …] [--seconds N]
        [--wiener] [--half] [--jobs N]

The first command trains the variants below for the same time, one core each. A short training of
each estimates the number of steps, so that the learning rate has fallen when the time ends.
DATASETs are those of `scripts/second_stage.py`. Existing trainings are resumed or used as they are.
Loss, schedule, batches and augmentation are those of band-split's recipe, scaled down to the time;
optimiser and learning rate are those of each architecture's recipe.

The second command scores complete systems, Spleeter and a second stage, on tracks of four stems:
SDR as in `common.py`, in stereo. It also scores the mixture and a baseline without a second stage:
of Spleeter's accompaniment, HPSS's percussive part is drums, its harmonic part below 220 Hz is
bass, and the rest is other. With --seconds, a track is scored where most of its stems are audible.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from common import (
    OVERALL,
    STEMS,
    Scores,
    Separate,
    baseline_stems,
    leave_mixed,
    mean_scores,
    score_song,
    seconds_heard,
    train,
    with_model,
)
from partita import Audio
from partita.datasets import Track, open_dataset
from partita.training.recipes import load_recipe
from partita.training.run_folder import read_losses
from partita.weights.checkpoint import load_checkpoint, save_checkpoint
from partita.weights.own_checkpoints import own_checkpoint

FIRST = "spleeter-2stems:accompaniment"

RECIPE = "accompaniment-stems"
#: Settings that other architectures keep from their recipes: they depend on the network.
OWN = ("optimiser", "learning_rate", "weight_decay", "clip_norm")
#: Settings of the task, common to all architectures.
SHARED_CONFIG = ("sources", "level_range_db")
#: For some hundred steps: smaller batches leave more of them, an average over steps would still
#: hold much of the first weights, and with nothing held out the last weights count.
SHORT = {"batch_size": 4, "ema_decay": 0.0, "valid_tracks": 0, "workers": 1}
EPOCHS = 10
CALIBRATION = {"epochs": 4, "steps_per_epoch": 5}


@dataclass(frozen=True)
class Design:
    """A recipe, and what is changed in it."""

    recipe: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """An architecture, and the name of its training data."""

    design: str
    data: str


DESIGNS = {
    "band-split": Design(RECIPE),
    "tfc-tdf": Design("tfc-tdf"),
    # Masks that add up to one, as in the others.
    "open-unmix": Design("umx-paper", {"hidden": 256, "wiener_iterations": None}),
}
VARIANTS = {
    "band-split": Variant("band-split", "both"),
    "tfc-tdf": Variant("tfc-tdf", "both"),
    "open-unmix": Variant("open-unmix", "both"),
    "synthetic": Variant("band-split", "synthetic"),
    "real": Variant("band-split", "real"),
    "no-effects": Variant("band-split", "no-effects"),
}

#: Made in the process that scores: models do not travel.
System = Callable[[], Separate]


def settings_of(design: Design, length: Mapping[str, int]) -> list[str]:
    """Return all differences from the architecture's recipe as ``key=value`` texts."""
    shared = load_recipe(RECIPE)
    training = dataclasses.asdict(shared.training)
    values = {key: value for key, value in training.items() if key not in OWN}
    values |= dataclasses.asdict(shared.augmentation)
    values |= {key: shared.config[key] for key in SHARED_CONFIG if key in shared.config}
    values |= {**SHORT, **length, **design.settings}
    return [f"{key}={as_text(value)}" for key, value in values.items()]


def as_text(value: Any) -> str:
    """Format a value for --set."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def train_on_one_core(design: Design, data: Path, out: Path, length: Mapping[str, int]) -> Path:
    settings = settings_of(design, length)
    return train(design.recipe, data, out, settings, jobs=os.cpu_count() or 1)


def seconds_per_step(design: Design, data: Path, out: Path) -> float:
    """Train briefly, unless already done, and return the time of a step."""
    if not (out / "model.safetensors").exists():
        train_on_one_core(design, data, out, {**CALIBRATION, "warmup_steps": 0})
    first, *_, last = read_losses(out / "losses.csv")  # the first steps take longer
    return (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])


def length_of(steps: int) -> dict[str, int]:
    """Return the settings for a training of about this time."""
    steps_per_epoch = max(1, round(steps / EPOCHS))
    return {"epochs": EPOCHS, "steps_per_epoch": steps_per_epoch, "warmup_steps": steps // 20}


def run_train(options: argparse.Namespace) -> None:
    """Train the variants whose data are given, and print the paths of their weights."""
    data = dict(options.data)
    wanted = {name: VARIANTS[name] for name in options.only}
    for name, variant in wanted.items():
        if variant.data not in data:
            print(f"{name}: skipped: needs --data {variant.data}=DATASET")
    chosen = {name: variant for name, variant in wanted.items() if variant.data in data}
    designs = {variant.design: data[variant.data] for variant in reversed(chosen.values())}
    with ThreadPoolExecutor(options.jobs) as pool:

        def calibrate(name: str) -> float:
            out = options.folder / "calibration" / name
            return seconds_per_step(DESIGNS[name], designs[name], out)

        step_s = dict(zip(designs, pool.map(calibrate, designs), strict=True))

        def train_one(variant: Variant, name: str) -> Path:
            length = length_of(round(60 * options.minutes / step_s[variant.design]))
            out = options.folder / f"{options.minutes:g}-minutes" / name
            return train_on_one_core(DESIGNS[variant.design], data[variant.data], out, length)

        print("\n| variant | data | steps | time | loss | weights |\n|---|---|---|---|---|---|")
        weights = pool.map(train_one, chosen.values(), chosen)
        for (name, variant), path in zip(chosen.items(), weights, strict=True):
            last = read_losses(path.with_name("losses.csv"))[-1]
            print(
                f"| {name} | {variant.data} | {last['step']:.0f} | {last['seconds'] / 60:.1f} min "
                f"| {last['train']:.5f} | {path} |",
                flush=True,
            )


def baseline() -> Separate:
    """Return the baseline for the accompaniment, without training."""
    separate_parts = with_model(f"{FIRST}+hpss")

    return lambda mixture, rate: baseline_stems(separate_parts(mixture, rate), rate)


def mixture() -> Separate:
    """Return the identity."""
    return leave_mixed


def systems_of(options: argparse.Namespace, folder: Path) -> dict[str, System]:
    """Return the systems to score; 16-bit weights are written to the folder."""
    systems: dict[str, System] = {"mixture": mixture, "baseline": baseline}
    for name, path in options.weights:
        chain = f"{FIRST}+{path}"
        systems[name] = functools.partial(with_model, chain)
        if options.wiener:
            systems[f"{name}, Wiener filter"] = functools.partial(with_model, chain, wiener=1)
        if options.half and is_half(path):
            print(f"{name}: has 16 bits already")
        elif options.half:
            halved = folder / f"{len(systems)}.safetensors"
            save_checkpoint(halved, load_checkpoint(path), half=True)
            systems[f"{name}, 16 bits"] = functools.partial(with_model, f"{FIRST}+{halved}")
    return systems


def is_half(checkpoint: Path) -> bool:
    """Return whether any weights are stored in 16 bits."""
    with safe_open(checkpoint, framework="pt") as file:
        return any(file.get_slice(key).get_dtype() == "F16" for key in file.keys())  # noqa: SIM118


def busiest(stems: Mapping[str, Audio], seconds: int) -> dict[str, Audio]:
    """Return an excerpt of a song where most stems are audible."""
    rate = next(iter(stems.values())).sample_rate
    heard = sum(seconds_heard(a.samples.numpy(), rate).astype(int) for a in stems.values())
    counts = np.convolve(heard, np.ones(min(seconds, len(heard))), "valid")
    start = int(counts.argmax()) * rate
    part = slice(start, start + seconds * rate)
    return {name: Audio(audio.samples[:, part], rate) for name, audio in stems.items()}


def score_track(
    systems: Mapping[str, System], seconds: int | None, track: Track
) -> dict[str, Scores]:
    """Score all systems on a track or an excerpt."""
    stems = track.load_stems()
    if seconds is not None:
        stems = busiest(stems, seconds)
    return {name: score_song(system(), stems, channels=2) for name, system in systems.items()}


def run_score(options: argparse.Namespace) -> None:
    """Score the systems, several tracks at a time, and print the table in Markdown."""
    tracks = [track for data in options.data for track in open_dataset(data)]
    threads = max(1, torch.get_num_threads() // options.jobs)
    pool = ProcessPoolExecutor(
        options.jobs, multiprocessing.get_context("spawn"), torch.set_num_threads, (threads,)
    )
    songs = []
    with tempfile.TemporaryDirectory() as folder, pool:
        systems = systems_of(options, Path(folder))
        score_one = functools.partial(score_track, systems, options.seconds)
        for track, scores in zip(tracks, pool.map(score_one, tracks), strict=True):
            print(f"{len(songs) + 1} of {len(tracks)}: {track.name}", flush=True)
            songs.append(scores)
    print(f"\n| SDR, dB | {' | '.join([*STEMS, OVERALL])} |\n|---|{'---|' * (len(STEMS) + 1)}")
    for name in systems:
        print_row(name, mean_scores(song[name] for song in songs))


def print_row(name: str, scores: Scores) -> None:
    columns = [scores.get(stem) for stem in (*STEMS, OVERALL)]
    cells = (f"{column['SDR']:.2f}" if column else "–" for column in columns)
    print(f"| {name} | {' | '.join(cells)} |")


def named_path(text: str) -> tuple[str, Path]:
    """Read ``NAME=PATH``."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path)


def named_checkpoint(text: str) -> tuple[str, Path]:
    """Read ``NAME=CHECKPOINT``, which may be the folder of a training."""
    name, path = named_path(text)
    checkpoint = own_checkpoint(str(path))
    if checkpoint is None or not checkpoint.is_file():
        raise argparse.ArgumentTypeError(
            f"{path} is neither a checkpoint nor the folder of a training"
        )
    return name, checkpoint


def whole_seconds(text: str) -> int:
    """Read a count of at least one."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds")
    return int(text)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="train the variants")
    training.set_defaults(run=run_train)
    training.add_argument("folder", type=Path)
    training.add_argument("--data", type=named_path, nargs="+", action="extend", required=True)
    training.add_argument("--minutes", type=float, default=10.0)
    training.add_argument("--jobs", type=int, default=2)
    training.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    scoring = commands.add_parser("score", help="score systems")
    scoring.set_defaults(run=run_score)
    scoring.add_argument("data", type=Path, nargs="+")
    scoring.add_argument("--weights", type=named_checkpoint, nargs="+", action="extend", default=[])
    scoring.add_argument("--seconds", type=whole_seconds)
    scoring.add_argument("--wiener", action="store_true", help="also with a Wiener filter behind")
    scoring.add_argument("--half", action="store_true", help="also with weights of 16 bits")
    scoring.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    options.run(options)


if __name__ == "__main__":
    main()
