"""Effect of the level range of ``spleeter-2stems`` on songs with known stems.

    python benchmarks/level_range.py [--data FOLDER] [--songs NAME…]

FOLDER holds one folder for each song with one audio file for each stem, including vocals. The
minute with the most vocals of each song is separated at its own level and 15 dB quieter, with and
without the range. SDR of one-second windows where the reference is audible, medians, mean over
songs. The default songs are those of the CC0 album that models may be tuned on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soxr
import torch

from partita import Separator, load_audio
from partita.models import create_model
from partita.weights.store import load_model

DATA = Path(__file__).resolve().parents[2] / "shared/multitracks"
SONGS = ["eif-1-hydrogen", "eif-2-lithium", "eif-4-potassium", "eif-5-rubidium", "eif-7-francium"]
RATE = 44100


def read_minute(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return vocals and the rest, ``[2, samples]``."""
    stems = {path.stem: load_audio(path) for path in sorted(folder.glob("*.opus"))}
    count = min(stem.samples.shape[1] for stem in stems.values())
    rate = stems["vocals"].sample_rate
    vocals = stems["vocals"].samples[:, :count].numpy()
    rest = sum(stem.samples[:, :count].numpy() for name, stem in stems.items() if name != "vocals")
    energy = np.concatenate([[0.0], np.cumsum((vocals**2).sum(axis=0), dtype=np.float64)])
    length = 60 * rate
    start = int(np.argmax(energy[length::rate] - energy[:-length:rate])) * rate
    return tuple(
        soxr.resample(x[:, start : start + length].T, rate, RATE).T.astype(np.float32)
        for x in (vocals, rest)
    )


def median_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    seconds = reference.shape[1] // RATE
    windows = (x[:, : seconds * RATE].reshape(2, seconds, RATE) for x in (reference, estimate))
    true, guess = windows
    energy, error = (true**2).sum(axis=(0, 2)), ((true - guess) ** 2).sum(axis=(0, 2))
    sounding = energy > 1e-6 * energy.max()
    return float(np.median(10 * np.log10(energy[sounding] / error[sounding])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--songs", nargs="+", default=SONGS)
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"level range: skipped, {options.data} is not on this machine")
        return
    ranged = load_model("spleeter-2stems")
    plain = create_model("unet", {**ranged.config.to_dict(), "level_range_db": None})
    plain.load_state_dict(ranged.state_dict())
    songs = [read_minute(options.data / name) for name in options.songs]
    print("mean of median SDR, dB      vocals  accompaniment")
    for gain_db in (0, -15):
        gain = np.float32(10 ** (gain_db / 20))
        for name, model in (("without range", plain), ("with range", ranged)):
            separator = Separator(model)
            scores = []
            for vocals, rest in songs:
                estimates = separator(torch.from_numpy((vocals + rest) * gain), RATE)
                references = {"vocals": vocals * gain, "accompaniment": rest * gain}
                scores.append(
                    [median_sdr(x, estimates[k].samples.numpy()) for k, x in references.items()]
                )
            voice, accompaniment = np.mean(scores, axis=0)
            print(f"{name:<14} {gain_db:>4} dB  {voice:12.2f}  {accompaniment:13.2f}")


if __name__ == "__main__":
    main()
