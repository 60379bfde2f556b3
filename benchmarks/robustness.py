"""What separations lose when a song is transformed in ways that make it no other song.

    python benchmarks/robustness.py DATASET … [--model NAME …] [--without STEM …] [--seconds N]
        [--only TRANSFORMATION …] [--songs]

Prints for each model and transformation how many decibels of SDR each stem loses against the
untransformed song: medians over the songs, the median over all stems and songs, and the worst.
The SDR is BSS Eval v4's, median over the seconds in which the stem is heard (above -60 dB of full
scale). With --without vocals, a model gets songs without them: the second stage of four-stems is
measured by itself. A stem that a model has and a song has not is the sum of all stems that the
model does not name (accompaniment). --songs prints each song's SDRs as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import partita
from partita.audio.channels import mix_channels
from partita.datasets import open_dataset

HEARD_DB = -60.0

Samples = np.ndarray
#: From ``[2, samples]`` and the rate to as many.
Change = Callable[[Samples, int], Samples]


def as_it_is(samples: Samples, _: int) -> Samples:
    return samples


@dataclass(frozen=True)
class Transformation:
    """What happens to a mixture, and to the stems that its estimates are compared with.

    Attributes
    ----------
    mixture : Change
    stems : Change or None
        None: the same, as for all that is linear.
    """

    mixture: Change
    stems: Change | None = None


def matrix(*rows: tuple[float, float]) -> Transformation:
    """Return what mixes left and right anew."""
    gains = np.array(rows, np.float32)
    return Transformation(lambda samples, _: gains @ samples)


def narrowed(decibels: float) -> Transformation:
    """Return what lowers the side (left minus right) by so many decibels."""
    gain = 10 ** (-decibels / 20)
    return matrix(((1 + gain) / 2, (1 - gain) / 2), ((1 - gain) / 2, (1 + gain) / 2))


MONO = matrix((0.5, 0.5), (0.5, 0.5))


def mono_with_noise(decibels: float) -> Transformation:
    """Return what folds to mono and adds white noise so far below it to the side."""

    def noisy(samples: Samples, rate: int) -> Samples:
        mid = MONO.mixture(samples, rate)
        noise = np.random.default_rng(0).standard_normal(mid.shape[-1])
        noise *= np.sqrt(np.square(mid).mean()) * 10 ** (-decibels / 20)
        return (mid + np.array([[1.0], [-1.0]]) * noise).astype(np.float32)

    return Transformation(noisy, MONO.mixture)


TRANSFORMATIONS: Mapping[str, Transformation] = {
    "mono": MONO,
    "left only": matrix((1, 0), (0, 0)),
    "right only": matrix((0, 0), (0, 1)),
    "mono, all to the left": matrix((0.5, 0.5), (0, 0)),
    "mono, hard to the left": matrix((0.5, 0.5), (0.1, 0.1)),
    "right -20 dB": matrix((1, 0), (0, 0.1)),
    "left -10 dB": matrix((0.316, 0), (0, 1)),
    "swapped": matrix((0, 1), (1, 0)),
    "one polarity turned": matrix((1, 0), (0, -1)),
    "mono, opposite polarity": matrix((0.5, 0.5), (-0.5, -0.5)),
    "side -6 dB": narrowed(6),
    "side -12 dB": narrowed(12),
    "side -20 dB": narrowed(20),
    "side -60 dB": narrowed(60),
    "mono, side noise -60 dB": mono_with_noise(60),
    "mono, side noise -40 dB": mono_with_noise(40),
}


def seconds_sdr(reference: Samples, estimate: Samples, rate: int) -> float:
    """Return BSS Eval v4's SDR in dB: median over the seconds in which there is something."""
    count = reference.shape[1] // rate * rate
    shape = (len(reference), -1, rate)
    true, guessed = (x[:, :count].reshape(shape).astype(np.float64) for x in (reference, estimate))
    power = np.square(true).sum(axis=(0, 2))
    error = np.square(true - guessed).sum(axis=(0, 2))
    heard = power > 10 ** (HEARD_DB / 10) * rate * len(reference)
    ratios = power[heard] / np.maximum(error[heard], 1e-12)
    return float(np.median(10 * np.log10(ratios))) if heard.any() else float("nan")


