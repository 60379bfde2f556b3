"""Time and memory of BSS Eval in partita and museval: four stereo sources, the same signals.

    python benchmarks/bsseval.py [--seconds 240] [--framewise-seconds 60]

museval takes nearly the track's length for version 4 and five times that for version 3: ten minutes
for the default lengths. The lower bound of version 4 (*floor*) is the time of its transforms and
matrix products alone at this machine's measured rates.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

RATE = 44100


def signals(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Return references and estimates ``[4, samples, 2]``, seeded."""
    rng = np.random.default_rng(0)
    references = rng.standard_normal((4, round(seconds * RATE), 2))
    estimates = references + 0.2 * references[::-1]
    return references, estimates + 0.3 * rng.standard_normal(references.shape)


def run_ours(references: np.ndarray, estimates: np.ndarray, *, framewise: bool) -> float:
    import torch

    from partita.evaluation.bsseval import bss_eval

    true, guess = torch.from_numpy(references), torch.from_numpy(estimates)
    started = time.perf_counter()
    bss_eval(true, guess, window=RATE, framewise_filters=framewise)
    return time.perf_counter() - started


def run_museval(references: np.ndarray, estimates: np.ndarray, *, framewise: bool) -> float:
    import types

    sys.modules["musdb"] = types.ModuleType("musdb")
    import museval

    started = time.perf_counter()
    museval.evaluate(references, estimates, win=RATE, hop=RATE, mode="v3" if framewise else "v4")
    return time.perf_counter() - started


def print_floor(seconds: float, references: int = 8, estimates: int = 8) -> None:
    """Print the least time for version 4, from operations and the machine's measured rates."""
    import torch

    size, taps = 4096, 512
    inputs, signals = references, references + estimates
    transform = 2.5 * size * math.log2(size)  # operations of one real transform
    blocks = 2 * seconds * RATE / (size - taps + 1)  # the whole track, then window by window
    forward = blocks * (inputs + signals) * transform
    inverse = seconds * inputs * signals * transform  # one of each pair for each window
    products = blocks * (size // 2 + 1) * inputs * signals * 8
    batch = torch.randn(256, size, dtype=torch.float64)
    fft_rate = 256 * transform / _fastest(lambda: torch.fft.rfft(batch))
    left = torch.randn(size // 2 + 1, inputs, 13, dtype=torch.complex128)
    right = torch.randn(size // 2 + 1, 13, signals, dtype=torch.complex128)
    product_rate = (size // 2 + 1) * inputs * signals * 13 * 8 / _fastest(lambda: left @ right)
    floor_s = (forward + inverse) / fft_rate + products / product_rate
    print(
        f"floor of v4, {seconds:g} s: {floor_s:.1f} s = "
        f"{(forward + inverse) / 1e9:.0f} GFLOP of transforms at {fft_rate / 1e9:.1f} GFLOP/s + "
        f"{products / 1e9:.0f} GFLOP of products at {product_rate / 1e9:.1f} GFLOP/s"
    )


def _fastest(run: Callable[[], object], repeats: int = 20) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--framewise-seconds", type=float, default=60)
    parser.add_argument("--only", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:  # one measurement, in its own process
        name, version, seconds = options.only
        run = {"partita": run_ours, "museval": run_museval}[name]
        held = list(signals(float(seconds)))
        if name == "partita":  # [sources, channels, samples], as it reads files
            for index, array in enumerate(held):
                held[index] = np.ascontiguousarray(array.transpose(0, 2, 1))
                del array
        elapsed = run(*held, framewise=version == "v3")
        print(elapsed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    for version, seconds in (("v4", options.seconds), ("v3", options.framewise_seconds)):
        figures = {}
        for name in ("partita", "museval"):
            command = [sys.executable, __file__, "--only", name, version, str(seconds)]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            figures[name] = [float(word) for word in output.split()]
        for name, (elapsed, peak) in figures.items():
            print(
                f"{version}, {seconds:g} s  {name:<8} {elapsed:7.2f} s  {peak:6.0f} MB  "
                f"{figures['museval'][0] / elapsed:5.1f}× museval",
                flush=True,
            )
    print_floor(options.seconds)


if __name__ == "__main__":
    main()
