"""Estimates of SDR without references, beside the truth.

    python benchmarks/blind_quality.py measure DATASET … --model MODEL … --out EXAMPLES.jsonl
        [--seconds N] [--most N] [--songs NAME …] [--transform NAME] [--label NAME]
    python benchmarks/blind_quality.py report EXAMPLES.jsonl …

`measure` separates an excerpt of each song (where most stems play) with each model, and appends a
line with what `QualityMeter` finds and the true SDRs. Lines that are there are not made
again. MODEL is what `partita separate` takes, an oracle (irm1, mixture), ``baseline`` (as in
`validation.py`), or ``MODEL~0.6``: weights with Gaussian noise of 0.6 times their deviation, which
is a worse model. --transform names one of `transformations.py`, such as mono.

`report` prints how well `partita.evaluation.quality` predicts these SDRs: Spearman's rank
correlation, mean absolute error and coverage of the intervals, for all examples together, for each
stem, model and data set; then how often a suspect second is bad. `scripts/quality_calibration.py`
fits the calibration to such files.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

import partita
from common import baseline_stems
from partita.audio.channels import mix_channels
from partita.datasets import open_dataset
from partita.evaluation.oracles import ORACLES
from partita.evaluation.quality.estimate import StemQuality, estimate_quality
from partita.evaluation.quality.meter import QualityMeter, Shares
from robustness import busiest
from transformations import TRANSFORMATIONS, Version, as_it_is

Samples = np.ndarray
Separate = Callable[[Version], Mapping[str, Samples]]
Example = dict[str, Any]
ACCOMPANIMENT = "accompaniment"
NOISE_SEED = 1
ABSENT_DB = -40.0  # relative to the mixture: a song without that stem
BAD_DROP_DB = 5.0
HEARD_DB = -20.0  # relative to the estimate's mean
QUIET_DB = -30.0  # relative to the stem's mean: seconds below are not scored


def system(name: str) -> Separate:
    """Return what estimates the stems ``[2, samples]`` of a song."""
    if name in ORACLES:
        return lambda version: _ask_oracle(name, version)
    base, _, noise = name.partition("~")
    separator = partita.Separator("spleeter-2stems+hpss" if base == "baseline" else base)
    if noise:
        _disturb(separator, float(noise))

    def separate(version: Version) -> Mapping[str, Samples]:
        estimates = separator(version.mixture, version.rate, keep_rate=True)
        found = {stem: audio.samples.numpy() for stem, audio in estimates.items()}
        return baseline_stems(found, version.rate) if base == "baseline" else found

    return separate


def _ask_oracle(name: str, version: Version) -> dict[str, Samples]:
    true = {stem: torch.from_numpy(samples) for stem, samples in version.stems.items()}
    estimates = ORACLES[name](torch.from_numpy(version.mixture), true)
    return {stem: samples.numpy() for stem, samples in estimates.items()}


@torch.no_grad()
def _disturb(separator: partita.Separator, amount: float) -> None:
    """Add noise to the weights of the last model, the second stage of a chain."""
    generator = torch.Generator().manual_seed(NOISE_SEED)
    for weights in separator.models[-1].model.parameters():
        noise = torch.randn(weights.shape, generator=generator)
        weights.add_(amount * weights.std(correction=0) * noise)


def measured(version: Version, estimates: Mapping[str, Samples]) -> Shares:
    """Return what the report of a separation is made from."""
    meter = QualityMeter(list(estimates), version.rate)
    mixture = torch.from_numpy(version.mixture)
    stems = torch.from_numpy(np.stack(list(estimates.values())))
    step = 1 << 18
    for start in range(0, mixture.shape[1], step):
        meter.add(mixture[:, start : start + step], stems[..., start : start + step])
    return meter.finish()


def reference(version: Version, stem: str) -> Samples | None:
    """Return a true stem; None: the song does not have it, or has next to nothing of it.

    Accompaniment is what accompanies vocals.
    """
    others = [signal for name, signal in version.stems.items() if name != "vocals"]
    if stem == ACCOMPANIMENT and others and reference(version, "vocals") is not None:
        return np.sum(others, axis=0)
    true = version.stems.get(stem)
    if true is None or energy(true) < energy(version.mixture) * 10 ** (ABSENT_DB / 10):
        return None
    return true


def energy(signal: Samples) -> float:
    """Return the sum of squares."""
    return float(np.square(signal, dtype=np.float64).sum())


def powers(signal: Samples, rate: int) -> np.ndarray:
    """Return the energy of each whole second."""
    count = signal.shape[1] // rate
    cut = signal[:, : count * rate].reshape(len(signal), count, rate)
    return np.square(cut, dtype=np.float64).sum(axis=(0, 2))


def ratio_db(above: Any, below: Any) -> Any:
    """Return ``10 log10`` of a ratio of energies, at most 300 dB from zero."""
    return 10 * np.log10(np.maximum(above, 1e-15) / np.maximum(below, 1e-15))


def example(version: Version, estimates: Mapping[str, Samples]) -> Example:
    """Return what is measured without references, and the truth of each stem that there is."""
    shares = measured(version, estimates)
    truth = {}
    for stem, estimate in estimates.items():
        true = reference(version, stem)
        if true is None:
            continue
        power, error = powers(true, version.rate), powers(true - estimate, version.rate)
        scored = ratio_db(power, power.mean()) > QUIET_DB
        seconds = np.where(scored, ratio_db(power, error), np.nan)
        truth[stem] = {
            "uSDR": float(ratio_db(power.sum(), error.sum())),
            "SDR": float(np.nanmedian(seconds)),
            "seconds": [None if math.isnan(x) else round(x, 2) for x in seconds],
        }
    arrays = ("mixture", "power", "shared", "clipped")
    found = {name: _rounded(getattr(shares, name)) for name in arrays}
    return {"stems": list(estimates), **found, "truth": truth}


def _rounded(values: np.ndarray) -> list[Any]:
    """Return lists of numbers of six digits."""
    digits = [float(f"{value:.6g}") for value in values.ravel()]
    rounded: list[Any] = np.array(digits).reshape(values.shape).tolist()
    return rounded


def shares_of(row: Example) -> Shares:
    """Return what an example measured."""
    arrays = [np.array(row[name]) for name in ("mixture", "power", "shared", "clipped")]
    return Shares(tuple(row["stems"]), *arrays)


def measure(options: argparse.Namespace) -> None:
    """Append examples to a file."""
    out: Path = options.out
    known = {_key(row) for row in read([out])} if out.exists() else set()
    systems = {name: system(name) for name in options.model}
    transform = TRANSFORMATIONS.get(options.transform, as_it_is)
    with out.open("a") as file:
        for label, name, stems, rate in songs(options):
            version = None
            for model, separate in systems.items():
                where = {"data": label, "song": name, "model": model, "as": options.transform}
                if _key(where) in known:
                    continue
                version = version or transform(stems, rate)
                row = example(version, separate(version))
                file.write(json.dumps({**where, **row}) + "\n")
                file.flush()


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("data", "song", "model", "as"))


def songs(options: argparse.Namespace) -> Iterator[tuple[str, str, dict[str, Samples], int]]:
    """Yield data set, song, true stems ``[2, samples]`` and rate, data sets in turn."""
    wanted = []
    for data in options.data:
        tracks = [t for t in open_dataset(data) if not options.songs or t.name in options.songs]
        wanted += [(i, options.label or data.name, t) for i, t in enumerate(tracks[: options.most])]
    for _, label, track in sorted(wanted, key=lambda item: item[0]):
        audios = track.load_stems()
        rate = next(iter(audios.values())).sample_rate
        stems = {name: mix_channels(audio.samples.numpy(), 2) for name, audio in audios.items()}
        stems = {name: stem for name, stem in stems.items() if stem.any()}
        yield label, track.name, busiest(stems, rate, options.seconds), rate


def read(paths: Iterable[Path]) -> list[Example]:
    """Return the examples of files."""
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@dataclass(frozen=True)
class Found:
    """An estimate and the truth."""

    data: str
    model: str
    stem: str
    true_db: float
    quality: StemQuality

    @property
    def sdr_db(self) -> float:
        """The estimate; a silent stem has the uSDR of silence."""
        return 0.0 if self.quality.sdr_db is None else self.quality.sdr_db

    def is_within(self, percent: int) -> bool:
        """Whether the truth lies within the interval."""
        low, high = self.quality.intervals_db[percent]
        return low <= self.true_db <= high


def report(options: argparse.Namespace) -> None:
    """Print tables of files."""
    rows = read(options.examples)
    every = [found for row in rows for found in _found(row)]
    real = [each for each in every if each.model not in ORACLES]
    print(HEADING)
    print_row("**all**", real)
    for label, is_known in (("known weights", True), ("other systems", False)):
        chosen = [each for each in real if each.quality.is_known_model == is_known]
        if chosen:
            print_row(label, chosen)
    for name in ("stem", "model", "data"):
        print(f"| **by {name}** |{' |' * 6}")
        chosen = every if name == "model" else real
        for value in dict.fromkeys(getattr(each, name) for each in chosen):
            print_row(value, [each for each in chosen if getattr(each, name) == value])
    print_suspects([row for row in rows if row["model"] not in ORACLES])


HEADING = (
    "| | n | Spearman | MAE, dB | bias, dB | in 80 % | in 90 % |\n|---|---|---|---|---|---|---|"
)


def _found(row: Example) -> Iterator[Found]:
    version = f"{row['data']} {row['as']}".strip()
    for quality in estimate_quality(shares_of(row), row["model"]).stems:
        if quality.stem in row["truth"] and quality.sdr_db is not None:
            true_db = row["truth"][quality.stem]["uSDR"]
            yield Found(version, Path(row["model"]).name, quality.stem, true_db, quality)


def print_row(label: str, found: Sequence[Found]) -> None:
    true, guessed = (np.array([getattr(f, n) for f in found]) for n in ("true_db", "sdr_db"))
    rank = spearmanr(true, guessed)[0] if len(set(true)) > 2 and len(set(guessed)) > 1 else math.nan
    within = (100 * np.mean([each.is_within(percent) for each in found]) for percent in (80, 90))
    figures = f"{rank:.2f} | {np.abs(true - guessed).mean():.1f} | {(guessed - true).mean():+.1f}"
    print(f"| {label} | {len(found)} | {figures} | {' | '.join(f'{x:.0f} %' for x in within)} |")


def print_suspects(rows: Sequence[Example]) -> None:
    """Print how many of all seconds are bad, and how many of the suspect ones.

    A second in which a stem pauses is bad if its estimate is heard.
    """
    flags, bad = [], []
    for row in rows:
        shares = shares_of(row)
        suspects = estimate_quality(shares).suspects
        for index, stem in enumerate(shares.stems):
            if stem not in row["truth"]:
                continue
            truth = row["truth"][stem]
            seconds = np.array([-math.inf if x is None else x for x in truth["seconds"]])
            power = shares.power[: len(seconds), index]
            heard = np.isfinite(seconds) | (power > power.mean() * 10 ** (HEARD_DB / 10))
            flagged = np.zeros(len(seconds), bool)
            for each in suspects:
                if each.stem == stem:
                    flagged[int(each.start_s) : int(each.end_s)] = True
            flags.append(flagged[heard])
            bad.append(seconds[heard] < truth["SDR"] - BAD_DROP_DB)
    flagged, worse = np.concatenate(flags), np.concatenate(bad)
    print(f"\n{len(flagged)} seconds are heard, {100 * flagged.mean():.1f} % are suspect")
    if flagged.any() and worse.any():
        print(
            f"{BAD_DROP_DB:g} dB below the song's median or in a pause: {100 * worse.mean():.1f} % "
            f"of all, {100 * worse[flagged].mean():.0f} % of suspect ones; "
            f"{100 * flagged[worse].mean():.0f} % of them are suspect"
        )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("measure")
    one.set_defaults(run=measure)
    one.add_argument("data", type=Path, nargs="+")
    one.add_argument("--model", nargs="+", default=["four-stems"])
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--seconds", type=int, default=20)
    one.add_argument("--most", type=int, help="songs of each data set")
    one.add_argument("--songs", nargs="+", default=[])
    one.add_argument("--transform", default="")
    one.add_argument("--label", help="name of the data; default: the folder's")
    two = commands.add_parser("report")
    two.set_defaults(run=report)
    two.add_argument("examples", type=Path, nargs="+")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    options.run(options)


if __name__ == "__main__":
    main()
