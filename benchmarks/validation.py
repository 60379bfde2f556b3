"""Scores of four-stem systems on real songs, with a baseline, the mixture and the ideal mask.

    python benchmarks/validation.py DATASET … [--model MODEL …] [--cache FOLDER] [--songs NAME …]
        [--seconds N] [--given accompaniment] [--first MODEL | --whole] [--models-only]
        [--json FILE]

MODEL is a second stage: a .safetensors file, the folder of a training, or a card such as
accompaniment-stems. It separates the accompaniment of the first stage, exactly as
`Separator("spleeter-2stems+MODEL")` does. --cache keeps the first stage's estimates in FOLDER, so
that only second stages run from the second call on. With --whole, MODELs are complete systems
(umxhq, four-stems, a file that gives four stems of a mixture). With --given accompaniment, second
stages get the true accompaniment: they are measured alone, and vocals are not scored.

SDR is BSS Eval v4's (museval's), in stereo, each stem beside the sum of the others: windows of one
second, median over those in which the stem is above -80 dB (codecs leave some noise in silent
stems), then over songs. The second table is the SDR of whole songs (uSDR), which loud passages
dominate. Rows besides the models:

- mixture: the mixture as every estimate.
- baseline: no training except the first stage. Its vocals; of its accompaniment, HPSS's percussive
  part is drums, HPSS's harmonic part below 220 Hz is bass, and the remainder is other.
- ideal ratio mask: the oracle irm1, ratios of the true stems' magnitudes.

--songs takes names, or a side of the split of the validation songs: `choose` selects weights,
`report` is for reported scores. Both have mono and stereo songs. The CC0 test songs are not used
for selection.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from common import STEMS, baseline_stems
from partita.audio.channels import mix_channels
from partita.datasets import Track, open_dataset
from partita.devices import choose_device, start_threads
from partita.evaluation.oracles import get_oracle
from partita.evaluation.sdr import mdx_sdr_db
from partita.files import whole_file
from partita.models._protocol import SongFacts
from partita.separation.chain import Chain, build_estimator
from partita.separation.stream import MixtureStream
from partita.separation.windowed import (
    Estimator,
    InferenceOptions,
    Separation,
    estimate_blocks,
)
from partita.weights.chain import Link, parse_chain, taken_stem
from partita.weights.plan import ModelPlan
from partita.weights.resolve import resolve
from partita.weights.store import load_model

SPLIT = {
    "choose": ("music-delta-britpop", "music-delta-reggae"),
    "report": (
        *("music-delta-country1", "music-delta-rockabilly", "music-delta-zeppelin"),
        *("eif-3-sodium", "eif-6-caesium"),
    ),
}
FIRST = "spleeter-2stems"
ORACLE = "irm1"
SILENT_POWER = 1e-8  # -80 dB
_UNKNOWN = SongFacts()

Samples = np.ndarray
#: From a mixture ``[2, samples]``, its rate and the true stems to estimates.
System = Callable[[Samples, int, Mapping[str, Samples]], Mapping[str, Samples]]


@dataclass(frozen=True)
class Song:
    """A song's true stems ``[2, samples]``."""

    name: str
    rate: int
    stems: Mapping[str, Samples]

    @property
    def mixture(self) -> Samples:
        """The sum of the stems."""
        return np.sum(list(self.stems.values()), axis=0)


