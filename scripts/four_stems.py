"""Make weights of accompaniment-stems, the second stage of four-stems.

    python scripts/four_stems.py FOLDER --album DATASET --minutes N [--songs SONGS …]
        [--soundfonts FILES] [--from WEIGHTS] [--jobs N]

Training songs are the album's (a data set of four stems with licences that allow training),
synthesised songs, some of them with the SoundFonts of a given folder instead of the installed ones,
and further folders of songs that may lack stems. Spleeter separates the vocals of the album and of
some synthesised songs, and the second stage is trained on the residuals, for so many minutes in all
sessions together. Everything is in FOLDER; an interrupted call resumes. The weights are written to
FOLDER/accompaniment-stems.safetensors in 16 bits.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from partita.models.band_split import BandDecoder, BandSplit
from partita.weights.checkpoint import load_checkpoint, save_checkpoint

_RECIPE = "accompaniment-stems"
#: No songs are held out: real songs elsewhere select the weights.
_SETTINGS = ("valid_tracks=0", "learning_rate=1e-3")
#: The logits of the residual vocals are lowered by this: other sounds in the vocals cost more than
#: residual vocals that stay in the accompaniment. The smallest value that lost almost nothing on
#: unseen voices.
_DOUBT = 2.0
_SECOND_STAGE = Path(__file__).with_name("second_stage.py")


@dataclass(frozen=True)
class Songs:
    """Synthesised songs of 30 s.

    Attributes
    ----------
    count, seed : int
    others : bool
        Whether the SoundFonts of the given folder are used instead of the installed ones.
    separated : int
        How many of them Spleeter separates, which is slower than synthesis.
    """

    count: int
    seed: int
    others: bool
    separated: int


_SONGS = {
    "band": Songs(176, 100, others=False, separated=60),
    "wide": Songs(172, 110, others=True, separated=40),
}


def main() -> None:
    """Make songs, train, and store the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--album", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--songs", type=Path, action="append", default=[])
    parser.add_argument("--soundfonts", type=Path)
    parser.add_argument("--from", dest="weights")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    folder, jobs = arguments.folder, arguments.jobs
    data = folder / "data"
    make_songs(folder, data, arguments.soundfonts, jobs)
    run(_SECOND_STAGE, arguments.album, data / "train", "--prefix", "album-")
    for songs in arguments.songs:
        link(songs, data / "train", f"{songs.name}-")
    weights = train(data, folder / "run", arguments.minutes, arguments.weights, jobs)
    model = load_checkpoint(weights)
    assert isinstance(model, BandSplit)
    lower(model, "vocals", _DOUBT)
    save_checkpoint(folder / f"{_RECIPE}.safetensors", model, half=True)


def make_songs(folder: Path, data: Path, soundfonts: Path | None, jobs: int) -> None:
    """Synthesise songs and separate the vocals of some of them."""
    fonts = sorted(soundfonts.iterdir()) if soundfonts else []
    for name, songs in _SONGS.items():
        others = [part for font in fonts for part in ("--soundfont", font)] if songs.others else []
        run("-m", "partita", "data", "synthesize", "--out", folder / name, "--songs", songs.count,
            "--duration", 30, "--seed", songs.seed, "--jobs", jobs, *others)  # fmt: skip
        run(_SECOND_STAGE, folder / name, data / "train", "--prefix", f"{name}-",
            "--songs", songs.audible)  # fmt: skip


def lower(model: BandSplit, source: str, by: float) -> None:
    """Lower the logits of a source."""
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


def train(data: Path, out: Path, minutes: float, weights: str | None, jobs: int) -> Path:
    """Train in several processes, or resume; return the weights."""
    settings = (*_SETTINGS, f"minutes={minutes:g}")
    changes = [part for setting in settings for part in ("--set", setting)]
    start = ["--from", weights] if weights else []
    run("-m", "torch.distributed.run", "--nproc-per-node", jobs, "-m", "partita", "train", _RECIPE,
        "--data", data, "--out", out, "--resume", *start, *changes, threads=1)  # fmt: skip
    return out / "model.safetensors"


def run(*arguments: object, threads: int | None = None) -> None:
    """Run Python; exit if it fails."""
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [sys.executable, *map(str, arguments)]
    status = subprocess.run(command, check=False, env=environment).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
