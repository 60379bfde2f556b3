"""Robustness: loss of SDR when a song is transformed without becoming another song.

    python benchmarks/robustness.py DATASET … [--model NAME …] [--without STEM …] [--seconds N]
        [--only TRANSFORMATION …] [--songs NAME …] [--each]

Prints for each model and transformation the loss of SDR in dB of each stem relative to the
untransformed song: medians over songs, the median over all stems and songs, and the worst. The
transformations are those of `transformations.py`.

SDR is that of BSS Eval v4, median over the seconds in which the stem is above -40 dB relative to
the song, before and after. With --without vocals, models get songs without vocals, to measure the
second stage of four-stems alone. A stem of the model that the song lacks is the sum of all stems
that the model does not name (accompaniment); HPSS's percussive part counts as drums, its harmonic
part as everything else. The loss of an oracle (--model irm1, the ideal ratio mask) is unavoidable
for masks. --each also prints the SDR of each song.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import partita
from partita.audio.channels import mix_channels
from partita.datasets import open_dataset
from partita.evaluation.oracles import ORACLES
from transformations import TRANSFORMATIONS, Stems, Transformation, Version, as_it_is, sum_of

HEARD_DB = -40.0

Samples = np.ndarray


@dataclass(frozen=True)
class Seconds:
    """The SDR of each second of a stem in dB, and whether it is audible."""

    sdrs: np.ndarray
    heard: np.ndarray


@dataclass(frozen=True)
class Change:
    """A stem's median SDR in dB over the seconds in which it is audible before and after."""

    before: float
    after: float

    @property
    def lost_db(self) -> float:
        """The loss."""
        return self.before - self.after


#: From a mixture to estimates ``[2, samples]``.
Separate = Callable[[Version], Mapping[str, Samples]]


def with_model(name: str) -> Separate:
    """Return a function that separates with a model or an oracle."""
    if name in ORACLES:
        return lambda version: _ask_oracle(name, version)
    separator = partita.Separator(name)

    def separate(version: Version) -> dict[str, Samples]:
        estimates = separator(version.mixture, version.rate, keep_rate=True)
        return {stem: audio.samples.numpy() for stem, audio in estimates.items()}

    return separate


def _ask_oracle(name: str, version: Version) -> dict[str, Samples]:
    true = {stem: torch.from_numpy(samples) for stem, samples in version.stems.items()}
    estimates = ORACLES[name](torch.from_numpy(version.mixture), true)
    return {stem: samples.numpy() for stem, samples in estimates.items()}


def seconds_of(separate: Separate, version: Version) -> dict[str, Seconds]:
    """Return the SDRs in dB of all estimates with a reference.

    Seconds are those of the untransformed song, from the first whole one on.
    """
    estimates = separate(version)
    start = 0
    if version.start_s is not None:
        start = round((first_second(version) - version.start_s) * version.rate)
    quiet = np.square(version.mixture, dtype=np.float64).mean() * 10 ** (HEARD_DB / 10)
    found = {}
    for name, true in references_of(list(estimates), version.stems).items():
        power, error = (
            in_seconds(x[:, start:], version.rate) for x in (true, true - estimates[name])
        )
        sdrs = 10 * np.log10(np.maximum(power, 1e-20) / np.maximum(error, 1e-20))
        found[name] = Seconds(sdrs, power > quiet)
    return found


def first_second(version: Version) -> int:
    """Return the first second of the untransformed song that a version contains completely."""
    return 0 if version.start_s is None else max(0, math.ceil(version.start_s))


def in_seconds(samples: Samples, rate: int) -> np.ndarray:
    """Return the power of each whole second of ``[channels, samples]``."""
    count = samples.shape[1] // rate
    shape = (len(samples), count, rate)
    return np.square(samples[:, : count * rate], dtype=np.float64).reshape(shape).mean(axis=(0, 2))


def references_of(sources: Sequence[str], stems: Stems) -> dict[str, Samples]:
    """Return the stems that a model names, and the sum of the others if one name is left."""
    if "percussive" in sources and "drums" in stems:
        others = sum_of({name: stem for name, stem in stems.items() if name != "drums"})
        return {"percussive": stems["drums"], "harmonic": others}
    found = {name: stems[name] for name in sources if name in stems}
    others = {name: stem for name, stem in stems.items() if name not in sources}
    left = [name for name in sources if name not in stems]
    if others and len(left) == 1:
        found[left[0]] = sum_of(others)
    return found


