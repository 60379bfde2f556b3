"""Scores of cards on the same songs: the column *ours* of `partita models`.

    python benchmarks/cards.py SONGS NAME … [--keep FOLDER] [--json FILE]

SONGS is a folder of songs' stems; NAME is a card, or an oracle such as mixture. The scores are
those of ``partita benchmark --data SONGS --model NAME``: BSS Eval v4, the card's sources scored
together, medians over windows of a second, then over songs; uSDR is that of whole songs, median
over songs. The last table is the same with ``--targets vocals,accompaniment``. Each song is
separated once; --keep caches estimates, so that an interrupted run resumes.

The null depth is the worst of all songs: the level of mixture minus sum of stems, relative to the
mixture.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from partita import Audio, Separator
from partita.datasets import Dataset, open_dataset
from partita.evaluation.aggregate import Summary, summarise
from partita.evaluation.runs import benchmark
from partita.evaluation.scores import TrackScores
from partita.evaluation.scoring import ScoreOptions
from partita.evaluation.tasks import RunOptions
from partita.files import whole_file
from partita.separation.estimates import Estimates

TWO = ("vocals", "accompaniment")


class Kept(Separator):
    """A Separator that caches estimates and records the null depth.

    Parameters
    ----------
    model : str
    folder : Path
        Folder of the cached estimates.
    """

    def __init__(self, model: str, folder: Path) -> None:
        super().__init__(model)
        self._card, self._folder = model, folder
        self.null_depths_db: list[float] = []

    def __call__(
        self, mixture: torch.Tensor | np.ndarray, sample_rate: int, *, keep_rate: bool = False
    ) -> Estimates:
        """Separate as a Separator, or load cached estimates."""
        key = hashlib.sha256(np.ascontiguousarray(mixture).tobytes()).hexdigest()[:16]
        path = self._folder / f"{self._card}-{key}.safetensors"
        if path.exists():
            tensors = load_file(path)
            null_depth_db = float(tensors.pop("null_depth_db"))
            stems = {name: Audio(samples, sample_rate) for name, samples in tensors.items()}
            estimates = Estimates(stems, null_depth_db)
        else:
            estimates = super().__call__(mixture, sample_rate, keep_rate=keep_rate)
            tensors = {name: audio.samples.contiguous() for name, audio in estimates.items()}
            tensors["null_depth_db"] = torch.tensor(estimates.null_depth_db, dtype=torch.float64)
            self._folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial:
                save_file(tensors, partial)
        self.null_depths_db.append(estimates.null_depth_db)
        return estimates


def scores(name: str, songs: Dataset, folder: Path) -> dict[str, Any]:
    """Return the measurements of one card or oracle."""
    made: list[Kept] = []

    def separator(model: str) -> Kept:
        made.append(made[0] if made else Kept(model, folder))
        return made[0]

    own = medians(name, songs, (), separator)
    found: dict[str, Any] = {
        "sdr": {target: row.medians["SDR"] for target, row in own.items()},
        "usdr": {target: row.medians["uSDR"] for target, row in own.items()},
        "songs": {target: row.tracks for target, row in own.items()},
    }
    if "vocals" in own:
        two = medians(name, songs, TWO, separator)
        found["two_stems"] = {target: row.medians["SDR"] for target, row in two.items()}
    if made:
        found["null_depth_db"] = max(made[0].null_depths_db)
    return found


def medians(
    name: str, songs: Dataset, targets: Sequence[str], separator: Any
) -> Mapping[str, Summary]:
    options = RunOptions(ScoreOptions(targets=tuple(targets)))
    without = {track.name for track in songs if "vocals" not in track.stems}  # for two stems
    tracks: list[TrackScores] = []
    for outcome in benchmark(songs, [name], options, separator=separator):
        if outcome.scores is not None:
            tracks.append(outcome.scores)
        elif outcome.track not in without:
            raise SystemExit(f"cards: {outcome.error}")
    return summarise(tracks)


def row(name: str, figures: Mapping[str, float]) -> str:
    values = [value for value in figures.values() if not math.isnan(value)]
    return f"| `{name}` | {' | '.join(f'{v:.2f}' for v in (*figures.values(), fmean(values)))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, metavar="SONGS")
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    songs = open_dataset(options.data)
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.names:
            found[name] = scores(name, songs, options.keep or Path(temporary))
            print(f"{name}: {json.dumps(found[name])}", flush=True)
            if options.json is not None:
                options.json.write_text(json.dumps(found, indent=1))
    for kind in ("sdr", "usdr", "two_stems"):
        print(f"\n{kind}, dB; mean last")
        for name, figures in found.items():
            if kind in figures:
                print(f"{', '.join(figures[kind])}\n{row(name, figures[kind])}")


if __name__ == "__main__":
    main()
