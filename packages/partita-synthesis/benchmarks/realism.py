"""Compare songs by what can be measured: synthetic ones with records.

    python packages/partita-synthesis/benchmarks/realism.py NAME=FOLDER_OR_FILE …
        [--seconds 30] [--picture FILE.png]

Every argument is a data set that `partita.datasets.open_dataset` reads, or an audio file, which is
a mixture without stems. Excerpts that are not silent are measured; the table holds medians over
excerpts, and the 10th and 90th percentile where there are several.

- spectrum: power in octaves, dB below all of it
- loudness: integrated, LUFS (ITU-R BS.1770)
- crest: peak over RMS, dB
- width: power of half the difference of the channels, dB relative to half the sum
- onsets: peaks of the spectral flux, a second
- range: spread of the level, 95th over 10th percentile of 0.4 s, dB
- stems: power of each where it sounds, dB relative to the mixture there, and how often it sounds
- over bass: power of other stems in an octave, dB relative to the bass there
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyloudnorm
import scipy.ndimage
import scipy.signal

from partita.audio.reader import AUDIO_EXTENSIONS
from partita.audio.signal import load_audio
from partita.datasets import open_dataset

OCTAVES = [31.25 * 2**k for k in range(10)]
BASS_OCTAVES_END = 3000.0  # above, basses have next to nothing
FRAME_S = 0.4
SILENT = 1e-4


def excerpts(path: Path, seconds: float) -> Iterator[dict[str, tuple[np.ndarray, int]]]:
    """Yield the mixture and the stems of excerpts, each ``[channels, samples]`` and its rate."""
    if path.is_file() and path.suffix.lower() in AUDIO_EXTENSIONS and ".stem." not in path.name:
        audio = load_audio(path)
        yield from cut({"mixture": audio.samples.numpy()}, audio.sample_rate, seconds)
        return
    for track in open_dataset(path):
        stems = {name: audio.samples.numpy() for name, audio in track.load_stems().items()}
        yield from cut({"mixture": sum(stems.values()), **stems}, track.sample_rate, seconds)


def cut(
    signals: dict[str, np.ndarray], rate: int, seconds: float
) -> Iterator[dict[str, tuple[np.ndarray, int]]]:
    """Yield excerpts that are not silent; the whole of what is shorter."""
    samples = signals["mixture"].shape[1]
    length = min(samples, round(seconds * rate))
    for start in range(0, samples - length + 1, length):
        part = {name: signal[:, start : start + length] for name, signal in signals.items()}
        if np.abs(part["mixture"]).max() > 100 * SILENT:
            yield {name: (signal, rate) for name, signal in part.items()}


def measure(excerpt: dict[str, tuple[np.ndarray, int]]) -> dict[str, float]:
    """Return every measure of one excerpt."""
    mixture, rate = excerpt["mixture"]
    stereo = mixture if len(mixture) == 2 else np.repeat(mixture, 2, axis=0)
    mono = stereo.mean(axis=0)
    found = {f"{octave:.0f} Hz": level for octave, level in spectrum(stereo, rate).items()}
    found["loudness"] = pyloudnorm.Meter(rate).integrated_loudness(stereo.T)
    found["crest"] = decibels(np.abs(stereo).max() ** 2 / np.mean(stereo**2))
    side = (stereo[0] - stereo[1]) / 2
    found["width"] = decibels(np.mean(side**2) / np.mean(mono**2))
    found["onsets"] = onsets(mono, rate)
    levels = decibels(powers(stereo, rate))
    found["range"] = float(np.percentile(levels, 95) - np.percentile(levels, 10))
    for name, (stem, _) in excerpt.items():
        if name == "mixture":
            continue
        own, whole = powers(stem, rate), powers(mixture, rate)
        sounds = own > max(SILENT**2, 1e-4 * own.max())
        found[f"{name} sounds"] = float(100 * sounds.mean())
        if sounds.any():
            found[f"{name} level"] = decibels(own[sounds].sum() / whole[sounds].sum())
    return found | over_bass({n: s for n, (s, _) in excerpt.items() if n != "mixture"}, rate)


def over_bass(stems: dict[str, np.ndarray], rate: int) -> dict[str, float]:
    """Return the levels of stems in octaves against the bass, where neither is silent."""
    active = {name: stem for name, stem in stems.items() if np.abs(stem).max() > SILENT}
    if "bass" not in active:
        return {}
    bass = octave_powers(active.pop("bass"), rate)
    return {
        f"{name} over bass, {octave:.0f} Hz": decibels(power / bass[octave])
        for name, stem in active.items()
        for octave, power in octave_powers(stem, rate).items()
        if octave < BASS_OCTAVES_END and bass[octave] > 0
    }


def spectrum(stereo: np.ndarray, rate: int) -> dict[float, float]:
    """Return the power in each octave, in dB relative to all of them."""
    power = octave_powers(stereo, rate)
    return {octave: decibels(each / sum(power.values())) for octave, each in power.items()}


def octave_powers(signal: np.ndarray, rate: int) -> dict[float, float]:
    """Return the power in each octave, mean of the channels."""
    frequencies, density = scipy.signal.welch(signal, rate, nperseg=8192)
    power = density.mean(axis=0)
    return {
        octave: power[(frequencies >= octave / 2**0.5) & (frequencies < octave * 2**0.5)].sum()
        for octave in OCTAVES
        if octave < rate / 2
    }


def powers(signal: np.ndarray, rate: int) -> np.ndarray:
    """Return the mean power of frames of 0.4 s, ``[frames]``."""
    length = round(FRAME_S * rate)
    frames = max(1, signal.shape[1] // length)
    return np.mean(np.square(signal[:, : frames * length]).reshape(len(signal), frames, -1), (0, 2))


def onsets(mono: np.ndarray, rate: int) -> float:
    """Return how many peaks the half-wave rectified spectral flux has in a second."""
    hop = round(0.01 * rate)
    _, _, transform = scipy.signal.stft(mono, rate, nperseg=4 * hop, noverlap=3 * hop)
    flux = np.maximum(np.diff(np.log1p(1000 * np.abs(transform)), axis=1), 0).mean(axis=0)
    local = scipy.ndimage.uniform_filter1d(flux, 100)
    peaks, _ = scipy.signal.find_peaks(flux - local, height=0.5 * local.mean() + 0.01, distance=5)
    return len(peaks) / (len(mono) / rate)


def decibels(ratio: np.ndarray | float) -> np.ndarray | float:
    return 10 * np.log10(np.maximum(ratio, 1e-12))


def show(columns: dict[str, list[dict[str, float]]]) -> None:
    """Print the table in Markdown."""
    rows = list(dict.fromkeys(key for found in columns.values() for each in found for key in each))
    print(f"| | {' | '.join(f'{name} ({len(found)})' for name, found in columns.items())} |")
    print(f"|---|{'---|' * len(columns)}")
    for row in rows:
        cells = []
        for found in columns.values():
            values = [each[row] for each in found if row in each]
            if not values:
                cells.append("–")
                continue
            low, middle, high = np.percentile(values, [10, 50, 90])
            spread = f" ({low:.1f} … {high:.1f})" if len(values) > 1 else ""
            cells.append(f"{middle:.1f}{spread}")
        print(f"| {row} | {' | '.join(cells)} |")


def draw(columns: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw the spectra."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, found in columns.items():
        values = np.array([[each.get(f"{o:.0f} Hz", np.nan) for o in OCTAVES] for each in found])
        low, middle, high = np.nanpercentile(values, [10, 50, 90], axis=0)
        (line,) = axes.semilogx(OCTAVES, middle, marker="o", label=f"{name} ({len(found)})")
        if len(found) > 1:
            axes.fill_between(OCTAVES, low, high, color=line.get_color(), alpha=0.12)
    axes.set_xticks(OCTAVES, [f"{o / 1000:g} k" if o >= 1000 else f"{o:.0f}" for o in OCTAVES])
    axes.minorticks_off()
    axes.set(xlabel="octave around, Hz", ylabel="dB below the whole", ylim=(-45, 0))
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure everything that was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("songs", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    columns: dict[str, list[dict[str, float]]] = {}
    for text in options.songs:
        name, _, path = text.partition("=")
        found = [measure(excerpt) for excerpt in excerpts(Path(path), options.seconds)]
        columns.setdefault(name, []).extend(found)
    show(columns)
    if options.picture:
        draw(columns, options.picture)


if __name__ == "__main__":
    main()
