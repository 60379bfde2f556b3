"""Put everything that `gpu_training.py` needs beside the repository into one small folder.

    python packages/partita-synthesis/scripts/gpu_pack.py PACK [--soundfonts FOLDER]…
        [--songs DATASET]… [--vocals DATASET]… [--mib 50]

For machines with a GPU for some minutes, no package registry, and little that can be carried there.
PACK gets SoundFonts whose samples are coded with Opus and cut, and which hold what the synthesiser
plays; drum kits likewise; of each song of the data sets the seconds in which most of its stems
sound, or its vocals alone; and wheels of what such a machine lacks. SoundFonts and kits are those
of this machine and of the folders. A SoundFont that is held out plays songs that validate, and so
does every tenth song of three stems or more.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from gpu_soundfonts import NOTE_LEVEL, OPUS_RATE, faded, opus, thinned, used_samples
from partita.datasets import Track, open_dataset
from partita_synthesis._soundfont_file import open_soundfont_file
from partita_synthesis.drum_kits import DrumKit, find_kits
from partita_synthesis.soundfonts import (
    SUFFIXES,
    SoundFont,
    find_soundfonts,
    open_soundfont,
)

#: What the other machine lacks; it has Python 3.12, PyTorch, NumPy, SciPy, safetensors, rich,
#: typer, filelock and TensorBoard. PyAV is not among them: it is 35 MB.
WHEELS = (
    *("soundfile", "cffi", "pycparser", "soxr", "pedalboard", "platformdirs", "lightning-fabric"),
    *("lightning-utilities", "fsspec", "mido", "packaging", "pyloudnorm"),
)
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64",
              "manylinux2014_x86_64", "manylinux1_x86_64")  # fmt: skip
HELD_OUT = "TimGM6mb.sf2"
#: SoundFonts of one origin: only the first that is there is packed.
_SAME_ORIGIN = (
    *("MuseScore_General_Full.sf3", "MuseScore_General.sf3"),
    *("FluidR3_GM.sf2", "FluidR3Mono_GM.sf3"),
)
_MIB = 1 << 20
#: Parts of what the wheels leave.
_FONTS_PART, _KITS_PART = 0.55, 0.13
_STEM_LEVEL = 0.88  # as NOTE_LEVEL
_NOTE_BYTES_PER_S, _HIT_BYTES_PER_S, _STEM_BYTES_PER_S = 4_000, 8_500, 9_500
_FILE_BYTES = 1_000  # of a coded note, however short
_SHORTEST_S, _LONGEST_S = 0.3, 8.0
_PIECE_S, _SILENT = 0.5, 1e-3
_VALID_EVERY, _VALID_STEMS = 10, 3


@dataclass(frozen=True)
class Song:
    """A song of a data set, and which of its stems are packed."""

    name: str
    track: Track
    stems: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """Of the longest stem."""
        return max(self.track.stems[name].header.duration_s for name in self.stems)


def main() -> None:
    """Write the folder, and say how large its parts are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("--soundfonts", type=Path, action="append", default=[])
    parser.add_argument("--held-out", default=HELD_OUT, help="name of a SoundFont file")
    parser.add_argument("--songs", type=Path, action="append", default=[])
    parser.add_argument("--vocals", type=Path, action="append", default=[])
    parser.add_argument("--mib", type=float, default=50.0, help="how large it may become")
    parser.add_argument("--no-wheels", action="store_true")
    arguments = parser.parse_args()
    pack = arguments.pack
    if pack.exists() and not (pack / "pack.json").is_file() and any(pack.iterdir()):
        parser.error(f"{pack} holds something else")
    shutil.rmtree(pack, ignore_errors=True)
    pack.mkdir(parents=True)
    (pack / "pack.json").write_text("{}\n")  # a call that is broken off can be repeated
    facts = build(
        pack,
        fonts=[*find_soundfonts(), *_fonts_in(arguments.soundfonts)],
        held_out=arguments.held_out,
        kits=find_kits(),
        songs=[*songs_in(arguments.songs), *songs_in(arguments.vocals, only="vocals")],
        limit=round(arguments.mib * _MIB),
        wheels=() if arguments.no_wheels else WHEELS,
    )
    (pack / "pack.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(_table(pack))


def _fonts_in(folders: Iterable[Path]) -> list[SoundFont]:
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    return [open_soundfont(path) for path in paths if path.suffix.lower() in SUFFIXES]


def songs_in(datasets: Iterable[Path], only: str | None = None) -> list[Song]:
    """Return the songs of data sets that may be learned from, of one stem where that is named."""
    found = []
    for data in datasets:
        tracks = list(open_dataset(data))
        has_subset = any(track.subset == "train" for track in tracks)
        for track in tracks:
            stems = tuple(name for name in track.stems if only in (None, name))
            if stems and (track.subset == "train" or not has_subset):
                found.append(Song(f"{data.resolve().name} {track.path.name}", track, stems))
    return found


def build(
    pack: Path,
    *,
    fonts: Sequence[SoundFont],
    held_out: str,
    kits: Sequence[DrumKit],
    songs: Sequence[Song],
    limit: int,
    wheels: Sequence[str] = WHEELS,
) -> dict[str, Any]:
    """Write all parts within a limit in bytes; return what is in them.

    Raises
    ------
    SystemExit
        They do not fit.
    """
    if wheels:
        fetch_wheels(pack / "wheels", wheels)
    left = limit - _size(pack)
    others = [font for font in fonts if font.path.name == held_out][:1]
    pack_fonts(others, pack / "held-out", left // 50)
    fonts = _different([font for font in fonts if font.path.name != held_out])
    pack_fonts(fonts, pack / "share" / "sounds" / "sf3", round(left * _FONTS_PART))
    pack_kits(kits, pack / "share", round(left * _KITS_PART))
    packed_songs = pack_songs(songs, pack / "songs", limit - _size(pack) - _MIB // 2)
    if _size(pack) > limit:
        raise SystemExit(f"{pack}: {_size(pack) / _MIB:.1f} MiB are more than were asked for")
    return {
        "soundfonts": [{"name": font.name, "licence": font.licence} for font in fonts],
        "held_out": [{"name": font.name, "licence": font.licence} for font in others],
        "kits": [{"name": kit.name, "licence": kit.licence} for kit in kits],
        "songs": packed_songs,
    }


def _different(fonts: Sequence[SoundFont]) -> list[SoundFont]:
    """Return SoundFonts without those that are there twice or have one origin."""
    named = {font.path.name: font for font in fonts}
    for name in [name for name in _SAME_ORIGIN if name in named][1:]:
        del named[name]
    return list(named.values())


def fetch_wheels(folder: Path, names: Sequence[str]) -> None:
    """Download wheels for Linux on x86-64 and Python 3.12."""
    platforms = [part for name in _PLATFORMS for part in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
               "--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp",
               *platforms, "--dest", str(folder), *names]  # fmt: skip
    subprocess.run(command, check=True)


def pack_fonts(fonts: Sequence[SoundFont], folder: Path, limit: int) -> None:
    """Write thinned SoundFonts, with notes as long as fit into so many bytes."""
    if not fonts:
        return
    folder.mkdir(parents=True)
    used = {font.path: used_samples(open_soundfont_file(font.path)) for font in fonts}
    rows = [row for samples in used.values() for row in samples.values()]

    def size(longest_s: float) -> float:
        lengths = [min(row.kept_s(longest_s), row.duration_s) for row in rows]
        return len(rows) * _FILE_BYTES + sum(lengths) * _NOTE_BYTES_PER_S

    longest_s = _longest_that_fits(size, limit)
    for font in fonts:
        thin = thinned(open_soundfont_file(font.path), used[font.path], longest_s)
        (folder / f"{font.path.stem}.sf3").write_bytes(thin)


def _longest_that_fits(size: Any, limit: int) -> float:
    """Return the most seconds whose size is within a limit, or the fewest that make sense."""
    low, high = _SHORTEST_S, _LONGEST_S
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if size(middle) <= limit else (low, middle)
    return low


def pack_kits(kits: Sequence[DrumKit], share: Path, limit: int) -> None:
    """Write drum kits, with hits as long as fit into so many bytes."""
    hits = {layer.path: None for kit in kits for piece in kit.pieces.values() for layers in piece
            for layer in layers}  # fmt: skip
    lengths = {path: soundfile.info(path).duration for path in hits}

    def size(longest_s: float) -> float:
        seconds = sum(min(length, longest_s) for length in lengths.values())
        return len(hits) * _FILE_BYTES + seconds * _HIT_BYTES_PER_S

    longest_s = _longest_that_fits(size, limit)
    for path in hits:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        audio = faded(audio[: round(longest_s * rate), :2], rate)
        coded = opus(_at_rate(audio, rate, OPUS_RATE), OPUS_RATE, NOTE_LEVEL)
        if (path.parent / "drumkit.xml").is_file():
            kit = share / "hydrogen" / "data" / "drumkits" / path.parent.name
            name = f"{path.name}.opus"
        else:  # kits that go by their files' names
            kit, name = share / "sonic-pi" / "samples", path.name
        kit.mkdir(parents=True, exist_ok=True)
        (kit / name).write_bytes(coded)
    for folder in sorted({path.parent for path in hits if (path.parent / "drumkit.xml").is_file()}):
        _write_kit(folder, share / "hydrogen" / "data" / "drumkits" / folder.name)


def _write_kit(kit: Path, out: Path) -> None:
    """Write the description of a kit, whose files have other names now."""
    text = (kit / "drumkit.xml").read_text("utf-8", "surrogateescape")
    named = re.sub(r"(<filename>[^<]+)(</filename>)", r"\1.opus\2", text)
    (out / "drumkit.xml").write_text(named, "utf-8", "surrogateescape")


def pack_songs(songs: Sequence[Song], out: Path, limit: int) -> list[str]:
    """Write as many seconds of each song as fit into so many bytes; return the songs' names."""
    if not songs:
        return []
    rates = [_STEM_BYTES_PER_S * len(song.stems) for song in songs]

    def size(longest_s: float) -> float:
        return sum(
            rate * min(longest_s, song.duration_s) for rate, song in zip(rates, songs, strict=True)
        )

    low, high = 1.0, 600.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if size(middle) <= limit else (low, middle)
    seconds = low
    whole = [song for song in songs if len(song.stems) >= _VALID_STEMS]
    valid = whole[_VALID_EVERY // 2 :: _VALID_EVERY]
    while True:
        shutil.rmtree(out, ignore_errors=True)
        for song in songs:
            write_song(song, out / ("valid" if song in valid else "train") / song.name, seconds)
        if _size(out) <= limit or seconds < 1:
            return [song.name for song in songs]
        seconds *= 0.97 * limit / _size(out)


def write_song(song: Song, folder: Path, seconds: float) -> None:
    """Write the stems of some seconds of a song; silent ones are left out."""
    stems = {}
    for name in song.stems:  # one by one: their rates and channels may differ
        audio = song.track.load_stems([name])[name]
        stems[name] = audio.samples.numpy().T, audio.sample_rate  # [samples, channels]
    begin_s = fullest_place(list(stems.values()), seconds)
    for name, (stem, rate) in stems.items():
        part = stem[round(begin_s * rate) : round((begin_s + seconds) * rate)]
        if np.abs(part).max(initial=0) > _SILENT:
            folder.mkdir(parents=True, exist_ok=True)
            if part.shape[1] == 2 and np.array_equal(part[:, 0], part[:, 1]):
                part = part[:, :1]
            coded = opus(_at_rate(part, rate, OPUS_RATE), OPUS_RATE, _STEM_LEVEL)
            (folder / f"{name}.opus").write_bytes(coded)


def fullest_place(stems: Sequence[tuple[NDArray[np.float32], int]], seconds: float) -> float:
    """Return the second from which on most stems sound; those that seldom do count more.

    Parameters
    ----------
    stems : sequence of (ndarray ``[samples, channels]``, sample rate)
    seconds : float
        How many are looked at from there on.
    """
    pieces = [_sounds(stem, round(_PIECE_S * rate)) for stem, rate in stems]
    count = max(len(sounds) for sounds in pieces)
    window = max(1, int(seconds / _PIECE_S))
    if count <= window:
        return 0.0
    score = np.zeros(count - window + 1)
    for sounds in pieces:
        whole = np.concatenate([sounds, np.zeros(count - len(sounds))])
        score += np.convolve(whole, np.ones(window), "valid") / max(sounds.sum(), 1)
    return int(np.argmax(score)) * _PIECE_S


def _sounds(stem: NDArray[np.float32], piece: int) -> NDArray[np.float64]:
    """Return 1 for the pieces of so many samples in which a stem sounds, 0 for the others."""
    whole = stem[: len(stem) // piece * piece]
    peaks = np.abs(whole).reshape(-1, piece * stem.shape[1]).max(axis=1)
    return (peaks > 10 * _SILENT).astype(float)


def _at_rate(samples: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    return samples if rate == wanted else soxr.resample(samples, rate, wanted)


def _size(folder: Path) -> int:
    """Return how many bytes the files below a folder have."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _table(pack: Path) -> str:
    """Return a table of how large the parts are."""
    parts = {
        "wheels": pack / "wheels",
        "SoundFonts": pack / "share" / "sounds",
        "SoundFont held out": pack / "held-out",
        "drum kits": pack / "share" / "hydrogen",
        "Sonic Pi's hits": pack / "share" / "sonic-pi",
        "songs to train on": pack / "songs" / "train",
        "songs to validate on": pack / "songs" / "valid",
        "all": pack,
    }
    return "\n".join(f"{name:22}{_size(path) / _MIB:6.2f} MiB" for name, path in parts.items())


if __name__ == "__main__":
    main()
