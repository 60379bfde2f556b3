"""How long catalogues of millions of songs take, what they cost, and what breaks first.

    python benchmarks/catalogue_simulation.py [--songs 10000000] [--workers 1,10,100,1000]
        [--model four-stems] [--faster 1,100] [--measured FILE.json]

First, what one song costs is measured on this machine with the real parts: the requests of a worker
that takes songs from a real S3 server (moto's) and puts stems there; its processor time, on local
files; plans, records and listings of a manifest; the driver of the local engine. --measured keeps
the figures in a file, and reads them from there the next time.

Then a discrete simulation runs whole catalogues, song by song, the longest first. Lengths are
log-normal. Songs wait for three things: a free worker, the driver, which hands out one song after
the other, and the store, which answers so many writes a second. --faster are workers that separate
so many times as fast as one core of this machine: GPUs, each with 16 cores that decode, encode,
verify and transfer other songs meanwhile. Some attempts are lost with their machines.

Assumed, not measured: the time of a request and the bandwidth of a worker inside a data centre, the
writes a second that Amazon states for one prefix of a bucket, and Amazon's prices.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from catalogue_costs import MEDIAN_S, SHARD, Measured, measure, measure_plan
from partita.catalogue.transport.filesystems import PART_BYTES

PAGE = 1000  # keys that S3 lists at once
SPREAD = 0.35  # of lengths, log-normal: 95 % are between 1:53 and 7:27
READERS = 16  # requests of the driver at once, where it looks at all songs
REQUEST_S, BYTES_PER_S = 0.05, 50e6
WRITES_PER_S = 3500.0
DOLLARS_PER_WRITE, DOLLARS_PER_READ = 5e-6, 0.4e-6  # PUT, POST and LIST; GET and HEAD
CORES_BESIDE = 16  # of a GPU
LOST = 0.01  # attempts whose machine is taken away, half done on average


@dataclass(frozen=True)
class Outcome:
    """What a simulated run took.

    Attributes
    ----------
    makespan_s : float
    busy : dict of str to float
        Share of that time in which workers, driver and store were busy.
    """

    makespan_s: float
    busy: dict[str, float]


def lengths_of(songs: int, seed: int = 0) -> np.ndarray:
    """Return lengths in seconds, the longest first."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(math.log(MEDIAN_S), SPREAD, songs), 20.0, 7200.0)
    return np.sort(lengths)[::-1]


