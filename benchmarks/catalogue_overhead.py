"""What a catalogue costs beside separating: time for each song, memory of the driver.

    python benchmarks/catalogue_overhead.py            songs of a second with hpss, one worker
    python benchmarks/catalogue_overhead.py --memory   a million generated records

`catalogue_rates.py` measures songs in a second.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from partita.catalogue.engine import Policy
from partita.catalogue.files import Listed, LocalFiles
from partita.catalogue.local_engine import LocalEngine
from partita.catalogue.planning import plan
from partita.catalogue.records import PlanHeader, PlannedSong
from partita.catalogue.running import CatalogueRun, run_settings, survey
from partita.catalogue.store import SHARD_SONGS, Manifest
from partita.weights.resolve import resolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--songs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--model", default="hpss")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    if options.memory:
        measure_memory()
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_songs(folder / "songs", options.songs, options.seconds)
        measure_overhead(folder, options.model, options.songs)


def write_songs(folder: Path, count: int, seconds: float) -> None:
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).standard_normal((round(seconds * 44100), 2))
        soundfile.write(folder / f"{number:04}.wav", 0.1 * noise, 44100)


def measure_overhead(folder: Path, model: str, count: int) -> None:
    planned = time.perf_counter()
    manifest = Manifest(str(folder / "manifest"))
    plan([str(folder / "songs")], manifest, depth="header")
    planned = time.perf_counter() - planned
    settings = manifest.begin(run_settings(str(folder / "stems"), resolve(model)))
    run = CatalogueRun(manifest, settings, LocalEngine(1), Policy(), device="cpu")
    records, times = [], []
    for record in run.records():
        records.append(record)
        times.append(time.perf_counter())
    separating_s = sum(record.separating_s for record in records[1:]) / (count - 1)
    all_s = (times[-1] - times[0]) / (count - 1)  # without the start of the worker
    print(f"plan (--depth header): {1000 * planned / count:.1f} ms a song")
    print(
        f"separating: {1000 * separating_s:.1f} ms a song; with everything: {1000 * all_s:.1f} ms"
    )
    print(f"overhead: {1000 * (all_s - separating_s):.1f} ms a song")


def measure_memory(count: int = 1_000_000) -> None:
    for songs in (count // 100, count // 10, count):
        environment = {**os.environ, "GENERATED_SONGS": str(songs)}
        found = subprocess.run(
            [sys.executable, __file__, "--memory"], env=environment, capture_output=True, check=True
        )
        facts = json.loads(found.stdout)
        print(f"{songs:>9,} songs: peak {facts['mb']:.0f} MB, {facts['s']:.0f} s")


class GeneratedFiles(LocalFiles):
    """A manifest that is made up while it is read: half of the songs are done."""

    def __init__(self, songs: int) -> None:
        self._songs = songs

    def read(self, address: str) -> bytes:
        """Return a file of the plan."""
        shards = -(-self._songs // SHARD_SONGS)
        if address.endswith("plan.json"):
            header = PlanHeader(self._songs, shards, 0, 0.0, 0, 0, (), "", "")
            return json.dumps({"layout": "partita-catalogue-1", **vars(header)}).encode()
        if address.endswith("run.json"):
            raise FileNotFoundError(address)
        shard = int(Path(address).stem)
        songs = (self._song(shard, number) for number in range(SHARD_SONGS))
        return "".join(json.dumps(vars(song)) + "\n" for song in songs).encode()

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the records of a shard."""
        shard = int(Path(prefix).name)
        for number in range(0, SHARD_SONGS, 2):
            name = f"{self._song(shard, number).id}.1.done.json"
            yield Listed(f"{prefix}/{name}", 900, "")

    def _song(self, shard: int, number: int) -> PlannedSong:
        where = shard * SHARD_SONGS + number
        return PlannedSong(f"{where:016x}", f"s3://bucket/{where}.flac", f"{where}", 1, "e", 200.0)


class _NoEngine:
    """Ends each song at once."""

    def run(self, attempts, work, _cancel):
        """Yield failures."""
        for attempt in attempts:
            yield work.failure(attempt, "unreadable", "generated", 0.0)


def run_generated(songs: int) -> None:
    begun = time.perf_counter()
    manifest = Manifest("generated", GeneratedFiles(songs))
    assert survey(manifest).outcomes["done"] == songs // 2
    settings = run_settings("stems", resolve("hpss"))
    run = CatalogueRun(manifest, settings, _NoEngine(), Policy())
    assert sum(1 for _ in run.records(threading.Event())) == songs - songs // 2
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"mb": mb, "s": time.perf_counter() - begun}))


if __name__ == "__main__":
    if "GENERATED_SONGS" in os.environ:
        run_generated(int(os.environ["GENERATED_SONGS"]))
    else:
        main()
