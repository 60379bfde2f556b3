"""Songs in a second: a catalogue on Ray and in processes, and ``partita separate --jobs 2``.

    OMP_NUM_THREADS=1 python benchmarks/catalogue_rates.py [--model hpss] [--songs 60] [--seconds 8]

One thread each. The first songs, before which models are loaded, do not count. Rounds are
interleaved; the ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from catalogue_overhead import write_songs
from partita import Separator
from partita.catalogue.engine import Engine, Policy
from partita.catalogue.local_engine import LocalEngine
from partita.catalogue.planning import plan
from partita.catalogue.ray_cluster import connected
from partita.catalogue.ray_engine import RayEngine
from partita.catalogue.running import CatalogueRun, run_settings
from partita.catalogue.store import Manifest
from partita.weights.resolve import resolve

LEFT_OUT = 4  # songs at the beginning


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--songs", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--model", default="hpss")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, connected("local", 2):
        folder = Path(name)
        write_songs(folder / "songs", options.songs, options.seconds)
        separator = Separator(options.model, device="cpu")
        ways: dict[str, Callable[[Path], Iterable[Any]]] = {
            "Ray, 1 worker": partial(catalogue, options.model, RayEngine(jobs=1, cores=1)),
            "Ray, 2 workers": partial(catalogue, options.model, RayEngine(jobs=2, cores=1)),
            "2 processes": partial(catalogue, options.model, LocalEngine(2)),
            "separate --jobs 2": lambda place: separator.separate_many(
                [place.parent / "songs"], place, jobs=2
            ),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(options.rounds):
            for way, run in ways.items():
                rates[way].append(rate(run(folder / f"{way}{number}")))
                print(f"round {number + 1}, {way}: {rates[way][-1]:.2f} songs/s", flush=True)
    two = rates["Ray, 2 workers"]
    for other in ("Ray, 1 worker", "2 processes", "separate --jobs 2"):
        ratios = [mine / theirs for mine, theirs in zip(two, rates[other], strict=True)]
        print(f"Ray, 2 workers / {other}: {statistics.median(ratios):.2f}")


def catalogue(model: str, engine: Engine, place: Path) -> Iterable[Any]:
    """Yield the records of a catalogue of all songs."""
    manifest = Manifest(str(place / "manifest"))
    plan([str(place.parent / "songs")], manifest, depth="header")
    settings = manifest.begin(run_settings(str(place / "stems"), resolve(model)))
    return CatalogueRun(manifest, settings, engine, Policy(), device="cpu").records()


def rate(ended: Iterable[Any]) -> float:
    """Return how many songs end in a second, after the first ones."""
    times, separating_s = [], []
    for each in ended:
        assert each.outcome == "done" if hasattr(each, "outcome") else each.status == "done"
        times.append(time.perf_counter())
        separating_s.append(getattr(each, "separating_s", 0.0))
    each_s = (times[-1] - times[LEFT_OUT - 1]) / (len(times) - LEFT_OUT)
    if any(separating_s):
        mean_s = statistics.mean(separating_s[LEFT_OUT:])
        print(f"  {1000 * each_s:.0f} ms between songs; {1000 * mean_s:.0f} ms to separate one")
    return 1 / each_s


if __name__ == "__main__":
    main()
