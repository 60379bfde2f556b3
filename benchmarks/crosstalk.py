"""The paper's experiment: Open-Unmix and its extension with connected networks.

    python benchmarks/crosstalk.py --data FOLDER --out RUNS [--seeds 0 1 2] [--set key=value …]

FOLDER holds tracks in ``train/`` and ``test/``. Both recipes, ``umx-realtime`` and
``umx-crosstalk``, are trained with each seed and the same settings (no track is held out, the last
weights count), `--jobs` at a time; an existing training is resumed or used as it is.
Then the test tracks are separated in mono, as the recipes are, and scored as `common.py` says;
the table has mean and standard deviation over seeds. The last column is what the paper reports for
the extension.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from common import METRICS, OVERALL, Scores, score, score_mixture, train, with_model
from partita.datasets import open_dataset

RECIPES = ("umx-realtime", "umx-crosstalk")
#: Tables 10 and 11 of the paper: the extension minus Open-Unmix, on one song.
CLAIMED = {
    "vocals": (0.084, 0.588, 0.095),
    "drums": (-0.435, -0.738, 0.172),
    "bass": (0.326, -0.381, 0.684),
    "other": (0.991, -0.973, 1.826),
    OVERALL: (0.249, -0.376, 0.693),
}


def train_one(recipe: str, seed: int, options: argparse.Namespace) -> Path:
    """Train a recipe from a seed; return its weights."""
    settings = [f"seed={seed}", "valid_tracks=0", *options.settings]
    return train(recipe, options.data, options.out / f"{recipe}-{seed}", settings, options.jobs)


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
        weights = list(pool.map(lambda pair: train_one(*pair, options), pairs))
    tracks = list(open_dataset(options.data, subset="test"))
    scores = score_mixture(tracks)
    print("mixture:", ", ".join(f"{name} {row['SDR']:.2f}" for name, row in scores.items()), "dB")
    results: dict[str, list[Scores]] = {recipe: [] for recipe in RECIPES}
    for (recipe, seed), path in zip(pairs, weights, strict=True):
        results[recipe].append(score(with_model(path), tracks))
        print(f"{recipe} {seed}: mean SDR {results[recipe][-1][OVERALL]['SDR']:.2f} dB", flush=True)
    (options.out / "scores.json").write_text(json.dumps(results, indent=2))
    print_table(results)


if __name__ == "__main__":
    main()
