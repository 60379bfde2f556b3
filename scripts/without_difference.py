"""Weights of the second stage whose network also learned without the difference of the channels.

    python scripts/without_difference.py cut accompaniment-stems CUT
    python benchmarks/second_stages.py --partita train CUT/mine.toml --data FOLDER --out RUN
        --from CUT/model.safetensors …
    python scripts/without_difference.py mix accompaniment-stems RUN MIXED [--part 0.5]

`cut` writes weights and a recipe of a network that sees left and right alone. It computes what the
network it is made from computes if the difference of the channels is the typical one of
`partita.models._softmax_masks`: that is a linear function of left and right, which first layers
take in. `mix` puts it back: in its form with a difference, whose weights are 0, its part of the
weights of the mean.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from partita.models.band_split import BandSplit
from partita.weights.checkpoint import load_checkpoint, save_checkpoint
from partita.weights.store import load_model

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from second_stages import ChannelsAlone, ChannelsConfig, write_recipe


def cut(whole: BandSplit, out: Path) -> None:
    """Write weights and recipe of the network without the difference."""
    values = {field.name: getattr(whole.config, field.name) for field in fields(whole.config)}
    alone = ChannelsAlone(ChannelsConfig(**values))
    state = {name: tensor.float() for name, tensor in whole.state_dict().items()}
    for name in ("input_mean", "input_scale"):
        state[name] = state[name][:2]
    zero, one = (whole._typical_difference(torch.full((alone.config.bins,), x)) for x in (0.0, 1.0))
    first, features = 0, alone.config.features
    for band, bins in enumerate(alone.config.band_bins):
        part = slice(first, first + bins)
        first += bins
        line = (one - zero)[part], zero[part]  # slope, offset
        _fold(state, f"encoder.dense.{band}", 0, line)
        _fold(state, f"decoders.{band}.first", features, line)
    alone.load_state_dict(state)
    out.mkdir(parents=True, exist_ok=True)
    save_checkpoint(out / "model.safetensors", alone)
    write_recipe(out / "mine.toml", alone.registry_name, alone.config.to_dict())


def _fold(state: dict[str, Tensor], layer: str, before: int, line: tuple[Tensor, Tensor]) -> None:
    """Give a layer's weights of the difference to left and right, and to the bias."""
    slope, offset = line
    weight = state[f"{layer}.weight"]  # [outputs, before + 3 bins]
    left, right, difference = weight[:, before:].chunk(3, dim=1)
    half = difference * slope / 2  # the typical difference follows the mean of the channels
    state[f"{layer}.weight"] = torch.cat([weight[:, :before], left + half, right + half], dim=1)
    state[f"{layer}.bias"] = state[f"{layer}.bias"] + difference @ offset


def mix(whole: BandSplit, alone: ChannelsAlone, part: float, out: Path) -> None:
    """Write the mean of both networks' weights, of which `part` is the second's."""
    other = alone.state_dict()
    state = {}
    for name, tensor in whole.state_dict().items():
        if name.startswith("input_"):  # the normalisation is the same
            state[name] = tensor
            continue
        missing = tensor.shape[-1] - other[name].shape[-1]
        added = torch.nn.functional.pad(other[name], (0, missing))
        state[name] = (1 - part) * tensor.float() + part * added.float()
    whole.load_state_dict(state)
    save_checkpoint(out, whole, half=True)


def main() -> None:
    """Cut or mix."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("do", choices=["cut", "mix"])
    parser.add_argument("weights", help="a network with the difference, whose weights these are")
    parser.add_argument("paths", type=Path, nargs="+", help="OUT, or RUN and OUT")
    parser.add_argument("--part", type=float, default=0.5)
    options = parser.parse_args()
    whole = load_model(options.weights)
    assert isinstance(whole, BandSplit)
    if options.do == "cut":
        cut(whole, options.paths[0])
        return
    run, out = options.paths
    alone = load_checkpoint(run / "model.safetensors" if run.is_dir() else run)
    assert isinstance(alone, ChannelsAlone)
    mix(whole, alone, options.part, out)


if __name__ == "__main__":
    main()
