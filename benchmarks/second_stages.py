"""Networks for the second stage of four-stems, trained for equal processor time on equal songs.

    python benchmarks/second_stages.py OUT --data DATASET --test DATASET … [--minutes 6]
        [--seeds 3] [--only NAME …] [--jobs N]

DATASET holds songs with drums, bass and other; songs to test have vocals too, perhaps, which are
left out. Recipe and augmentation are those of accompaniment-stems, without residual vocals and with
batches of two, which make more steps; the networks differ:

- band-split: as it ships, 48 features.
- half rate: every second frame, 96 features.
- attention: attention across the bands instead of LSTMs.
- no difference: left and right alone, without the image of their difference.
- complex: complex masks and attention along time and bands (BS-RoFormer).
- tfc-tdf: convolutions and dense layers (TFC-TDF U-Net).

A step's processor time is measured first, of both processes, data included; each network gets as
many steps as fit, with the learning rate falling to zero within them. Then true accompaniments are
separated; SDR as in `validation.py`. Finished trainings are used as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

import validation
from partita.cli import main as partita_command
from partita.models._registry import register_model
from partita.models.band_split import BandSplit, BandSplitConfig
from partita.training.recipes import recipe_facts

SOURCES = ("drums", "bass", "other")
EPOCHS = 10
_PROBE_STEPS = (1, 4, 16)  # the first fills caches


class BandAttention(nn.Module):
    """Self-attention with a residual connection, in the place of `band_split.Recurrence`."""

    def __init__(self, features: int, heads: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.attention = nn.MultiheadAttention(features, heads)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[steps, rows, features]`` to the same shape."""
        seen = self.norm(x)
        added: Tensor = x + self.attention(seen, seen, seen, need_weights=False)[0]
        return added


@register_model("band-attention")
class AttentionAcrossBands(BandSplit):
    """`BandSplit` with attention across bands."""

    config_type = BandSplitConfig

    def __init__(self, config: BandSplitConfig) -> None:
        super().__init__(config)
        self.across_bands = nn.ModuleList(
            BandAttention(config.features) for _ in range(config.layers)
        )


@dataclass(frozen=True)
class ChannelsConfig(BandSplitConfig):
    """Configuration of `ChannelsAlone`."""

    @property
    def input_channels(self) -> int:
        """Left and right."""
        return self.channels


@register_model("channels-alone")
class ChannelsAlone(BandSplit):
    """`BandSplit` that does not see the difference of the channels."""

    config_type = ChannelsConfig

    def _powers(self, mixture: Tensor) -> Tensor:
        channels = mixture.permute(0, 3, 1, 2)  # [B, C, F, N] -> [B, N, C, F]
        return channels.real.square() + channels.imag.square()

    def _with_weighted_difference(self, inputs: Tensor, _: Tensor) -> Tensor:
        return inputs


@dataclass(frozen=True)
class Entrant:
    """A network, and its settings where they are not those of accompaniment-stems."""

    model: str
    config: Mapping[str, object] = field(default_factory=dict)


_BAND_SPLIT = {"level_range_db": [-20.0, -20.0], "any_width": True}
_AS_SHIPPED = {**_BAND_SPLIT, "features": 48, "hidden": 48, "layers": 3}
ENTRANTS = {
    "band-split": Entrant("band-split", _AS_SHIPPED),
    "half rate": Entrant(
        "band-split",
        {**_AS_SHIPPED, "features": 96, "hidden": 96, "hop_samples": 2048, "frames": 150,
         "overlap_frames": 8},
    ),
    "attention": Entrant("band-attention", _AS_SHIPPED),
    "no difference": Entrant("channels-alone", _AS_SHIPPED),
    "complex": Entrant(
        "bs-roformer",
        {"features": 48, "layers": 2, "heads": 4, "head_features": 16, "mask_expansion": 2,
         "hop_samples": 1024, "segment_samples": 176128, "overlap_samples": 22528},
    ),
    "tfc-tdf": Entrant("tfc-tdf", {**_BAND_SPLIT, "bins": 1024, "fold_bins": 4, "width": 16}),
}  # fmt: skip


