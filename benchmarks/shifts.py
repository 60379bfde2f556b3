"""Effect of averaging over random delays (shifts).

    python benchmarks/shifts.py --model RUN --data FOLDER [--shifts 0 2 5 10] [--seed 0]

The test tracks of FOLDER are separated with a checkpoint or the folder of a training, with each
number of shifts, and scored as in `common.py`: SDR in dB, and time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from common import score, with_model
from partita.datasets import open_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--shifts", type=int, nargs="+", default=[0, 2, 5, 10])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tracks = list(open_dataset(options.data, subset="test"))
    for shifts in options.shifts:
        separate = with_model(options.model, shifts=shifts, seed=options.seed)
        started = time.perf_counter()
        rows = score(separate, tracks)
        elapsed = time.perf_counter() - started
        cells = ", ".join(f"{name} {row['SDR']:.2f}" for name, row in rows.items())
        print(f"{shifts:3d} shifts: {cells} dB, {elapsed:.0f} s", flush=True)


if __name__ == "__main__":
    main()