def changes(
    separate: Separate,
    stems: Stems,
    rate: int,
    transformations: Mapping[str, Transformation] = TRANSFORMATIONS,
) -> dict[str, dict[str, Change]]:
    """Return transformation → stem → its SDR on one song, before and after.

    Stems that are inaudible before or after are omitted.
    """
    before = seconds_of(separate, as_it_is(stems, rate))
    found: dict[str, dict[str, Change]] = {}
    for name, transform in transformations.items():
        version = transform(stems, rate)
        found[name] = {}
        for stem, after in seconds_of(separate, version).items():
            change = compared(before[stem], after, version)
            if change is not None:
                found[name][stem] = change
    return found


def compared(before: Seconds, after: Seconds, version: Version) -> Change | None:
    """Return the medians over common seconds, if any."""
    if version.start_s is None:  # no common seconds
        ours, theirs = before.heard, after.heard
    else:
        first = first_second(version)
        before = Seconds(before.sdrs[first:], before.heard[first:])
        count = min(len(before.heard), len(after.heard))
        both = before.heard[:count] & after.heard[:count]
        ours = theirs = np.flatnonzero(both)
    if not (before.sdrs[ours].size and after.sdrs[theirs].size):
        return None
    return Change(float(np.median(before.sdrs[ours])), float(np.median(after.sdrs[theirs])))


def busiest(stems: Stems, rate: int, seconds: int) -> dict[str, Samples]:
    """Return an excerpt of a song where most stems are audible."""
    power = np.array([in_seconds(stem, rate) for stem in stems.values()])
    heard = np.sum(power > power.sum(axis=0).mean() * 10 ** (HEARD_DB / 10), axis=0)
    start = int(np.convolve(heard, np.ones(min(seconds, len(heard))), "valid").argmax()) * rate
    return {name: x[:, start : start + seconds * rate] for name, x in stems.items()}


def songs_of(options: argparse.Namespace) -> Iterable[tuple[str, dict[str, Samples], int]]:
    """Yield the name, the stems in stereo and the rate of each song."""
    for data in options.data:
        for track in open_dataset(data):
            if options.songs and track.name not in options.songs:
                continue
            audios = track.load_stems()
            rate = next(iter(audios.values())).sample_rate
            stems = {
                name: mix_channels(audio.samples.numpy(), 2)
                for name, audio in audios.items()
                if name not in options.without
            }
            yield track.name, busiest(stems, rate, options.seconds), rate


def print_table(songs: Sequence[Mapping[str, Mapping[str, Change]]]) -> None:
    """Print the losses: medians over songs for each stem and all stems, and the worst."""
    stems = list(dict.fromkeys(stem for song in songs for row in song.values() for stem in row))
    print(f"\n| SDR lost, dB | {' | '.join(stems)} | all: median | worst |")
    print(f"|---|{'---|' * (len(stems) + 2)}")
    for name in songs[0]:
        lost = {stem: [s[name][stem].lost_db for s in songs if stem in s[name]] for stem in stems}
        every = [loss for losses in lost.values() for loss in losses]
        figures = [np.median(losses) if losses else math.nan for losses in lost.values()]
        figures += [np.median(every), max(every)] if every else [math.nan, math.nan]
        cells = ("–" if math.isnan(x) else f"{round(x, 1) + 0.0:.1f}" for x in figures)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--model", nargs="+", default=["four-stems"])
    parser.add_argument("--without", nargs="+", default=[], help="stems removed from the songs")
    parser.add_argument("--seconds", type=int, default=30, help="of each song")
    parser.add_argument("--only", nargs="+", choices=TRANSFORMATIONS, default=list(TRANSFORMATIONS))
    parser.add_argument("--songs", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--each", action="store_true", help="print each song's SDRs")
    options = parser.parse_args()
    wanted = {name: TRANSFORMATIONS[name] for name in options.only}
    songs = list(songs_of(options))
    for model in options.model:
        separate = with_model(model)
        found = []
        for name, stems, rate in songs:
            found.append(changes(separate, stems, rate, wanted))
            for transformation, row in found[-1].items() if options.each else ():
                for stem, change in row.items():
                    figures = f"{change.before:.2f} {change.after:.2f}"
                    print(f"{model} {name} {transformation!r} {stem} {figures}", flush=True)
        print(f"\n{model}, {len(songs)} songs")
        print_table(found)


if __name__ == "__main__":
    main()
