"""Reading songs in partita and ffmpeg: decoded, and resampled to 44.1 kHz, as float32.

    python benchmarks/reading.py [--seconds 300] [--rounds 3]

ffmpeg is a process that decodes to raw samples, into nothing. partita reads blocks in this process,
and the time of a process that only imports its reader is added, for a fair comparison. The sources
have 48 kHz.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from common import make_song
from partita import Audio
from partita.audio.conversion import Conversion
from partita.audio.reader import open_audio
from partita.dsp.blocks import until_last

FORMATS = ("mp3", "flac", "m4a", "opus")
SOURCE_RATE, RATE = 48000, 44100


def is_possible() -> bool:
    """Return whether there is an ffmpeg to compare with."""
    return shutil.which("ffmpeg") is not None


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _read(path: Path) -> None:
    with open_audio(path) as reader:
        conversion = Conversion(reader.sample_rate, RATE, 2)
        for block, last in until_last(reader.blocks()):
            conversion.push(block, last)


def run(seconds: float, rounds: int) -> Mapping[str, list[float]]:
    """Return format → how many times as long as ffmpeg reading takes, in each round."""
    found: dict[str, list[float]] = {form: [] for form in FORMATS}
    start = [sys.executable, "-c", "import partita.audio.reader"]
    with tempfile.TemporaryDirectory() as folder:
        song = Audio(make_song(seconds, SOURCE_RATE), SOURCE_RATE)
        for form in FORMATS:
            song.save(Path(folder) / f"song.{form}")
        for _ in range(rounds):
            for form, ratios in found.items():
                path = Path(folder) / f"song.{form}"
                command = ["ffmpeg", "-v", "error", "-i", str(path), "-ar", str(RATE)]
                command += ["-ac", "2", "-f", "f32le", "-y", "/dev/null"]
                theirs = _seconds(lambda command=command: subprocess.run(command, check=True))
                ours = _seconds(lambda path=path: _read(path))
                ours += _seconds(lambda: subprocess.run(start, check=True))
                ratios.append(ours / theirs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for form, ratios in run(options.seconds, options.rounds).items():
        low, high = min(ratios), max(ratios)
        print(
            f"{form:<5} {statistics.median(ratios):5.2f}× ffmpeg's time ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