def scores_under(
    transformation: Transformation,
    separator: partita.Separator,
    stems: Mapping[str, Samples],
    rate: int,
) -> dict[str, float]:
    """Return the SDR of each of the model's sources that the song has, in dB."""
    mixture = transformation.mixture(np.sum(list(stems.values()), axis=0), rate)
    estimates = separator(mixture, rate, keep_rate=True)
    change = transformation.stems or transformation.mixture
    references = references_of(separator.sources, stems)
    return {
        name: seconds_sdr(change(true, rate), estimates[name].samples.numpy(), rate)
        for name, true in references.items()
    }


def references_of(sources: Sequence[str], stems: Mapping[str, Samples]) -> dict[str, Samples]:
    """Return the stems that a model names, and the sum of the others if one name is left."""
    found = {name: stems[name] for name in sources if name in stems}
    others = [stem for name, stem in stems.items() if name not in sources]
    left = [name for name in sources if name not in stems]
    if others and len(left) == 1:
        found[left[0]] = np.sum(others, axis=0)
    return found


def losses(
    separator: partita.Separator,
    stems: Mapping[str, Samples],
    rate: int,
    transformations: Mapping[str, Transformation] = TRANSFORMATIONS,
) -> dict[str, dict[str, float]]:
    """Return transformation → stem → how many dB it loses on one song."""
    before = scores_under(Transformation(as_it_is), separator, stems, rate)
    found = {}
    for name, transformation in transformations.items():
        after = scores_under(transformation, separator, stems, rate)
        found[name] = {stem: before[stem] - after[stem] for stem in before}
    return found


def busiest(stems: Mapping[str, Samples], rate: int, seconds: int) -> dict[str, Samples]:
    """Return so many seconds of a song, from where most is to be heard."""
    count = next(iter(stems.values())).shape[1] // rate
    power = [np.square(x[:, : count * rate]).reshape(2, count, rate) for x in stems.values()]
    heard = np.sum([p.mean(axis=(0, 2)) > 10 ** (HEARD_DB / 10) for p in power], axis=0)
    start = int(np.convolve(heard, np.ones(min(seconds, count)), "valid").argmax()) * rate
    return {name: x[:, start : start + seconds * rate] for name, x in stems.items()}


def songs_of(options: argparse.Namespace) -> Iterable[tuple[str, dict[str, Samples], int]]:
    """Yield the name, the stems in stereo and the rate of each song."""
    for data in options.data:
        for track in open_dataset(data):
            audios = track.load_stems()
            rate = next(iter(audios.values())).sample_rate
            stems = {
                name: mix_channels(audio.samples.numpy(), 2)
                for name, audio in audios.items()
                if name not in options.without
            }
            yield track.name, busiest(stems, rate, options.seconds), rate


def print_table(found: Sequence[Mapping[str, Mapping[str, float]]], stems: Sequence[str]) -> None:
    print(f"\n| SDR lost, dB | {' | '.join(stems)} | all: median | worst |")
    print(f"|---|{'---|' * (len(stems) + 2)}")
    for name in found[0]:
        cells = []
        for stem in stems:
            lost = [song[name][stem] for song in found if stem in song[name]]
            cells.append(f"{np.nanmedian(lost):.1f}")
        every = [lost for song in found for lost in song[name].values()]
        cells += [f"{np.nanmedian(every):.1f}", f"{np.nanmax(every):.1f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--model", nargs="+", default=["four-stems"])
    parser.add_argument("--without", nargs="+", default=[], help="stems left out of the songs")
    parser.add_argument("--seconds", type=int, default=30, help="of each song")
    parser.add_argument("--only", nargs="+", choices=TRANSFORMATIONS, default=list(TRANSFORMATIONS))
    parser.add_argument("--songs", action="store_true", help="print each song's SDRs")
    options = parser.parse_args()
    wanted = {"as it is": Transformation(as_it_is)}
    wanted |= {name: TRANSFORMATIONS[name] for name in options.only}
    songs = list(songs_of(options))
    for model in options.model:
        separator = partita.Separator(model)
        found = []
        for name, stems, rate in songs:
            scores = {w: scores_under(t, separator, stems, rate) for w, t in wanted.items()}
            if options.songs:
                for change, row in scores.items():
                    print(name, change, {stem: round(sdr, 2) for stem, sdr in row.items()})
            base = scores["as it is"]
            found.append(
                {
                    w: {s: base[s] - row[s] for s in base}
                    for w, row in scores.items()
                    if w in options.only
                }
            )
        present = [
            s for s in separator.sources if any(s in row for song in found for row in song.values())
        ]
        print(f"\n{model}, {len(songs)} songs")
        print_table(found, present)


if __name__ == "__main__":
    main()
