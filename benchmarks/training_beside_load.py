"""How fast a small network trains beside another program, under several ways to wait for threads.

    python benchmarks/training_beside_load.py [--recipe umx-tiny] [--seconds 20] [--rounds 2]

Each figure is a process of its own: network, loss and Adam of the recipe, batches of noise. The
ways take turns, with and without one busy process beside them. Steps a second, medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

WAYS = {
    "as PyTorch comes": {},
    "partita train": {"GOMP_SPINCOUNT": "1000"},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}
BUSY = [sys.executable, "-c", "while True: pass"]


def steps_per_second(recipe_name: str, seconds: float) -> float:
    """Train for some seconds and return the steps of one; the first two are not counted."""
    import torch

    from partita.training.losses import TrainingStep
    from partita.training.recipes import load_recipe
    from partita.training.run import Start

    recipe, model = Start(load_recipe(recipe_name), []).resolve()
    settings = recipe.training
    step = TrainingStep(model, settings.loss).train()
    optimiser = torch.optim.Adam(step.parameters())
    samples = round(settings.excerpt_s * model.sample_rate)
    rows = 0.1 * torch.randn(settings.batch_size, len(model.learned), model.channels, samples)
    done, started = -2, time.perf_counter()
    while done < 1 or time.perf_counter() - started < seconds:
        optimiser.zero_grad()
        step(rows).total.backward()
        optimiser.step()
        done += 1
        if not done:
            started = time.perf_counter()
    return done / (time.perf_counter() - started)


def measure(way: dict[str, str], options: argparse.Namespace, *, busy: bool) -> float:
    others = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "MKL_"))}
    command = [sys.executable, __file__, "--worker", "--recipe", options.recipe]
    beside = subprocess.Popen(BUSY) if busy else None
    try:
        command += ["--seconds", str(options.seconds)]
        result = subprocess.run(
            command, env=others | way, capture_output=True, text=True, check=True
        )
    finally:
        if beside is not None:
            beside.kill()
            beside.wait()
    return float(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", default="umx-tiny")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(steps_per_second(options.recipe, options.seconds))
        return
    found: dict[tuple[str, bool], list[float]] = {}
    for _ in range(options.rounds):
        for busy in (False, True):
            for name, way in WAYS.items():
                found.setdefault((name, busy), []).append(measure(way, options, busy=busy))
    print(f"| steps/s, {os.cpu_count()} cores | " + " | ".join(WAYS) + " |")
    print("|---" * (len(WAYS) + 1) + "|")
    for busy, label in ((False, "quiet"), (True, "one busy process beside it")):
        cells = (f"{statistics.median(found[name, busy]):.2f}" for name in WAYS)
        print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
