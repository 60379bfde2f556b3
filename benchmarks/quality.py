"""Score ``spleeter-2stems`` on a recording with known stems, with museval itself.

    python benchmarks/quality.py [SONG.stem.mp4] [--shifts N] [--precision P] [--overlap X]

SONG holds mixture, drums, bass, other, vocals as streams, as MUSDB18 does. SDR, SIR and SAR of BSS
Eval v4, window and hop of one second, medians over windows; vocals and accompaniment are scored
together.
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path

import numpy as np
import torch

import partita
from partita import Audio, load_audio
from partita.evaluation.sdr import sdr_db

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
    sys.modules["musdb"] = types.ModuleType(
        "musdb"
    )  # museval imports it, but scoring does not need it
    import museval

    # Rounded to 16 bits, as musdb reads them: without that noise the equations of museval's
    # distortion filters are ill-conditioned where a lossy codec left nothing.
    streams = [_as_16_bit(load_audio(options.song, stream=index)) for index in range(5)]
    mixture, drums, bass, other, vocals = streams
    separator = partita.Separator(
        "spleeter-2stems",
        shifts=options.shifts,
        precision=options.precision,
        overlap=options.overlap,
    )
    estimates = separator(mixture, load_audio(options.song, duration_s=0.1).sample_rate)
    references = {"vocals": vocals, "accompaniment": drums + bass + other}
    scores = museval.evaluate(
        np.stack([reference.numpy().T for reference in references.values()]),
        np.stack([estimates[name].samples.numpy().T for name in references]),
        win=44100,
        hop=44100,
        mode="v4",
    )
    print(f"{options.song.name}, dB, medians over windows of one second")
    for name, reference in references.items():
        print(f"{'mixture as ' + name:>24}  {_median_sdr(reference, mixture):6.2f} dB SDR")
    print(f"{'':>14}  {'SDR':>6}  {'SIR':>6}  {'SAR':>6}")
    for index, name in enumerate(references):
        sdr, _, sir, sar = (np.nanmedian(score[index]) for score in scores)
        print(f"{name:>14}  {sdr:6.2f}  {sir:6.2f}  {sar:6.2f}")
    print(f"{'null depth':>14}  {estimates.null_depth_db:6.1f} dB")


def _median_sdr(reference: torch.Tensor, estimate: torch.Tensor) -> float:
    """Return the SDR of BSS Eval v4, which is a plain energy ratio in every window."""
    windows = zip(reference.split(44100, dim=1), estimate.split(44100, dim=1), strict=True)
    whole = [(true, guess) for true, guess in windows if true.shape[1] == 44100]
    return float(np.median([sdr_db(true, guess) for true, guess in whole]))


def _as_16_bit(audio: Audio) -> torch.Tensor:
    return (audio.samples * 32768).round() / 32768


if __name__ == "__main__":
    main()
