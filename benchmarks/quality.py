"""Score the default weights on a recording with known stems, with museval itself.

    python benchmarks/quality.py [SONG.stem.mp4] [--shifts N] [--precision P] [--overlap X]

SONG holds mixture, drums, bass, other, vocals as streams, as MUSDB18 does. SDR of BSS
Eval v4, window and hop of one second, medians over windows; vocals and accompaniment are
scored together.
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path

import numpy as np

import partita
from partita import Audio

SONG = Path(__file__).resolve().parents[2] / "shared/audio/music-delta-80s-rock.stem.mp4"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("song", type=Path, nargs="?", default=SONG)
    parser.add_argument("--shifts", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--overlap", type=float)
    options = parser.parse_args()
    if not options.song.exists():
        print(f"quality: skipped, {options.song} is not on this machine")
        return
    sys.modules["musdb"] = types.ModuleType("musdb")  # museval imports it, scoring needs it not
    import museval

    streams = [Audio.load(options.song, stream=index).samples for index in range(5)]
    mixture, drums, bass, other, vocals = streams
    separator = partita.Separator(
        shifts=options.shifts, precision=options.precision, overlap=options.overlap
    )
    estimates = separator(mixture, Audio.load(options.song, duration_s=0.1).sample_rate)
    references = {"vocals": vocals, "accompaniment": drums + bass + other}
    scores = museval.evaluate(
        np.stack([reference.numpy().T for reference in references.values()]),
        np.stack([estimates[name].samples.numpy().T for name in references]),
        win=44100,
        hop=44100,
        mode="v4",
    )
    # SDR only: it is a plain energy ratio, while museval 0.4.1's distortion filters, which the
    # other figures rest on, come out wrong with today's NumPy and SciPy.
    print(f"{options.song.name}, medians over windows of one second")
    for index, name in enumerate(references):
        print(f"{name:>14}  {np.nanmedian(scores[0][index]):6.2f} dB SDR")
    print(f"{'null depth':>14}  {estimates.null_depth_db:6.1f} dB")


if __name__ == "__main__":
    main()