class Cached:
    """A first stage whose estimates of whole songs are cached in a folder.

    Parameters
    ----------
    plan : ModelPlan
        Its own.
    stage : Estimator
    folder : Path or None
        None: no cache.
    """

    def __init__(self, plan: ModelPlan, stage: Estimator, folder: Path | None) -> None:
        self._digest = plan.digest
        self._stage = stage
        self._folder = folder
        self.sources = stage.sources
        self.sample_rate = stage.sample_rate
        self.channels = stage.channels
        self.models = stage.models

    def start(self, _: ThreadPoolExecutor, facts: SongFacts = _UNKNOWN) -> Separation:
        """Begin with a stream, as `Estimator.start` says."""
        return _CachedSeparation(self, facts)

    def whole(self, mixture: Tensor, facts: SongFacts) -> Tensor:
        """Separate a whole stream, or load cached estimates."""
        path = None
        if self._folder is not None:
            path = self._folder / f"{self._key(mixture, facts)}.safetensors"
            if path.exists():
                return load_file(path)["estimates"]
        estimates = torch.cat(list(estimate_blocks(self._stage, [mixture], facts)), dim=-1)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial:
                save_file({"estimates": estimates.contiguous()}, partial)
        return estimates

    def _key(self, mixture: Tensor, facts: SongFacts) -> str:
        digest = hashlib.sha256(self._digest.encode())
        for tensor in (mixture, facts.side):
            digest.update(b"" if tensor is None else tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()


class _CachedSeparation:
    """A stream that is separated when it is complete."""

    def __init__(self, cached: Cached, facts: SongFacts) -> None:
        self._cached, self._facts = cached, facts
        self._blocks: list[Tensor] = []

    def push(self, block: Tensor, last: bool = False) -> Tensor:
        """Return all estimates with the last block, as `Separation.push` does."""
        self._blocks.append(block)
        if last:
            return self._cached.whole(torch.cat(self._blocks, dim=-1), self._facts)
        return block.new_zeros(len(block), len(self._cached.sources), *block.shape[1:-1], 0)


def chained(links: Sequence[Link], options: argparse.Namespace) -> Estimator:
    """Return the chain of models from left to right; the first stage is cached."""
    stage_options = InferenceOptions(choose_device(options.device), torch.float32)
    found: Estimator | None = None
    for link in links:
        plan = resolve(link.model)
        stage = build_estimator(plan.root, stage_options, load_model)
        if found is None:
            is_first = link.model == options.first
            found = Cached(plan, stage, options.cache) if is_first else stage
        else:
            found = Chain(found, stage, taken_stem(link, found.sources))
    assert found is not None
    return found


def links_of(name: str, options: argparse.Namespace) -> Sequence[Link]:
    """Return the chain of models: MODEL, with or without the first stage."""
    links = parse_chain(name)
    if options.whole:
        return links
    second = links[1:] if links[0].model == options.first else links
    if options.given == "accompaniment":
        return second
    return (Link(options.first), *second)


def separate(estimator: Estimator, mixture: Samples, rate: int) -> dict[str, Samples]:
    """Return the estimates of `Separator` with ``keep_rate``."""
    stems = {name: (name,) for name in estimator.sources}
    stream = MixtureStream(estimator, stems, rate, len(mixture), keep_rate=True, sum_to_mix=False)
    if stream.needs_measure:
        stream.measure([mixture])
    samples = torch.cat([block for _, block in stream.separate([mixture])], dim=-1)
    return dict(zip(stems, samples.numpy(), strict=True))


def model_system(name: str, options: argparse.Namespace) -> System:
    estimator = chained(links_of(name, options), options)
    return lambda mixture, rate, _: separate(estimator, mixture, rate)


def baseline_system(options: argparse.Namespace) -> System:
    estimator = chained(links_of("hpss", options), options)
    return lambda mixture, rate, _: baseline_stems(separate(estimator, mixture, rate), rate)


def oracle_system(name: str) -> System:
    oracle = get_oracle(name)

    def separate(mixture: Samples, _: int, stems: Mapping[str, Samples]) -> dict[str, Samples]:
        true = {name: torch.from_numpy(stem) for name, stem in stems.items()}
        return {n: e.numpy() for n, e in oracle(torch.from_numpy(mixture), true).items()}

    return separate


def systems_of(options: argparse.Namespace) -> dict[str, System]:
    systems = {}
    if not options.models_only:
        systems["mixture"] = oracle_system("mixture")
        if not options.whole:
            systems["baseline"] = baseline_system(options)
    for model in options.model:
        label = resolve(model).label
        systems[model if label in systems else label] = model_system(model, options)
    if not options.models_only:
        systems["ideal ratio mask"] = oracle_system(ORACLE)
    return systems


def window_sdrs(
    stems: Mapping[str, Samples], estimates: Mapping[str, Samples], rate: int
) -> dict[str, np.ndarray]:
    """Return the SDR of BSS Eval v4 of each stem and second, in dB, NaN where the stem is silent.

    It is a ratio of energies. A silent estimate has 0 dB, where museval has NaN.
    """
    found = {}
    for name, stem in stems.items():
        if name not in estimates:
            continue
        true, guessed = in_seconds(stem, rate), in_seconds(estimates[name], rate)
        power = np.square(true).mean(axis=(0, 2))
        error = np.square(true - guessed).mean(axis=(0, 2))
        sdrs = 10 * np.log10(np.maximum(power, 1e-20) / np.maximum(error, 1e-20))
        found[name] = np.where(power > SILENT_POWER, sdrs, np.nan)
    return found


def in_seconds(signal: Samples, rate: int) -> np.ndarray:
    """Return ``[channels, seconds, samples]`` of whole seconds, or of everything if shorter."""
    rate = min(rate, signal.shape[1])
    count = signal.shape[1] // rate
    return signal[:, : count * rate].reshape(len(signal), count, rate).astype(np.float64)


def score(system: System, song: Song) -> dict[str, dict[str, float]]:
    """Return stem → the median over seconds (``SDR``) and the whole song's (``uSDR``), in dB."""
    estimates = system(song.mixture, song.rate, song.stems)
    windows = window_sdrs(song.stems, estimates, song.rate)
    return {
        name: {
            "SDR": median(sdrs),
            "uSDR": mdx_sdr_db(
                torch.from_numpy(song.stems[name]), torch.from_numpy(estimates[name])
            ),
        }
        for name, sdrs in windows.items()
    }


def median(values: Iterable[float]) -> float:
    """Return the median of the values that are not NaN; NaN where there are none."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.median(defined)) if defined else math.nan


def songs_of(options: argparse.Namespace) -> list[Song]:
    tracks = [track for data in options.data for track in open_dataset(data)]
    if options.songs:
        wanted = {name for key in options.songs for name in SPLIT.get(key, (key,))}
        tracks = [track for track in tracks if track.name in wanted]
    if not tracks:
        raise SystemExit("validation: none of these songs is in the data sets")
    return [load(track, options) for track in tracks]


def load(track: Track, options: argparse.Namespace) -> Song:
    """Read a song's four stems, or those of its accompaniment, without silent ones."""
    audios = track.load_stems(duration_s=options.seconds)
    found = {n: mix_channels(a.samples.numpy(), 2) for n, a in audios.items()}
    if options.given == "accompaniment":
        found.pop("vocals", None)
    if unknown := found.keys() - set(STEMS):
        raise SystemExit(f"validation: {track.name} has {', '.join(sorted(unknown))}")
    rate = next(iter(audios.values())).sample_rate
    return Song(track.name, rate, {n: stem for n, stem in found.items() if stem.any()})


Found = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]  # song, system, stem, metric


