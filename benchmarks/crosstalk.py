"""The paper's experiment: Open-Unmix beside its extension, whose networks hear each other.

    python benchmarks/crosstalk.py --data FOLDER --out RUNS [--seeds 0 1 2] [--set key=value …]

FOLDER holds tracks in ``train/`` and ``test/``. Both recipes, ``umx-realtime`` and
``umx-crosstalk``, are trained with each seed and the same settings (no track is held out, the last
weights count), `--jobs` at a time; a training that is there already goes on or is taken as it is.
Then the test tracks are separated in mono, as the recipes are, and scored with BSS Eval v4, each
stem together with the sum of the others (sparse stems would silence the windows of all), references
rounded to 16 bits: medians over the seconds in which the stem is heard (above -60 dB of full
scale), mean over the tracks that have it, mean and standard deviation over seeds. The last column
is what the paper reports for the extension.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import partita
from partita.audio.channels import mix_channels
from partita.datasets import Track, open_dataset

RECIPES = ("umx-realtime", "umx-crosstalk")
METRICS = ("SDR", "SIR", "SAR")
HEARD_DB = -60.0
OVERALL, REST = "mean", "rest"
#: Tables 10 and 11 of the paper: the extension minus Open-Unmix, on one song.
CLAIMED = {
    "vocals": (0.084, 0.588, 0.095),
    "drums": (-0.435, -0.738, 0.172),
    "bass": (0.326, -0.381, 0.684),
    "other": (0.991, -0.973, 1.826),
    OVERALL: (0.249, -0.376, 0.693),
}
#: From a mixture ``[1, samples]`` and its rate to estimates of the same shape.
Separate = Callable[[np.ndarray, int], Mapping[str, np.ndarray]]
Scores = dict[str, dict[str, float]]


def train(recipe: str, seed: int, options: argparse.Namespace) -> Path:
    """Train one model, or go on with it; return its weights."""
    out = options.out / f"{recipe}-{seed}"
    settings = [f"seed={seed}", "valid_tracks=0", *options.settings]
    command = [sys.executable, "-m", "partita", "train", recipe, "--data", options.data]
    command += ["--out", out, "--resume", *(part for s in settings for part in ("--set", s))]
    threads = str(max(1, (os.cpu_count() or 1) // options.jobs))
    options.out.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    with (options.out / f"{recipe}-{seed}.log").open("a") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)
    return out / "model.safetensors"


def score(separate: Separate, tracks: list[Track]) -> Scores:
    """Return target → metric → mean over tracks, as far as they have the target."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for track in tracks:
        stems = track.load_stems()
        rate = next(iter(stems.values())).sample_rate
        true = {name: mix_channels(a.samples.numpy(), 1) for name, a in stems.items()}
        estimates = separate(sum(true.values()), rate)
        guessed = {name: estimates[name] for name in true}
        for name, stem in true.items():
            scores = partita.evaluate(
                {name: rounded(stem), REST: rounded(sum(true.values()) - stem)},
                {name: guessed[name], REST: sum(guessed.values()) - guessed[name]},
                sample_rate=rate,
            )
            heard = np.flatnonzero(seconds_heard(stem, rate))
            frames = [scores.targets[name].frames[second] for second in heard]
            found[name].append(
                {metric: float(np.nanmedian([f[metric] for f in frames])) for metric in METRICS}
            )
    means = {
        name: {metric: float(np.mean([each[metric] for each in rows])) for metric in METRICS}
        for name, rows in found.items()
    }
    means[OVERALL] = {m: float(np.mean([row[m] for row in means.values()])) for m in METRICS}
    return means


def rounded(signal: np.ndarray) -> np.ndarray:
    """Round to 16 bits, without which filters of what codecs left empty are not determined."""
    return (signal * 32768).round() / 32768


def seconds_heard(reference: np.ndarray, rate: int) -> np.ndarray:
    """Tell for each whole second of ``[1, samples]`` whether it is above the level."""
    count = reference.shape[1] // rate
    power = np.square(reference[0, : count * rate].reshape(count, rate), dtype=np.float64)
    return 10 * np.log10(power.mean(axis=1) + 1e-20) > HEARD_DB


def with_model(weights: Path) -> Separate:
    """Return what separates ``[1, samples]`` of some rate with a checkpoint."""
    separator = partita.Separator(str(weights))

    def separate(mixture: np.ndarray, rate: int) -> dict[str, np.ndarray]:
        estimates = separator(mixture, rate, keep_rate=True)
        return {name: audio.samples.numpy() for name, audio in estimates.items()}

    return separate


def print_table(results: dict[str, list[Scores]]) -> None:
    plain, crossed = (results[recipe] for recipe in RECIPES)
    print(f"\n{'dB':8}{'':5}{RECIPES[0]:>16}{RECIPES[1]:>16}{'difference':>16}{'paper':>8}")
    for target in plain[0]:
        for index, metric in enumerate(METRICS):
            values = [np.array([s[target][metric] for s in each]) for each in (plain, crossed)]
            cells = [f"{x.mean():8.2f} ± {x.std(ddof=1) if len(x) > 1 else 0:4.2f}"
                     for x in (*values, values[1] - values[0])]  # fmt: skip
            claimed = CLAIMED.get(target, (np.nan,) * 3)[index]
            name = target if index == 0 else ""
            print(f"{name:8}{metric:5}{''.join(f'{cell:>16}' for cell in cells)}{claimed:+8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args()
    pairs = [(recipe, seed) for seed in options.seeds for recipe in RECIPES]
    with ThreadPoolExecutor(options.jobs) as pool:
        weights = list(pool.map(lambda pair: train(*pair, options), pairs))
    tracks = list(open_dataset(options.data, subset="test"))
    floor = score(lambda mixture, _: defaultdict(lambda: mixture), tracks)
    print("mixture:", ", ".join(f"{name} {row['SDR']:.2f}" for name, row in floor.items()), "dB")
    results: dict[str, list[Scores]] = {recipe: [] for recipe in RECIPES}
    for (recipe, seed), path in zip(pairs, weights, strict=True):
        results[recipe].append(score(with_model(path), tracks))
        print(f"{recipe} {seed}: mean SDR {results[recipe][-1][OVERALL]['SDR']:.2f} dB", flush=True)
    (options.out / "scores.json").write_text(json.dumps(results, indent=2))
    print_table(results)


if __name__ == "__main__":
    main()
