"""Fit what an implied SDR means, from songs whose stems are known.

    python scripts/quality_calibration.py EXAMPLES.jsonl … [--out CALIBRATION.json]
        [--check EXAMPLES.jsonl]

EXAMPLES are files of `benchmarks/blind_quality.py measure`. One line is fitted for each stem:
SDR = offset + slope × implied SDR, by least squares, every data set and in it every song with equal
weight, drawn towards the line of all stems. Weights that partita has a card for get a correction of
their own: the mean of their errors. The errors are those of fits without the song's data set; for
models that are not known, without data set and model (models with the same first stage are one);
for "any stem", the line of stems that have none, without the stem, too. Their quantiles, weighted
in the same way, are the intervals: split conformal prediction with data sets, models and stems as
folds. Nothing is random.

--check prints how well a calibration without a system, or a stem, predicts it on other songs.

Oracles are left out (their masks mean what they say): `report` of the benchmark has their errors.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from partita.evaluation.oracles import ORACLES
from partita.evaluation.quality import calibration as target
from partita.evaluation.quality.calibration import OTHER_STEMS, Calibration, Curve
from partita.evaluation.quality.estimate import stem_quality
from partita.evaluation.quality.meter import Shares
from partita.weights.cards import CARDS

RANGE_DB = (-5.0, 25.0)
LEAST_SDR_DB, MOST_SDR_DB = -10.0, 30.0
QUANTILES = (5, 10, 90, 95)
PULL = 3.0  # songs' worth of the common line in each stem's
LEAST_SONGS = 10

SPLEETER = ("spleeter", "four-stems", "baseline")

Lines = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Point:
    """A stem of a song by a model."""

    data: str
    song: str
    model: str
    stem: str
    implied_db: float
    sdr_db: float


def points(paths: Sequence[Path]) -> list[Point]:
    """Read examples; stems that a song does not have are left out, and silent estimates."""
    found = []
    for row in (json.loads(line) for path in paths for line in path.read_text().splitlines()):
        arrays = (np.array(row[name]) for name in ("mixture", "power", "shared", "clipped"))
        implied = Shares(tuple(row["stems"]), *arrays).implied_sdr_db()
        for stem, implied_db in zip(row["stems"], np.clip(implied, *RANGE_DB), strict=True):
            if stem in row["truth"] and not np.isnan(implied_db):
                sdr_db = float(np.clip(row["truth"][stem]["uSDR"], LEAST_SDR_DB, MOST_SDR_DB))
                where = (row["data"], row["song"], row["model"])
                found.append(Point(*where, stem, float(implied_db), sdr_db))
    return found


def weights(chosen: Sequence[Point]) -> np.ndarray:
    """Return weights that add up to one for each song, then to the same for each data set."""
    songs: dict[tuple[str, str], int] = {}
    for point in chosen:
        songs[point.data, point.song] = songs.get((point.data, point.song), 0) + 1
    sizes: dict[str, int] = {}
    for data, _ in songs:
        sizes[data] = sizes.get(data, 0) + 1
    mean = len(songs) / len(sizes)
    return np.array([mean / sizes[p.data] / songs[p.data, p.song] for p in chosen])


def line(chosen: Sequence[Point], common: tuple[float, float] | None = None) -> tuple[float, float]:
    """Return slope and offset; `common` counts as `PULL` songs along the whole range."""
    x = np.array([p.implied_db for p in chosen])
    y = np.array([p.sdr_db for p in chosen])
    w = weights(chosen)
    if common is not None:
        more = np.linspace(0, 15, 7)
        x, y = np.concatenate([x, more]), np.concatenate([y, common[0] * more + common[1]])
        w = np.concatenate([w, np.full(len(more), PULL / len(more))])
    slope, offset = np.polyfit(x, y, 1, w=np.sqrt(w))
    return float(slope), float(offset)


def fitted(chosen: Sequence[Point]) -> dict[str, tuple[float, float]]:
    """Return the line of each stem, and of all."""
    common = line(chosen)
    stems = sorted({p.stem for p in chosen})
    return {
        **{stem: line([p for p in chosen if p.stem == stem], common) for stem in stems},
        OTHER_STEMS: common,
    }


def corrections(chosen: Sequence[Point], lines: Lines) -> dict[str, float]:
    """Return the mean error of each model that has a card, drawn towards 0."""
    errors = np.array([p.sdr_db - predicted(p, lines) for p in chosen])
    found = {}
    for model in sorted({p.model for p in chosen} & set(CARDS)):
        own = np.array([p.model == model for p in chosen])
        songs = len({(p.data, p.song) for p in chosen if p.model == model})
        weight = weights([p for p in chosen if p.model == model])
        found[model] = float(np.average(errors[own], weights=weight)) * songs / (songs + PULL)
    return found


def predicted(point: Point, lines: Lines, curve: str | None = None) -> float:
    """Return the SDR on a line, by default that of the stem."""
    slope, offset = lines.get(curve or point.stem, lines[OTHER_STEMS])
    return offset + slope * point.implied_db


def family(point: Point) -> str:
    """Return the model, or the first stage that it shares with others."""
    return "spleeter" if point.model.startswith(SPLEETER) else point.model


def errors(
    every: Sequence[Point],
    leave_out: Sequence[Callable[[Point], str]],
    curve: str | None = None,
) -> np.ndarray:
    """Return true minus predicted SDR of each point, from fits without what is like it.

    Parameters
    ----------
    every : sequence of Point
    leave_out : sequence of callable
        Points that are like the predicted one in any of these are left out.
    curve : str, optional
        Whose line predicts; default: that of the stem.
    """
    found = np.empty(len(every))
    keys = [tuple(get(p) for get in leave_out) for p in every]
    for each in sorted(set(keys)):
        rest = [
            p
            for p, key in zip(every, keys, strict=True)
            if not any(one == other for one, other in zip(key, each, strict=True))
        ]
        lines = fitted(rest)
        more = corrections(rest, lines)
        for index, point in enumerate(every):
            if keys[index] == each:
                correction = more.get(point.model, 0.0)
                found[index] = point.sdr_db - predicted(point, lines, curve) - correction
    return found


def quantiles(values: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Return weighted quantiles."""
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / weight.sum()
    return {
        str(q): round(float(values[order][min(np.searchsorted(share, q / 100), len(order) - 1)]), 2)
        for q in QUANTILES
    }


