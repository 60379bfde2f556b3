"""The Wiener filter in partita and norbert: same magnitudes and mixture, medians of three.

    python benchmarks/wiener.py [--seconds 30] [--sources 4] [--iterations 1] [--threads 2]

Stereo at 44.1 kHz, 4096 samples a frame, hop 1024. Each gets its preferred layout and precision:
norbert frames first and complex128, as its documentation asks, partita complex64 from its
transform.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from partita.dsp.stft import Stft
from partita.dsp.wiener import wiener
from partita.dsp.wiener_refinement import refine

RATE = 44100


def make(seconds: float, sources: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return estimates' magnitudes, the mixture's spectrogram, and the estimates themselves."""
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(1, sources, 2, round(seconds * RATE), generator=generator)
    true = true * torch.rand(1, sources, 2, 1, generator=generator)
    estimates = true + 0.3 * true.roll(1, dims=1)
    stft = Stft(fft_samples=4096, hop_samples=1024)
    return stft.analyse(estimates).abs(), stft.analyse(true.sum(dim=1)), estimates


def make_runs(
    seconds: float, sources: int, iterations: int
) -> dict[str, Callable[[], np.ndarray | torch.Tensor]]:
    """Return the measured functions."""
    import norbert

    magnitudes, mixture, estimates = make(seconds, sources)
    model = np.ascontiguousarray(magnitudes[0].permute(3, 2, 1, 0).double().numpy())
    observed = np.ascontiguousarray(mixture[0].permute(2, 1, 0).to(torch.complex128).numpy())
    signal = estimates.sum(dim=1)
    double = magnitudes.double(), mixture.to(torch.complex128)

    def run_norbert() -> np.ndarray:
        # norbert changes its input.
        return norbert.wiener(model, observed.copy(), iterations, use_softmask=False)

    return {
        "norbert, complex128": run_norbert,
        "partita, complex64": lambda: wiener(magnitudes, mixture, iterations=iterations),
        "partita, complex128": lambda: wiener(*double, iterations=iterations),
        "partita, waveforms": lambda: refine(estimates, signal, iterations),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--sources", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        runs = make_runs(options.seconds, options.sources, options.iterations)
    elapsed: dict[str, list[float]] = {name: [] for name in runs}
    images = {}
    with torch.inference_mode():
        for _ in range(options.rounds):
            for name, run in runs.items():
                started = time.perf_counter()
                images[name] = run()
                elapsed[name].append(time.perf_counter() - started)
    expected = images["norbert, complex128"]
    reference = statistics.median(elapsed["norbert, complex128"])
    print(
        f"{options.sources} sources, stereo, {options.seconds:g} s, "
        f"{options.iterations} iterations, {torch.get_num_threads()} threads"
    )
    print(f"{'':<20}  {'time':>8}  {'norbert ÷':>9}  {'difference':>10}")
    for name, times in elapsed.items():
        text = f"{name:<20}  {statistics.median(times):6.3f} s"
        text += f"  {reference / statistics.median(times):8.1f}×"
        if name.startswith("partita, complex"):
            found = images[name][0].permute(3, 2, 1, 0).numpy()
            text += f"  {np.linalg.norm(found - expected) / np.linalg.norm(expected):10.1e}"
        print(text)


if __name__ == "__main__":
    main()