def write_recipe(path: Path, model: str, config: Mapping[str, object]) -> None:
    """Write the recipe of accompaniment-stems for another network, with or without vocals."""
    facts = recipe_facts("accompaniment-stems")
    augmentation = facts["augmentation"]
    if "vocals" not in config["sources"]:  # type: ignore[operator]
        for name in ("source_gains_db", "dull_sources", "boomy_sources"):
            augmentation[name] = augmentation[name][1:]  # the first is of the vocals
    tables = {
        "model_config": config,
        "training": facts["training"],
        "augmentation": augmentation,
    }
    lines = ['summary = "a second stage"', f'model = "{model}"']
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{k} = {json.dumps(v)}" for k, v in values.items() if v is not None]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def train(out: Path, entrant: Entrant, data: Path, seed: int, steps: int, epochs: int) -> float:
    """Train in a process of its own; return its processor time in seconds."""
    out.mkdir(parents=True, exist_ok=True)
    recipe = out / "recipe.toml"
    write_recipe(recipe, entrant.model, {**entrant.config, "sources": SOURCES})
    settings = {
        "seed": seed, "valid_tracks": 0, "workers": 1, "ema_decay": 0.99, "batch_size": 2,
        "epochs": epochs, "steps_per_epoch": steps, "warmup_steps": max(1, steps * epochs // 10),
    }  # fmt: skip
    command = [sys.executable, __file__, "--partita", "train", str(recipe), "--data", str(data)]
    command += ["--out", str(out / "run"), "--resume"]
    command += [part for item in settings.items() for part in ("--set", "{}={}".format(*item))]
    with (out / "log").open("a") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"second_stages: the training failed: {out / 'log'}")
    return used.ru_utime + used.ru_stime


def step_seconds(folder: Path, entrant: Entrant, data: Path) -> float:
    """Return the processor time of a step."""
    _, few, many = (
        train(folder / f"probe-{steps}", entrant, data, seed=0, steps=steps, epochs=1)
        for steps in _PROBE_STEPS
    )
    return (many - few) / (_PROBE_STEPS[2] - _PROBE_STEPS[1])


def run(name: str, seed: int, options: argparse.Namespace) -> dict[str, object]:
    """Train a network and score it, or read what an earlier call has found."""
    folder = options.out / name.replace(" ", "-")
    kept = folder / f"seed-{seed}.json"
    if kept.exists():
        found: dict[str, object] = json.loads(kept.read_text())
        return found
    cost = folder / "step_seconds.json"
    if not cost.exists():
        cost.parent.mkdir(parents=True, exist_ok=True)
        cost.write_text(json.dumps(step_seconds(folder, ENTRANTS[name], options.data)))
    steps = max(1, round(60 * options.minutes / json.loads(cost.read_text()) / EPOCHS))
    out = folder / f"seed-{seed}"
    seconds = train(out, ENTRANTS[name], options.data, seed, steps, EPOCHS)
    found = {"steps": steps * EPOCHS, "cpu_s": seconds, "scores": scores(out / "run", options.test)}
    kept.write_text(json.dumps(found, indent=1))
    return found


def scores(model: Path, tests: list[Path]) -> dict[str, dict[str, dict[str, float]]]:
    """Return song → stem → metric."""
    options = validation.parse(
        [*map(str, tests), "--model", str(model), "--given", "accompaniment", "--models-only"]
    )
    (system,) = validation.systems_of(options).values()
    return {song.name: validation.score(system, song) for song in validation.songs_of(options)}


def row(name: str, found: list[dict[str, object]]) -> str:
    """Return a line of the table: medians over songs, then means and extremes over seeds."""
    cells = []
    for stem in (*SOURCES, "mean"):
        values = [median_of(each["scores"], stem) for each in found]
        cells.append(f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    return f"| {name} | {found[0]['steps']} | {' | '.join(cells)} |"


def median_of(songs: object, stem: str) -> float:
    """Return the median of a stem over songs, or the mean of all stems' medians."""
    assert isinstance(songs, dict)
    if stem == "mean":
        return statistics.mean(median_of(songs, each) for each in SOURCES)
    return validation.median(song[stem]["SDR"] for song in songs.values() if stem in song)


def main() -> None:
    if sys.argv[1:2] == ["--partita"]:  # with the networks of this file
        sys.argv[:2] = ["partita"]
        partita_command()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--test", type=Path, nargs="+", required=True)
    parser.add_argument("--minutes", type=float, default=6.0, help="processor time of a training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=ENTRANTS, default=list(ENTRANTS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = [(name, seed) for seed in range(1, options.seeds + 1) for name in options.only]
    with ThreadPoolExecutor(options.jobs) as pool:
        every = list(pool.map(lambda case: run(*case, options), cases))
    found = dict(zip(cases, every, strict=True))
    print(f"| network | steps | {' | '.join((*SOURCES, 'mean'))} |")
    print(f"|---|{'---|' * (len(SOURCES) + 2)}")
    for name in options.only:
        print(row(name, [found[name, seed] for seed in range(1, options.seeds + 1)]))


if __name__ == "__main__":
    main()
