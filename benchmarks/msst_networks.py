"""RoFormers, SCNet and MDX23C in partita and msst 0.1.0: same random weights and windows.

    python benchmarks/msst_networks.py [--only NAME…] [--threads 1] [--rounds 3] [--seconds N]

Networks have published sizes; RoFormers have one stem and the rest. Windows are the models' own, or
the nearest whole number of frames to ``--seconds``. Times are medians of wall-clock seconds per
window, alternating. ``differ`` is the largest difference of estimates relative to the largest of
msst's. Peak memory is that of one process each.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from common import make_song, own_peak_mb, printed_number
from partita.models import create_model
from partita.models._protocol import SeparationModel

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from msst_reference import msst_network

_RESIDUAL = {"sources": ["vocals", "other"], "residual": True}
MODELS = {"bs-roformer": _RESIDUAL, "mel-band-roformer": _RESIDUAL, "scnet": {}, "mdx23c": {}}
HERE, THERE = "here", "msst"


def make_model(name: str) -> SeparationModel:
    """Return a model with random weights."""
    torch.manual_seed(0)
    return create_model(name, MODELS[name]).eval()


def make_network(name: str, side: str) -> nn.Module:
    """Return the network of one side, ready for inference."""
    model = make_model(name)
    return model.for_inference() if side == HERE else msst_network(model).eval()


def make_window(model: SeparationModel, seconds: float | None) -> Tensor:
    """Return stereo ``[1, 2, samples]`` that both accept unchanged."""
    assert model.window is not None
    samples = model.window.length
    if seconds is not None:
        hop = model.config.hop_samples
        samples = round(seconds * model.sample_rate / hop) * hop
        if model.registry_name == "mdx23c":  # which wants whole strides
            samples = model.config.padded_samples(samples)
    return make_song(samples / model.sample_rate, model.sample_rate)[None]


@torch.inference_mode()
def measure(name: str, seconds: float | None, rounds: int) -> tuple[dict[str, float], float]:
    """Return the median time of each side, and the largest relative difference."""
    networks = {side: make_network(name, side) for side in (HERE, THERE)}
    window = make_window(make_model(name), seconds)
    elapsed: dict[str, list[float]] = {side: [] for side in networks}
    estimates: dict[str, Tensor] = {}
    for _ in range(rounds):
        for side, network in networks.items():
            started = time.perf_counter()
            estimates[side] = network(window)
            elapsed[side].append(time.perf_counter() - started)
    expected = estimates[THERE]
    found = estimates[HERE]
    if MODELS[name]:  # msst returns the stem only
        found = found[:, 0]
    difference = float((found - expected).abs().max() / expected.abs().max())
    return {side: statistics.median(times) for side, times in elapsed.items()}, difference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--measure", choices=(HERE, THERE), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", "A window was not provided")  # msst has none
    if options.measure:
        (name,) = options.only
        window = make_window(make_model(name), options.seconds)
        with torch.inference_mode():
            make_network(name, options.measure)(window)
        print(own_peak_mb())
        return
    print(f"{options.threads} threads, {options.rounds} rounds")
    titles = f"{'window':>7} {'here':>8} {'msst':>8} {'msst ÷':>7} {'differ':>8}"
    print(f"{'':<18} {titles}  peaks of memory")
    again = ["--threads", str(options.threads)]
    again += [] if options.seconds is None else ["--seconds", str(options.seconds)]
    for name in options.only:
        times, difference = measure(name, options.seconds, options.rounds)
        length = make_window(make_model(name), options.seconds).shape[-1] / 44100
        here, there = (
            printed_number([__file__, "--only", name, "--measure", side, *again])
            for side in (HERE, THERE)
        )
        print(
            f"{name:<18} {length:5.2f} s {times[HERE]:6.2f} s {times[THERE]:6.2f} s "
            f"{times[THERE] / times[HERE]:6.2f}× {difference:8.1e}  "
            f"{here:5.0f} MB, msst {there:5.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
