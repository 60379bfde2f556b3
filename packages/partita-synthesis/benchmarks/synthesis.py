"""How fast songs are synthesised, and where the time goes.

    python packages/partita-synthesis/benchmarks/synthesis.py [--songs 12] [--duration 60]
        [--stems vocals,drums,bass,other] [--soundfont FILE …] [--style NAME …] [--midi FOLDER]
        [--recordings FOLDER]

Makes songs one after the other in one process with one thread, and says how much faster than real
time that is: the median over songs, which stage is slowest, and whether memory grows. The first
songs load sounds into the caches; they are made twice and timed the second time.
"""

# ruff: noqa: E402 - how many threads there are is read when NumPy is imported

from __future__ import annotations

import argparse
import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from partita_synthesis import Studio, SynthesisSettings, score_writers, song, song_folders

seconds: dict[str, float] = defaultdict(float)


def timed(stage: Callable[..., str], function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the time of each call to the stage that its arguments belong to."""

    def call(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        result = function(*arguments, **options)
        seconds[stage(*arguments)] += time.perf_counter() - started
        return result

    return call


def watch() -> None:
    """Time every stage of a song."""
    for kind in (score_writers.Composer, score_writers.MidiReader):
        kind.write = timed(lambda *_: "composing", kind.write)  # type: ignore[method-assign]
    song.play = timed(lambda _, sound, *__: f"playing: {kind_of(sound)}", song.play)
    song.mix = timed(lambda *_: "mixing", song.mix)
    song_folders.encode_file = timed(lambda *_: "writing", song_folders.encode_file)


def kind_of(sound: Any) -> str:
    """Name what plays."""
    if sound.instrument.synthesis == "voice":
        return "singing"
    behind = " + amplifier" if sound.amplifier else ""
    if sound.source is None:
        return f"own {sound.instrument.synthesis}{behind}"
    return f"{type(sound.source).__name__}{behind}"


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--duration", type=float, default=60.0)
    parser.add_argument("--stems", default="vocals,drums,bass,other")
    parser.add_argument("--soundfont", nargs="*", default=[])
    parser.add_argument("--style", nargs="*", default=[])
    parser.add_argument("--midi")
    parser.add_argument("--recordings")
    options = parser.parse_args()
    studio = Studio(
        SynthesisSettings(
            stems=tuple(options.stems.split(",")),
            duration_s=options.duration,
            soundfonts=tuple(options.soundfont),
            styles=tuple(options.style),
            midi=options.midi,
            recordings=options.recordings,
        )
    )
    watch()
    warm_s = {}
    for number in range(options.songs):  # loads sounds
        started = time.perf_counter()
        studio.song(number)
        warm_s[number] = time.perf_counter() - started
    seconds.clear()
    first_mb = memory_mb()
    songs_s, written_s, players = [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        work, out = Path(temporary, "work"), Path(temporary, "out")
        work.mkdir()
        out.mkdir()
        task = song_folders._Task(studio, work, out)
        for number in range(options.songs):
            writing_before = seconds["writing"]
            started = time.perf_counter()
            _, facts = task(number)
            whole = time.perf_counter() - started
            written = seconds["writing"] - writing_before
            songs_s.append(whole - written)
            written_s.append(whole)
            players.append(len(facts["players"]))
    rate = options.duration
    print(f"{options.songs} songs of {rate:g} s, {statistics.median(players)} players (median)")
    print(f"to memory: {rate / statistics.median(songs_s):.1f} × real time a core "
          f"(slowest {rate / max(songs_s):.1f}, fastest {rate / min(songs_s):.1f})")  # fmt: skip
    print(f"to disk:   {rate / statistics.median(written_s):.1f} × real time a core")
    print(f"with cold caches: {options.songs * rate / sum(warm_s.values()):.1f} ×")
    total = sum(seconds.values())
    for stage, taken in sorted(seconds.items(), key=lambda item: -item[1]):
        share, mean_ms = 100 * taken / total, 1000 * taken / options.songs
        print(f"  {stage:28s} {share:5.1f} %  {mean_ms:7.0f} ms a song")
    print(f"slowest stage: {max(seconds, key=lambda stage: seconds[stage])}")
    print(f"memory: {first_mb:.0f} MB after the first pass, {memory_mb():.0f} MB after the second")


if __name__ == "__main__":
    main()
