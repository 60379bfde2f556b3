"""What the second stage of four-stems owes to its design and to its songs.

    python benchmarks/four_stems.py train FOLDER --data NAME=DATASET … [--minutes 10] [--jobs 2]
        [--only VARIANT …]
    python benchmarks/four_stems.py score DATASET … [--weights NAME=CHECKPOINT …] [--seconds N]
        [--wiener] [--half] [--jobs N]

The first trains the variants below for the same time, one core each; how many steps that is, a
short training of the same design tells, so that the learning rate has fallen where the time ends.
DATASETs are those of `scripts/second_stage.py`. What is there already goes on or is taken as it is.
Loss, schedule, batches and augmentation are those of band-split's recipe, scaled down to the time;
optimiser and learning rate are those of each design's own recipe.

The second scores complete systems, Spleeter and a second stage, on tracks of four stems: SDR as
`common.py` says, in stereo. Beside them stand the mixture, and a floor without a second stage: of
Spleeter's accompaniment HPSS's percussive part is taken for drums, what its harmonic part has below
220 Hz for bass, and what is left for other. With --seconds, a track is scored where most of its
stems are heard.
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
    floor_stems,
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
#: What other designs keep of their own recipes: it suits the network, not the task.
OWN = ("optimiser", "learning_rate", "weight_decay", "clip_norm")
#: Of the task: these belong to the configuration of every design.
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
    """A design, and the name of the data that it learns from."""

    design: str
    data: str


DESIGNS = {
    "band-split": Design(RECIPE),
    "tfc-tdf": Design("tfc-tdf"),
    # Masks that add up to one, as the others have them.
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
    """Return everything that differs from the design's recipe as ``key=value`` texts."""
    shared = load_recipe(RECIPE)
    training = dataclasses.asdict(shared.training)
    values = {key: value for key, value in training.items() if key not in OWN}
    values |= dataclasses.asdict(shared.augmentation)
    values |= {key: shared.config[key] for key in SHARED_CONFIG if key in shared.config}
    values |= {**SHORT, **length, **design.settings}
    return [f"{key}={as_text(value)}" for key, value in values.items()]


def as_text(value: Any) -> str:
    """Write a value as --set reads it."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def train_on_one_core(design: Design, data: Path, out: Path, length: Mapping[str, int]) -> Path:
    settings = settings_of(design, length)
    return train(design.recipe, data, out, settings, jobs=os.cpu_count() or 1)


def seconds_per_step(design: Design, data: Path, out: Path) -> float:
    """Train for a moment, unless that has been done, and return what a step takes."""
    if not (out / "model.safetensors").exists():
        train_on_one_core(design, data, out, {**CALIBRATION, "warmup_steps": 0})
    first, *_, last = read_losses(out / "losses.csv")  # the first steps take longer
    return (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])


def length_of(steps: int) -> dict[str, int]:
    """Return the settings that make a training about so long."""
    steps_per_epoch = max(1, round(steps / EPOCHS))
    return {"epochs": EPOCHS, "steps_per_epoch": steps_per_epoch, "warmup_steps": steps // 20}


def run_train(options: argparse.Namespace) -> None:
    """Train the variants whose data are there, and print where their weights are."""
    data = dict(options.data)
    wanted = {name: VARIANTS[name] for name in options.only}
    for name, variant in wanted.items():
        if variant.data not in data:
            print(f"{name}: left out, it needs --data {variant.data}=DATASET")
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


def floor() -> Separate:
    """Return what takes the accompaniment apart with nothing learned."""
    separate_parts = with_model(f"{FIRST}+hpss")

    return lambda mixture, rate: floor_stems(separate_parts(mixture, rate), rate)


def mixture() -> Separate:
    """Return what leaves everything as it is."""
    return leave_mixed


def systems_of(options: argparse.Namespace, folder: Path) -> dict[str, System]:
    """Return what is scored; the folder takes weights of 16 bits."""
    systems: dict[str, System] = {"mixture": mixture, "floor": floor}
    for name, path in options.weights:
        chain = f"{FIRST}+{path}"
        systems[name] = functools.partial(with_model, chain)
        if options.wiener:
            systems[f"{name}, Wiener filter"] = functools.partial(with_model, chain, wiener=1)
        if options.half and is_half(path):
            print(f"{name}: has 16 bits as it is")
        elif options.half:
            halved = folder / f"{len(systems)}.safetensors"
            save_checkpoint(halved, load_checkpoint(path), half=True)
            systems[f"{name}, 16 bits"] = functools.partial(with_model, f"{FIRST}+{halved}")
    return systems


def is_half(checkpoint: Path) -> bool:
    """Tell whether any weights are stored in 16 bits."""
    with safe_open(checkpoint, framework="pt") as file:
        return any(file.get_slice(key).get_dtype() == "F16" for key in file.keys())  # noqa: SIM118


def busiest(stems: Mapping[str, Audio], seconds: int) -> dict[str, Audio]:
    """Return so many seconds of a song, from where most stems are heard."""
    rate = next(iter(stems.values())).sample_rate
    heard = sum(seconds_heard(a.samples.numpy(), rate).astype(int) for a in stems.values())
    counts = np.convolve(heard, np.ones(min(seconds, len(heard))), "valid")
    start = int(counts.argmax()) * rate
    part = slice(start, start + seconds * rate)
    return {name: Audio(audio.samples[:, part], rate) for name, audio in stems.items()}


def score_track(
    systems: Mapping[str, System], seconds: int | None, track: Track
) -> dict[str, Scores]:
    """Score all systems on a track, or on so many seconds of it."""
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
        raise argparse.ArgumentTypeError(f"{path} is no checkpoint, nor the folder of a training")
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
