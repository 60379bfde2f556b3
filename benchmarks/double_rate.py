"""Doubling and halving the sample rate beside julius: one core, medians of nine, in turns.

    python benchmarks/double_rate.py [--seconds 10]

The signals of Demucs: a stereo mixture is doubled, four stereo estimates are halved.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import julius
import torch
from torch import Tensor

from partita.dsp.double_rate import double_rate, halve_rate

RATE, ROUNDS = 44100, 9


def inference(function: Callable[[Tensor], Tensor], signal: Tensor) -> None:
    with torch.no_grad():
        function(signal)


def training(function: Callable[[Tensor], Tensor], signal: Tensor) -> None:
    function(signal.clone().requires_grad_()).sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    samples = round(parser.parse_args().seconds * RATE)
    torch.set_num_threads(1)
    mixture, estimates = torch.randn(1, 2, samples), torch.randn(1, 8, 2 * samples)
    cases = {
        "double, 2 channels": (mixture, double_rate, julius.ResampleFrac(1, 2)),
        "halve, 8 channels": (estimates, halve_rate, julius.ResampleFrac(2, 1)),
    }
    for name, (signal, ours, theirs) in cases.items():
        difference = float((ours(signal) - theirs(signal)).abs().max())
        for run in (inference, training):
            times: dict[str, list[float]] = {"partita": [], "julius": []}
            for _ in range(ROUNDS):
                for library, function in (("partita", ours), ("julius", theirs)):
                    start = time.perf_counter()
                    run(function, signal)
                    times[library].append(time.perf_counter() - start)
            medians = {library: statistics.median(each) for library, each in times.items()}
            print(
                f"{name}, {run.__name__}: partita {medians['partita']:.3f} s, "
                f"julius {medians['julius']:.3f} s; largest difference {difference:.1e}"
            )


if __name__ == "__main__":
    main()
