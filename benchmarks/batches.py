"""What files cost beside the networks: many songs in one call, with one and with two jobs.

    python benchmarks/batches.py [--songs 50] [--seconds 30] [--rounds 1]

``partita separate`` of a folder of wav files with the default weights, as complete processes. The
networks' own time is that of a Separator in memory, of a decoded song, times the songs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from common import make_song, measure
from partita import Audio, Separator

RATE = 44100


@dataclass
class Batches:
    """Seconds of each round: of all networks in memory, and of the command by its jobs."""

    songs: int
    networks: list[float] = field(default_factory=list)
    commands: dict[int, list[float]] = field(default_factory=lambda: {1: [], 2: []})

    @property
    def overheads(self) -> list[float]:
        """Seconds a song beyond the networks, with one job, in each round."""
        rounds = zip(self.commands[1], self.networks, strict=True)
        return [(command - networks) / self.songs for command, networks in rounds]

    @property
    def gains(self) -> list[float]:
        """How many times as fast two jobs are as one, in each round."""
        return [one / two for one, two in zip(*self.commands.values(), strict=True)]


def run(songs: int, seconds: float, rounds: int) -> Batches:
    """Measure; all in turns."""
    found, song = Batches(songs), Audio(make_song(seconds, RATE), RATE)
    separator = Separator()
    separator(song)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "songs"
        folder.mkdir()
        for number in range(songs):
            song.save(folder / f"{number}.wav")
        for _ in range(rounds):
            started = time.perf_counter()
            for _ in range(3):
                separator(song)
            found.networks.append((time.perf_counter() - started) / 3 * songs)
            for jobs, times in found.commands.items():
                command = [sys.executable, "-m", "partita", "separate", str(folder), "--quiet"]
                command += ["--overwrite", "--out", f"{name}/out", "--jobs", str(jobs)]
                times.append(measure(command).seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--songs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    found = run(options.songs, options.seconds, options.rounds)
    print(f"{options.songs} songs of {options.seconds:g} s, medians of {options.rounds}")
    print(f"  networks, in memory  {statistics.median(found.networks):7.2f} s")
    for jobs, times in found.commands.items():
        print(f"  --jobs {jobs}             {statistics.median(times):7.2f} s")
    print(f"  overhead             {statistics.median(found.overheads):7.3f} s a song")


if __name__ == "__main__":
    main()
