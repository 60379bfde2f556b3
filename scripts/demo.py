"""``make demo``: separate a real and a synthetic song with the default and the best weights."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from partita import Audio, load_audio
from partita.evaluation.sdr import sdr_db
from partita.weights.cards import DEFAULT_MODEL, get_card
from partita.weights.licences import licence_text
from partita.weights.measured import MEASURED, SONGS
from partita.weights.places import example_path
from partita.weights.recommended import best_model
from partita.weights.resolve import part_cards

ROOT = Path(__file__).resolve().parent.parent
KNOWN = "example-song"
#: Without retries: offline, npm would take minutes.
ENVIRONMENT = {"npm_config_fetch_retries": "0", **os.environ}


def partita(*arguments: str | Path) -> int:
    """Print and run a partita command; return its exit status."""
    print("\n$ partita", *arguments, flush=True)
    command = [sys.executable, "-m", "partita", *map(str, arguments)]
    return subprocess.run(command, check=False, env=ENVIRONMENT).returncode


def known_stems(mixture: Path) -> dict[str, Tensor]:
    """Return the stems of examples/example_song.py; save their mixture."""
    sys.path.insert(0, str(ROOT / "examples"))
    import example_song

    stems = {name: torch.from_numpy(samples) for name, samples in example_song.render().items()}
    mixture.parent.mkdir(exist_ok=True)
    Audio(sum(stems.values()), 44100).save(mixture)
    return stems


def separate(model: str, songs: Sequence[Path], out: Path) -> bool:
    """Fetch weights and separate the songs; return False if the weights cannot be fetched.

    Raises
    ------
    SystemExit
        The separation failed.
    """
    if partita("models", "fetch", model):
        return False
    flags = [] if model == DEFAULT_MODEL else ["--model", model]
    if status := partita("separate", *songs, *flags, "--out", out, "--overwrite"):
        raise SystemExit(status)
    return True


def print_scores(models: Sequence[str], stems: Mapping[str, Tensor], out: Path) -> None:
    """Print scores and licences."""
    estimates = {"mixture": dict.fromkeys(stems, sum(stems.values()))}
    for model in models:
        folder = out / model / KNOWN
        estimates[model] = {name: load_audio(folder / f"{name}.wav").samples for name in stems}
    print("\nScores on the song with known stems (SDR of the whole song, dB):")
    print("".join(f"{text:>12}" for text in ("", *stems)))
    for system, found in estimates.items():
        figures = (sdr_db(stems[name], estimate) for name, estimate in found.items())
        print(f"{system:>12}" + "".join(f"{figure:12.1f}" for figure in figures))
    print(f"\nOn {len(SONGS)} real songs (mean SDR as in partita models), with licences:")
    for model in models:
        mean = fmean(MEASURED[model].sdr.values())
        print(f"{model:>12}{mean:12.1f}  {licence_text(get_card(model))}")


def main() -> None:
    """Separate both songs with the default and, if possible, the best weights; print scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="Folder for the stems.")
    out: Path = parser.parse_args().out
    os.chdir(ROOT)
    first, *_ = part_cards(get_card(DEFAULT_MODEL))
    print(f"A real song: {first.example_credit}.")
    print("A song with known stems: examples/example_song.py. Separated with the default weights:")
    songs = [example_path(first), out / f"{KNOWN}.wav"]
    stems = known_stems(songs[1])
    if not separate(DEFAULT_MODEL, songs, out):
        raise SystemExit(1)
    models = [DEFAULT_MODEL]
    best = best_model().name
    if best != DEFAULT_MODEL:
        print("\nSeparated with the best measured weights, a larger and slower network:")
        if separate(best, songs, out):
            models.append(best)
        else:
            print(f"{best} is skipped: its weights cannot be fetched here.")
    print_scores(models, stems, out)
    print("\nListen: " + "   ".join(str(out / model / "*" / "*.wav") for model in models))


if __name__ == "__main__":
    main()
