"""Read LMMS projects and render each track separately."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import soundfile
from numpy.typing import NDArray

from partita.errors import PartitaError

RATE = 44100
_INSTRUMENT, _BEAT, _SAMPLE = "0", "1", "2"  # Track::TrackTypes
_BASE_KEY, _BASE_MIDI = 57, 69  # LMMS' A4, and MIDI's
_FACTS = "facts.json"
_BLOCK_SAMPLES = 1 << 18
_PEAK = 0.99


@dataclass(frozen=True)
class Track:
    """An audible track.

    Attributes
    ----------
    name : str
        The author's or LMMS' name.
    plugin : str
        LMMS' name of the instrument, empty for tracks of recordings.
    sample : str
        The instrument's sample file, below LMMS' samples; or empty.
    in_beat : bool
        Whether it is a track of the beat/bassline editor.
    keys : tuple of int
        Keys of its notes, sorted, in MIDI: 69 is what LMMS calls A4.
    """

    name: str
    plugin: str
    sample: str
    in_beat: bool
    keys: tuple[int, ...]


@dataclass(frozen=True)
class Rendered:
    """Rendered tracks of a project, one file each, and the mix, all attenuated by the same gain."""

    folder: Path
    tracks: tuple[Track, ...]
    gain: float

    @property
    def mix(self) -> Path:
        """The file of the mix."""
        return self.folder / "mix.flac"

    def file(self, index: int) -> Path:
        """Return the file of a track, counted from 0."""
        return self.folder / f"{index + 1}.flac"


def read_project(path: Path) -> tuple[Track, ...]:
    """Return the tracks that `lmms rendertracks` renders, in its order.

    These are the song's instruments and recordings that are not muted, then those of the
    beat/bassline editor (``RenderManager::renderTracks``).
    """
    content = path.read_bytes()
    try:
        if path.suffix == ".mmpz":
            content = zlib.decompress(content[4:])  # qCompress puts the length before it
        root = ElementTree.fromstring(content)
    except (zlib.error, ElementTree.ParseError) as error:
        raise PartitaError(f"{path}: not an LMMS project ({error})") from error
    song = root.find("song/trackcontainer")
    if song is None:
        raise PartitaError(f"{path}: no song in this LMMS project")
    beats = next(iter(song.iterfind("track/bbtrack/trackcontainer")), ElementTree.Element("none"))
    return (*_audible(song, in_beat=False), *_audible(beats, in_beat=True))


def _audible(container: ElementTree.Element, *, in_beat: bool) -> Iterator[Track]:
    for track in container.iterfind("track"):
        if track.get("type") not in (_INSTRUMENT, _SAMPLE) or track.get("muted") == "1":
            continue
        instrument = track.find("instrumenttrack/instrument")
        sources = track.iter() if instrument is None else instrument.iter()
        samples = [each.get("src", "") for each in sources if each.get("src")]
        settings = track.find("instrumenttrack")
        base = _BASE_KEY if settings is None else int(settings.get("basenote", _BASE_KEY))
        keys = [
            int(note.get("key", _BASE_KEY)) - base + _BASE_MIDI
            for note in track.iterfind("pattern/note")
        ]
        yield Track(
            name=track.get("name", ""),
            plugin="" if instrument is None else instrument.get("name", ""),
            sample=samples[0] if samples else "",
            in_beat=in_beat,
            keys=tuple(sorted(keys)),
        )


def render_tracks(project: Path, folder: Path) -> Rendered:
    """Render a project's tracks and mix into a folder, unless they exist.

    Raises
    ------
    PartitaError
        LMMS is not installed, failed, or rendered other tracks than the project has.
    """
    tracks = read_project(project)
    digest = hashlib.sha256(project.read_bytes()).hexdigest()
    if folder.exists():
        facts = json.loads((folder / _FACTS).read_text())
        if facts["project"] == digest:
            return Rendered(folder, tracks, facts["gain"])
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as work:
        wavs, done = Path(work, "wav"), Path(work, "done")
        wavs.mkdir()
        done.mkdir()
        _lmms("rendertracks", project, wavs)
        files = {int(path.name.partition("_")[0]) - 1: path for path in wavs.iterdir()}
        if sorted(files) != list(range(len(tracks))):
            raise PartitaError(f"{project}: LMMS rendered {len(files)} of {len(tracks)} tracks")
        mix = wavs / "mix.wav"
        _lmms("render", project, mix)
        gain = _PEAK / max(_PEAK, *(_peak(path) for path in (mix, *files.values())))
        rendered = Rendered(done, tracks, gain)
        _convert(mix, rendered.mix, gain)
        for index, path in files.items():
            _convert(path, rendered.file(index), gain)
        (done / _FACTS).write_text(json.dumps({"project": digest, "gain": gain}))
        done.rename(folder)
    return Rendered(folder, tracks, gain)


def _lmms(action: str, project: Path, out: Path) -> None:
    """Run LMMS without oversampling (half the time), in floating point, which does not clip."""
    command = ["lmms", "--allowroot", action, project, "-o", out, "-f", "wav", "-s", RATE, "-x", 1]
    # As root LMMS would use real-time priority, ahead of every other process.
    modest = ["setpriv", "--bounding-set", "-sys_nice"] if os.geteuid() == 0 else []
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    try:
        result = subprocess.run(
            [*modest, *map(str, command), "-a"], env=environment, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise PartitaError("lmms is not installed: apt-get install lmms lmms-common") from error
    if result.returncode:
        last = result.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise PartitaError(f"{project}: LMMS failed with status {result.returncode}: {last[:200]}")


def blocks(path: Path) -> Iterator[NDArray[np.float32]]:
    """Yield a file's samples ``[samples, 2]``."""
    with soundfile.SoundFile(path) as file:
        yield from file.blocks(_BLOCK_SAMPLES, dtype="float32", always_2d=True)


def _peak(path: Path) -> float:
    """Return the peak."""
    return max((float(np.abs(block).max()) for block in blocks(path)), default=0.0)


def _convert(path: Path, flac: Path, gain: float) -> None:
    """Write a 24-bit file."""
    with soundfile.SoundFile(flac, "w", RATE, 2, "PCM_24", format="FLAC") as out:
        for block in blocks(path):
            out.write(block * gain)
