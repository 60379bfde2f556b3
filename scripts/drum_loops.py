"""Render drum loops with true stems (kick, snare, hats) from folders of one-shot samples.

    python scripts/drum_loops.py KIT... --out FOLDER [--loops 8] [--subset train] [--seed 0]

Every KIT is a folder with audio files named after their drum (``bd_haus.flac``,
``Snare-Soft.wav``, ``hihat closed.flac``). Each loop uses one kit. The result
is a data set, ``FOLDER/SUBSET/LOOP/{kick,snare,hats}.wav``, for `partita train nmfd` and
`partita benchmark`.

The bundled weights ``nmfd-drums`` come from the CC0 samples of Debian's package
sonic-pi-samples 3.2.2; docs/research/results.md has their scores.
"""

from __future__ import annotations

import argparse
import random
import re
from pathlib import Path

import numpy as np
import soxr
import torch

from partita.audio.channels import mix_channels
from partita.audio.formats import LOSSLESS_SUFFIXES
from partita.audio.signal import Audio, load_audio

RATE = 44100
BARS, STEPS = 8, 16
KINDS = {
    "kick": r"^bd|kick|bass[ _-]?drum|drum_bass",
    "snare": r"^sn|snare",
    "hats": r"hat|^hh|cymbal|ride|crash|splash",
}
#: Probability of a hit on each sixteenth of a bar, in percent.
PATTERNS = {
    "kick": [95, 5, 10, 15, 30, 5, 30, 10, 70, 5, 40, 10, 25, 5, 25, 10],
    "snare": [0, 2, 5, 5, 95, 5, 5, 15, 0, 10, 5, 5, 95, 5, 10, 20],
    "hats": [90, 30, 80, 30] * 4,
}


def find_samples(kit: Path) -> dict[str, list[Path]]:
    """Return the samples of each kind."""
    files = sorted(p for p in kit.rglob("*") if p.suffix.lower() in LOSSLESS_SUFFIXES)
    return {
        kind: [path for path in files if re.search(pattern, path.stem.lower())]
        for kind, pattern in KINDS.items()
    }


def load(path: Path) -> np.ndarray:
    """Return a sample as stereo with a peak of one, ``[2, samples]``."""
    audio = load_audio(path)
    stereo = mix_channels(audio.samples.numpy(), 2)
    stereo = soxr.resample(stereo.T, audio.sample_rate, RATE).T
    return stereo / max(float(np.abs(stereo).max()), 1e-9)


def render(samples: dict[str, list[Path]], chance: random.Random) -> dict[str, np.ndarray]:
    """Return one loop's stems."""
    step_samples = round(60 / chance.uniform(80, 150) / 4 * RATE)
    total = BARS * STEPS * step_samples
    stems = {}
    for kind, percents in PATTERNS.items():
        stem = np.zeros((2, total), np.float32)
        hits = [load(path) for path in chance.sample(samples[kind], min(2, len(samples[kind])))]
        left = chance.uniform(0.6, 1.0) if kind == "hats" else 1.0
        for index in range(BARS * STEPS):
            if chance.random() >= percents[index % STEPS] / 100:
                continue
            hit = hits[0] if chance.random() < 0.8 else hits[-1]
            start = index * step_samples
            part = hit[:, : total - start]
            gain = chance.uniform(0.5, 1.0) * (0.3 if kind == "hats" else 0.6)
            stem[:, start : start + part.shape[1]] += gain * part * [[left], [1.6 - left]]
        stems[kind] = stem
    peak = max(1.0, float(np.abs(sum(stems.values())).max()))
    return {kind: stem / peak for kind, stem in stems.items()}


def main() -> None:
    """Render the loops of all kits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kits", nargs="+", type=Path, metavar="KIT")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--loops", type=int, default=8, help="from each kit")
    parser.add_argument("--subset", default="train")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    for kit in options.kits:
        samples = find_samples(kit)
        missing = [kind for kind, paths in samples.items() if not paths]
        if missing:
            print(f"{kit}: skipped: no {' or '.join(missing)}")
            continue
        for index in range(options.loops):
            folder = options.out / options.subset / f"{kit.name} {index + 1}"
            folder.mkdir(parents=True, exist_ok=True)
            for kind, stem in render(samples, chance).items():
                Audio(torch.from_numpy(stem).float(), RATE).save(folder / f"{kind}.wav")
        print(f"{kit}: {options.loops} loops")


if __name__ == "__main__":
    main()