def calibrate(every: Sequence[Point], fit: Mapping[str, Any]) -> Calibration:
    """Return the calibration."""
    lines = fitted(every)
    models = {model: round(each, 2) for model, each in corrections(every, lines).items()}
    data, stem = (lambda p: p.data), (lambda p: p.stem)
    curves = {}
    for name, (slope, offset) in lines.items():
        is_own = name != OTHER_STEMS
        index = [i for i, p in enumerate(every) if not is_own or p.stem == name]
        chosen = [every[i] for i in index]
        songs = len({(p.data, p.song) for p in chosen})
        if songs < LEAST_SONGS:
            continue
        curve, folds = (None, [data]) if is_own else (OTHER_STEMS, [data, stem])
        own = errors(every, folds, curve)[index]
        new = errors(every, [*folds, family], curve)[index]
        known = np.array([p.model in models for p in chosen])
        if not known.any():
            known[:] = True
        spread = quantiles(
            own[known], weights([p for p, k in zip(chosen, known, strict=True) if k])
        )
        spread_of_new = quantiles(new, weights([_of_family(p) for p in chosen]))
        curves[name] = Curve(round(slope, 3), round(offset, 2), spread, spread_of_new, songs)
    return Calibration(RANGE_DB, curves, models, fit)


def _of_family(point: Point) -> Point:
    """Return a point whose weight is the same whatever its family: each counts as a data set."""
    return replace(point, data=family(point), song=f"{point.data}/{point.song}")


def check(fit: Sequence[Point], test: Sequence[Point]) -> None:
    """Print errors and coverage where a system, or a stem, is left out of the calibration."""
    print("\n| left out | n | Spearman | MAE, dB | bias, dB | in 80 % | in 90 % |")
    print(f"|{'---|' * 7}")
    known = [p for p in test if p.model in CARDS]
    for get, chosen in ((family, test), (lambda p: p.stem, known)):
        for value in dict.fromkeys(map(get, chosen)):
            calibration = calibrate([p for p in fit if get(p) != value], {})
            print_row(value, [p for p in chosen if get(p) == value], calibration)


def print_row(label: str, chosen: Sequence[Point], calibration: Calibration) -> None:
    """Print a row of the table of `check`."""
    found = [
        stem_quality(p.stem, p.implied_db, 0.0, p.model, calibration=calibration) for p in chosen
    ]
    true, guessed = np.array([p.sdr_db for p in chosen]), np.array([q.sdr_db for q in found])
    within = (
        np.mean([q.intervals_db[n][0] <= t <= q.intervals_db[n][1]
                 for q, t in zip(found, true, strict=True)])
        for n in (80, 90)
    )  # fmt: skip
    error, rank = guessed - true, spearmanr(true, guessed)[0]
    figures = [f"{rank:.2f}", f"{np.abs(error).mean():.1f}", f"{error.mean():+.1f}"]
    figures += [f"{100 * share:.0f} %" for share in within]
    print(f"| {label} | {len(chosen)} | {' | '.join(figures)} |")


def main() -> None:
    """Fit the calibration and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("examples", type=Path, nargs="+")
    parser.add_argument(
        "--out", type=Path, default=Path(target.__file__).parent / "calibration.json"
    )
    parser.add_argument("--check", type=Path, nargs="+", help="examples of other songs")
    options = parser.parse_args()
    every = [p for p in points(options.examples) if p.model not in ORACLES]
    if min(len({p.data for p in every}), len({family(p) for p in every})) < 2:
        raise SystemExit("quality_calibration: needs examples of two data sets and two models")
    names = " ".join(path.name for path in options.examples)
    fit = {
        "metric": "uSDR",
        "command": f"python scripts/quality_calibration.py {names}",
        "examples": len(every),
        "songs": {
            d: len({p.song for p in every if p.data == d}) for d in sorted({p.data for p in every})
        },
        "models": sorted({Path(p.model).name for p in every}),
    }
    calibration = calibrate(every, fit)
    options.out.write_text(calibration.to_json(), encoding="utf-8")
    for stem, curve in calibration.curves.items():
        print(f"{stem:14} {curve.offset_db:+.2f} dB + {curve.slope:.2f} × implied")
        print(f"{'':14} {dict(curve.errors_db)}, new models: {dict(curve.new_model_errors_db)}")
    print(calibration.models)
    if options.check:
        check(every, [p for p in points(options.check) if p.model not in ORACLES])


if __name__ == "__main__":
    main()
