"""``make demo``: separate a real song and one whose stems are known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = Path("demo")
sys.path.insert(0, str(ROOT / "examples"))


def partita(*arguments: str | Path) -> None:
    """Run a command as a person would type it, and show it."""
    print("\n$ partita", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "partita", *map(str, arguments)], check=True)


def main() -> None:
    """Fetch the weights, separate both songs, score the one with known stems."""
    os.chdir(ROOT)
    from partita.weights.cards import DEFAULT_MODEL, get_card
    from partita.weights.plan import part_cards
    from partita.weights.store import example_path

    card = get_card(DEFAULT_MODEL)
    first, *_ = part_cards(card)
    partita("models", "fetch", DEFAULT_MODEL)

    print(f"\nA real song: {first.example_credit}")
    partita("separate", example_path(first), "--out", OUT, "--overwrite")

    print("\nA song whose stems are known, since examples/example_song.py makes it:")
    import torch

    import example_song
    from partita import Audio
    from partita.evaluation.sdr import sdr_db

    stems = {name: torch.from_numpy(samples) for name, samples in example_song.render().items()}
    mixture = sum(stems.values())
    OUT.mkdir(exist_ok=True)
    Audio(mixture, 44100).save(OUT / "example-song.wav")
    partita("separate", OUT / "example-song.wav", "--out", OUT, "--overwrite")

    known = {**stems, "accompaniment": mixture - stems["vocals"]}
    print("\nHow good (SDR of the whole track in dB; the mixture itself in brackets):")
    for name in card.sources:
        path = OUT / DEFAULT_MODEL / "example-song" / f"{name}.wav"
        estimate = Audio.load(path).samples
        score, floor = sdr_db(known[name], estimate), sdr_db(known[name], mixture)
        print(f"  {name:<14} {score:5.1f}  ({floor:.1f})   {path}")
    print(f"\nListen: {OUT / DEFAULT_MODEL}/*/*.wav")


if __name__ == "__main__":
    main()