def requests_of(measured: Measured, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return reads and writes of each song: files are moved in parts of 8 MiB."""
    parts_in = np.ceil(measured.bytes_in * lengths / PART_BYTES)
    parts_out = np.ceil(measured.bytes_out / measured.stems * lengths / PART_BYTES)
    reads = measured.reads + np.maximum(parts_in, 1) - 1
    return reads, measured.writes + measured.stems * (np.maximum(parts_out, 1) - 1)


def service_s(measured: Measured, lengths: np.ndarray, faster: float) -> np.ndarray:
    """Return how long a worker is busy with each song."""
    separating = (measured.song_s + measured.song_ratio * lengths) / faster
    rest = measured.rest_s + measured.rest_ratio * lengths
    store = sum(requests_of(measured, lengths)) * REQUEST_S
    moving = (measured.bytes_in + measured.bytes_out) * lengths / BYTES_PER_S
    if faster == 1:
        return separating + rest + store + moving
    return np.maximum(separating, (rest + store) / CORES_BESIDE + moving)


def surveyed_s(measured: Measured, songs: int) -> float:
    """Return how long a look at all songs takes, as at the beginning of a run."""
    return math.ceil(songs / SHARD) * max(2 * REQUEST_S / READERS, measured.survey_s)


def simulate(measured: Measured, lengths: np.ndarray, workers: int, faster: float) -> Outcome:
    """Run a catalogue; every song waits for a worker, the driver and the store."""
    rng = np.random.default_rng(1)
    services = service_s(measured, lengths, faster)
    lost = rng.random(len(lengths)) < LOST
    services = np.where(lost, services * (1.0 + rng.random(len(lengths))), services).tolist()
    dispatch_s = measured.dispatch_s + (2 * REQUEST_S + measured.survey_s) / SHARD
    begin_s = surveyed_s(measured, len(lengths))
    writes_s = (requests_of(measured, lengths)[1] / WRITES_PER_S).tolist()
    free = [begin_s] * workers
    driver_s = store_s = begin_s
    for service, write_s in zip(services, writes_s, strict=True):
        start_s = max(free[0], driver_s)
        driver_s = start_s + dispatch_s
        store_s = max(store_s, start_s) + write_s
        heapq.heapreplace(free, max(start_s + service, store_s))
    makespan_s = max(free)
    songs = len(lengths)
    return Outcome(
        makespan_s,
        {
            "workers": sum(services) / workers / makespan_s,
            "driver": (begin_s + songs * dispatch_s) / makespan_s,
            "store": sum(writes_s) / makespan_s,
        },
    )


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for unit, size in (("years", 31_557_600.0), ("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def rows_of_facts(measured: Measured) -> Iterator[list[str]]:
    """Yield what was measured."""
    yield ["measured", ""]
    for name, value in dataclasses.asdict(measured).items():
        yield [name, f"{value:.4g}" if isinstance(value, float) else str(value)]


def rows_of_runs(
    measured: Measured, songs: int, workers: list[int], faster: list[float]
) -> Iterator[list[str]]:
    """Yield the table of makespans."""
    yield ["workers", "each", "makespan", "songs/s", "workers busy", "driver busy", "store busy"]
    lengths = lengths_of(songs)
    for times in faster:
        for count in workers:
            found = simulate(measured, lengths, count, times)
            yield [
                *(f"{count:,}", "1 core" if times == 1 else f"{times:g} cores"),
                *(duration(found.makespan_s), f"{songs / found.makespan_s:.3g}"),
                *(f"{share:.0%}" for share in found.busy.values()),
            ]


def rows_of_growth(measured: Measured, songs: int) -> Iterator[list[str]]:
    """Yield what a song costs in catalogues of growing size, with 100 workers."""
    yield [
        *("songs", "listing requests", "requests a song", "manifest a song", "plan a song"),
        *("makespan × workers a song", "look at all records"),
    ]
    size = 10_000
    while size <= songs:
        lengths = lengths_of(size)
        found = simulate(measured, lengths, 100, 1.0)
        pages = math.ceil(size / PAGE)
        yield [
            *(f"{size:,}", f"{pages:,}"),
            f"{float(sum(requests_of(measured, lengths)).mean()) + 4 * pages / size:.2f}",
            f"{measured.plan_bytes + measured.record_bytes:.0f} B",
            f"{1e6 * measure_plan(min(size, 200_000))['plan_s']:.0f} µs",
            f"{100 * found.makespan_s / size:.1f} s",
            duration(surveyed_s(measured, size)),
        ]
        size *= 10


def facts_of(measured: Measured, songs: int) -> Iterator[list[str]]:
    """Yield what the catalogue costs beside the time of workers."""
    pages = math.ceil(songs / PAGE)
    hours = float(np.sum(lengths_of(songs))) / 3600
    reads, writes = (float(asked.sum()) for asked in requests_of(measured, lengths_of(songs)))
    writes, reads = writes + 4 * pages, reads + 2 * pages
    moved = (measured.bytes_in + measured.bytes_out) * hours * 3600
    manifest = songs * (measured.plan_bytes + measured.record_bytes)
    yield ["", "amount", "price"]
    yield ["audio", f"{hours:,.0f} h", ""]
    yield ["listing of the songs", f"{pages:,} requests", f"${pages * DOLLARS_PER_WRITE:,.2f}"]
    yield [
        "listing of the records, once",
        f"{pages:,} requests",
        f"${pages * DOLLARS_PER_WRITE:,.2f}",
    ]
    yield ["writes (PUT, POST, LIST)", f"{writes:,.0f}", f"${writes * DOLLARS_PER_WRITE:,.0f}"]
    yield ["reads (GET, HEAD)", f"{reads:,.0f}", f"${reads * DOLLARS_PER_READ:,.0f}"]
    yield ["songs in, stems out", f"{moved / 1e12:,.0f} TB", "within a region: none"]
    yield ["manifest", f"{manifest / 1e9:,.1f} GB in {songs + pages:,} files", ""]
    yield ["plan from a listing", duration(songs * measured.plan_s + pages * REQUEST_S), ""]
    heard_s = measured.fingerprint_s + measured.fingerprint_reads * REQUEST_S
    yield ["plan with fingerprints, one core", duration(songs * heard_s), ""]


def print_table(rows: Iterator[list[str]]) -> None:
    """Print a table in Markdown."""
    for number, row in enumerate(rows):
        print(f"| {' | '.join(row)} |")
        if not number:
            print(f"|{'---|' * len(row)}")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=10_000_000)
    parser.add_argument("--workers", default="1,10,100,1000")
    parser.add_argument("--model", default="four-stems")
    parser.add_argument("--faster", default="1,100")
    parser.add_argument("--measured", type=Path)
    options = parser.parse_args()
    if options.measured and options.measured.exists():
        measured = Measured(**json.loads(options.measured.read_text()))
    else:
        measured = measure(options.model)
        if options.measured:
            options.measured.write_text(json.dumps(dataclasses.asdict(measured), indent=1) + "\n")
    print_table(rows_of_facts(measured))
    print_table(facts_of(measured, options.songs))
    workers = [int(count) for count in options.workers.split(",")]
    faster = [float(times) for times in options.faster.split(",")]
    print_table(rows_of_runs(measured, options.songs, workers, faster))
    print_table(rows_of_growth(measured, options.songs))


if __name__ == "__main__":
    main()
