"""Speed and memory of mixing stems into files.

    python benchmarks/mix.py [--minutes 5]

Four stems of noise bursts, 16-bit stereo wav, are mixed by ``partita mix`` in a process of its own,
PyTorch's import included. Times are those of the processor, of all threads, because other work on
the machine does not count in them; speed is length over time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from common import measure

RATE = 44100
CASES = (
    ("wav", "a.wav"),
    ("mp3", "a.mp3"),
    ("wav, -14 LUFS", "b.wav", "--loudness", "-14"),
    ("wav, speed 0.8", "c.wav", "--speed", "0.8"),
    ("wav, pitch -2", "d.wav", "--pitch", "-2"),
    ("dj-pack, zip of flac", "e.zip", "--format", "flac", "--recipe", "dj-pack"),
    ("stem.mp4, speed 0.8", "f.stem.mp4", "--speed", "0.8"),
)


def write_stems(folder: Path, seconds: int) -> None:
    rng = np.random.default_rng(0)
    fading = 0.1 * np.linspace(1, 0, RATE)[:, None] ** 2
    for stem in ("vocals", "drums", "bass", "other"):
        with soundfile.SoundFile(folder / f"{stem}.wav", "w", RATE, 2, "PCM_16") as file:
            for _ in range(seconds):
                file.write(rng.standard_normal((RATE, 2)) * fading)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    seconds = round(60 * parser.parse_args().minutes)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "song"
        folder.mkdir()
        write_stems(folder, seconds)
        for name, out, *options in CASES:
            command = [sys.executable, "-m", "partita", "mix", str(folder), "-q"]
            spent = measure([*command, "-o", str(Path(place) / out), *options])
            speed = seconds / spent.processor_s
            print(
                f"{name:21} {spent.processor_s:6.1f} s {speed:5.0f}× real time "
                f"{spent.peak_mb:5.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
