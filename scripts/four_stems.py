"""Make the weights of accompaniment-stems, the second stage of four-stems, from the beginning.

    python scripts/four_stems.py FOLDER --album DATASET [--more SONGS] [--soundfonts FILES]
        [--jobs N]

Songs to learn from are the album's, a data set of four stems that holds only what may be learned
from, and synthesised ones, some with the album's singer and drums as guests, some played by the
SoundFonts in a folder of their own instead of those of this machine. Spleeter takes the
vocals from the album and from some of the others, and the second stage learns to take what is left
apart. More songs, a folder each, may have one stem alone, for remixes. Synthesised songs of their
own validate. Everything lies in FOLDER; a call that was broken off goes on where it was. The
weights end in FOLDER/accompaniment-stems.safetensors, 16 bits each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from partita.models.band_split import BandDecoder, BandSplit
from partita.weights.checkpoint import load_checkpoint, save_checkpoint

_RECIPE = "accompaniment-stems"
#: Trainings, each from the weights of the one before: how they differ from the recipe.
_RUNS: dict[str, tuple[str, ...]] = {
    "first": (),
    "second": ("learning_rate=1.2e-3", "speed_percent=15", "equaliser_db=6", "seed=1"),
    "third": ("epochs=46", "learning_rate=1.6e-3", "speed_percent=15", "equaliser_db=6", "seed=5"),
}
#: By which logits of what was left of the vocals are lowered: what is no voice costs more than a
#: left-over that stays where it is. The least that lost next to nothing of voices never heard.
_DOUBT = 2.0
_SECOND_STAGE = Path(__file__).with_name("second_stage.py")


@dataclass(frozen=True)
class Songs:
    """Synthesised songs of 30 s.

    Attributes
    ----------
    subset : str
        Of the data set that the second stage learns from.
    count, seed : int
    players : str
        Who takes part: ``band``, nobody else; ``guests``, the album's recordings; ``soundfonts``,
        those of a folder.
    heard : int
        From how many of them Spleeter takes the vocals: it is slower than making songs.
    """

    subset: str
    count: int
    seed: int
    players: str
    heard: int


_SONGS = {
    "band": Songs("train", 600, 80, "band", heard=150),
    "guests": Songs("train", 200, 81, "guests", heard=200),
    "wide": Songs("train", 600, 90, "soundfonts", heard=150),
    "valid": Songs("valid", 16, 82, "band", heard=16),
}


def main() -> None:
    """Make songs, train, and store the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--album", type=Path, required=True)
    parser.add_argument("--more", type=Path)
    parser.add_argument("--soundfonts", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    folder, album, jobs = arguments.folder, arguments.album, arguments.jobs
    data = folder / "data"
    fonts = sorted(arguments.soundfonts.iterdir()) if arguments.soundfonts else []
    players = {
        "band": [],
        "guests": ["--recordings", album],
        "soundfonts": [part for font in fonts for part in ("--soundfont", font)],
    }
    for name, songs in _SONGS.items():
        others = players[songs.players]
        run("-m", "partita", "data", "synthesize", "--out", folder / name, "--songs", songs.count,
            "--duration", 30, "--seed", songs.seed, "--jobs", jobs, *others)  # fmt: skip
        run(_SECOND_STAGE, folder / name, data / songs.subset, "--prefix", f"{name}-",
            "--songs", songs.heard)  # fmt: skip
    run(_SECOND_STAGE, album, data / "train", "--prefix", "album-")
    if arguments.more is not None:
        link(arguments.more, data / "train", "more-")
    weights: Path | None = None
    for name, settings in _RUNS.items():
        weights = train(data, folder / name, settings, weights, jobs)
    assert weights is not None
    model = load_checkpoint(weights)
    assert isinstance(model, BandSplit)
    lower(model, "vocals", _DOUBT)
    save_checkpoint(folder / f"{_RECIPE}.safetensors", model, half=True)


def lower(model: BandSplit, source: str, by: float) -> None:
    """Lower the logits of a source: where it is doubtful, others get its share."""
    row = model.sources.index(source)
    for decoder in model.decoders:
        assert isinstance(decoder, BandDecoder)
        decoder.second.bias.data.view(len(model.sources), -1)[row] -= by


def link(songs: Path, data: Path, prefix: str) -> None:
    """Put links to all files of all songs into the data set."""
    for file in sorted(songs.glob("*/*.*")):
        song = data / (prefix + file.parent.name)
        song.mkdir(exist_ok=True)
        if not (song / file.name).is_symlink():
            (song / file.name).symlink_to(file.resolve())


def train(data: Path, out: Path, settings: Sequence[str], weights: Path | None, jobs: int) -> Path:
    """Train in several processes, or go on with it; return the weights."""
    changes = [part for setting in settings for part in ("--set", setting)]
    start = ["--from", weights] if weights else []
    run("-m", "torch.distributed.run", "--nproc-per-node", jobs, "-m", "partita", "train", _RECIPE,
        "--data", data, "--out", out, "--resume", *start, *changes, threads=1)  # fmt: skip
    return out / "model.safetensors"


def run(*arguments: object, threads: int | None = None) -> None:
    """Run Python, and end where it fails."""
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [sys.executable, *map(str, arguments)]
    status = subprocess.run(command, check=False, env=environment).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