def print_tables(found: Found, metric: str) -> None:
    """Print the medians over songs, then the scores of each song."""
    systems = list(next(iter(found.values())))
    print(f"\n| {metric}, dB | {' | '.join(STEMS)} | mean | lowest |")
    print(f"|---|{'---|' * (len(STEMS) + 2)}")
    for system in systems:
        values = {
            stem: [song[system][stem][metric] for song in found.values() if stem in song[system]]
            for stem in STEMS
        }
        every = [value for row in values.values() for value in row]
        print_row(system, [median(row) for row in values.values()], float(np.nanmin(every)))
    for name, song in found.items():
        for system in systems:
            row = [song[system].get(stem, {}).get(metric, math.nan) for stem in STEMS]
            print_row(f"{name}: {system}", row, float(np.nanmin(row)))


def print_row(label: str, values: Sequence[float], lowest: float) -> None:
    mean = float(np.nanmean(values))
    cells = ("–" if math.isnan(v) else f"{v:.2f}" for v in (*values, mean, lowest))
    print(f"| {label} | {' | '.join(cells)} |")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--model", nargs="+", default=["accompaniment-stems"])
    parser.add_argument("--cache", type=Path, help="folder for the first stage's estimates")
    parser.add_argument("--songs", nargs="+", metavar="NAME", help="or choose, report: the split")
    parser.add_argument("--seconds", type=float, help="the first of each song; default: all")
    parser.add_argument("--given", choices=["mixture", "accompaniment"], default="mixture")
    stages = parser.add_mutually_exclusive_group()
    stages.add_argument("--first", default=FIRST, help="the first stage")
    stages.add_argument("--whole", action="store_true", help="MODELs need no first stage")
    parser.add_argument(
        "--models-only", action="store_true", help="without mixture, baseline and mask"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="also write all scores to a file")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    start_threads(choose_device(options.device))
    songs = songs_of(options)
    systems = systems_of(options)
    found = {
        song.name: {name: score(system, song) for name, system in systems.items()} for song in songs
    }
    print(f"{len(songs)} songs, {sum(s.mixture.shape[1] / s.rate for s in songs):.0f} s")
    for metric in ("SDR", "uSDR"):
        print_tables(found, metric)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
