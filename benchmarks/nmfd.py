"""Convolutive NMF (table 3 of the paper) in partita and libnmfd 1.0.0, on the example song.

    python benchmarks/nmfd.py [--libnmfd FOLDER] [--threads 2] [--repeats 3]

FOLDER holds the unpacked wheel of libnmfd (see scripts/freeze_libnmfd.py). libnmfd takes mono;
both start from a magnitude spectrogram (frames of 4096 samples, hop 1024) and end with the
spectrograms of four components. The fastest of several runs counts; libnmfd runs once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from partita.dsp.hpss import hpss
from partita.dsp.nmfd import nmfd
from partita.dsp.repet import repet
from partita.dsp.stft import Stft

ROOT = Path(__file__).parent.parent
RATE, HOP = 44100, 1024


def spectrogram(seconds: float, channels: int) -> torch.Tensor:
    """Return magnitudes of the example song, ``[channels, bins, frames]``."""
    sys.path.insert(0, str(ROOT / "examples"))
    import example_song

    song = torch.from_numpy(example_song.mixture(example_song.render(seconds)))
    return Stft(4096, HOP).analyse(song[:channels]).abs()


def best(repeats: int, run: Callable[..., object], *arguments: object, **options: object) -> float:
    """Return the time of the fastest run in seconds."""
    elapsed = []
    for _ in range(repeats):
        started = time.perf_counter()
        run(*arguments, **options)
        elapsed.append(time.perf_counter() - started)
    return min(elapsed)


def run_nmfd(magnitudes: torch.Tensor, updates: str) -> None:
    nmfd(magnitudes, updates=updates).components()


def run_libnmfd(folder: str, magnitudes: torch.Tensor) -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    import freeze_libnmfd

    nmfconv = freeze_libnmfd.import_nmfd(folder)
    bins, frames = magnitudes.shape
    templates = nmfconv.init_templates(num_comp=4, num_bins=bins, num_template_frames=8)
    activations = nmfconv.init_activations(num_comp=4, num_frames=frames, strategy="uniform")
    nmfconv.nmfd(magnitudes.double().numpy(), 4, None, 30, 8, templates, activations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--libnmfd", metavar="FOLDER")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    periods = [round(seconds * RATE / HOP) for seconds in (0.8, 8)]
    for seconds, channels in ((30, 1), (240, 2)):
        magnitudes = spectrogram(seconds, channels)
        figures = {}
        if options.libnmfd and channels == 1:
            figures["libnmfd"] = best(1, run_libnmfd, options.libnmfd, magnitudes[0])
        for updates in ("averaged", "monotone"):
            figures[f"nmfd, {updates}"] = best(options.repeats, run_nmfd, magnitudes, updates)
        figures["hpss"] = best(options.repeats, hpss, magnitudes, margin=2.0)
        figures["repet"] = best(options.repeats, repet, magnitudes, *periods)
        for name, elapsed in figures.items():
            line = f"{seconds:4} s, {channels} ch  {name:<15}{elapsed:8.2f} s"
            line += f"{seconds / elapsed:8.1f}× real time"
            if "libnmfd" in figures and "nmfd" in name:
                line += f"{figures['libnmfd'] / elapsed:8.1f}× libnmfd"
            print(line)


if __name__ == "__main__":
    main()
