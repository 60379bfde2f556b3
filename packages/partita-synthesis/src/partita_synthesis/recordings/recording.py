"""Stems of real tracks that can take part in songs; they are analysed once."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.datasets.dataset import open_dataset
from partita.datasets.tracks import VOCALS, StemFile, Track
from partita.errors import UsageError, one_line
from partita.files import whole_file
from partita.weights.cache_folder import cache_folder
from partita_synthesis.recordings.analysis import (
    BEATS_IN_BAR,
    RATE,
    extend_beats,
    find_beats,
    find_downbeat,
    find_key,
    find_spans,
    tempo_of,
)

Samples = npt.NDArray[np.float32]

DRUMS = "drums"
#: Stems that recordings of the same name can take the place of.
STEMS = (VOCALS, DRUMS)

#: Of songs that last longer, the middle is analysed: decoding takes most of the time.
_HEARD_S, _BAND_HEARD_S = 120.0, 45.0
_PAUSES_S = {VOCALS: 0.35, DRUMS: 1.2}  # shorter ones interrupt nothing
_QUIET_DB = {VOCALS: -35.0, DRUMS: -20.0}  # shakers alone are no drums yet
_FEWEST_BEATS = 3 * BEATS_IN_BAR
_VERSION = 1  # of what is remembered; to be raised with every change of the analysis
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """A phrase that is sung, or drums that play, without a pause.

    Attributes
    ----------
    start_s, duration_s : float
        In seconds of the recording.
    """

    start_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        """Where it ends."""
        return self.start_s + self.duration_s


@dataclass(frozen=True)
class Recording:
    """A stem of a real track.

    Attributes
    ----------
    name : str
        Of the track.
    stem : str
        One of `STEMS`.
    file : StemFile
    licence : str
        First line of the file LICENSE or LICENCE of the track, or else of the data set; empty
        where there is none.
    key : int
        Pitch class of the track's tonic, 0 (C) to 11.
    mode : str
        ``"major"`` or ``"minor"``.
    tempo_bpm : float
    beats_s : tuple of float
        In seconds of the recording; every fourth, from the first on, begins a bar.
    spans : tuple of Span
        Active spans, as far as it was analysed; at least one.
    """

    name: str
    stem: str
    file: StemFile
    licence: str
    key: int
    mode: str
    tempo_bpm: float
    beats_s: tuple[float, ...]
    spans: tuple[Span, ...]


def find_recordings(root: Path, stems: Collection[str] = STEMS) -> list[Recording]:
    """Analyse the tracks of a data set that have vocals or drums; a few seconds each.

    The results are kept in the cache folder of this package until the files change.

    Parameters
    ----------
    root : Path
        Whatever `partita.datasets.open_dataset` opens. Stems without an active span of 1.5 s
        are left out, and so are tracks of less than three bars.
    stems : collection of str
        Those of `STEMS` that are wanted.

    Raises
    ------
    UsageError
        No data set, or none of these stems in it.
    AudioReadError
        A file cannot be read.
    """
    tracks = [track for track in open_dataset(root) if not track.stems.keys().isdisjoint(stems)]
    found = [recording for track in tracks for recording in _remembered(track, root)]
    wanted = [recording for recording in found if recording.stem in stems]
    if not wanted:
        names = " or ".join(name for name in STEMS if name in stems)
        raise UsageError(
            f"{one_line(root)}: has no {names}, or they are silent: "
            f"name a data set with stems called {names}"
        )
    return wanted


def _remembered(track: Track, root: Path) -> list[Recording]:
    """Return what is known about a track's files, or analyse them."""
    files = [file for file in track.stems.values() if file.path.is_file()]
    states = [(str(file.path.resolve()), file.stream, file.path.stat()) for file in files]
    facts = [(name, stream, state.st_size, state.st_mtime_ns) for name, stream, state in states]
    key = hashlib.sha256(json.dumps([_VERSION, list(track.stems), facts]).encode()).hexdigest()
    path = cache_folder() / "recordings" / f"{key[:32]}.json"
    try:
        rows = json.loads(path.read_text("utf-8"))
        recordings = [_from_json(row, track) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        _log.info("listening to %s", one_line(track.name))
        recordings = _listen(track)
        _remember(recordings, path)
    licence = _licence(track.path, root)
    return [replace(recording, licence=licence) for recording in recordings]


def _remember(recordings: Sequence[Recording], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_text(json.dumps([_to_json(each) for each in recordings]), "utf-8")
    except OSError as error:
        _log.info("cannot remember recordings: %s", error)


def _to_json(recording: Recording) -> dict[str, Any]:
    return {
        "stem": recording.stem,
        "key": recording.key,
        "mode": recording.mode,
        "tempo_bpm": recording.tempo_bpm,
        "beats_s": recording.beats_s,
        "spans": [(span.start_s, span.duration_s) for span in recording.spans],
    }


def _from_json(row: dict[str, Any], track: Track) -> Recording:
    return Recording(
        name=track.name,
        stem=row["stem"],
        file=track.stems[row["stem"]],
        licence="",
        key=int(row["key"]),
        mode=row["mode"],
        tempo_bpm=float(row["tempo_bpm"]),
        beats_s=tuple(map(float, row["beats_s"])),
        spans=tuple(Span(*span) for span in row["spans"]),
    )


def _listen(track: Track) -> list[Recording]:
    start_s, length_s = _middle(track.duration_s, _HEARD_S)
    heard = {
        stem: _mono(track.stems[stem], start_s, length_s) for stem in STEMS if stem in track.stems
    }
    spans = {
        stem: tuple(
            Span(start_s + begin, duration)
            for begin, duration in find_spans(
                sound, joined_s=_PAUSES_S[stem], quiet_db=_QUIET_DB[stem]
            )
        )
        for stem, sound in heard.items()
    }
    late_s, band_s = _middle(length_s, _BAND_HEARD_S)
    band = _band(track, start_s + late_s, band_s)
    if not band.any():  # a cappella, or drums alone
        band = np.sum([_part(sound, late_s, band_s) for sound in heard.values()], axis=0)
    drums = heard[DRUMS] if spans.get(DRUMS) else None
    beats_s = find_beats(band if drums is None else drums)
    if drums is None:
        beats_s = beats_s + late_s
    if len(beats_s) < _FEWEST_BEATS:
        return []
    first = find_downbeat(beats_s, drums, band, late_s)
    key, mode = find_key(band)
    whole = extend_beats(beats_s[first:], 0.0, length_s)
    beats = tuple(np.round(start_s + whole, 4).tolist())
    return [
        Recording(track.name, stem, track.stems[stem], "", key, mode, tempo_of(beats), beats, where)
        for stem, where in spans.items()
        if where
    ]


def _middle(duration_s: float, most_s: float) -> tuple[float, float]:
    """Return start and length of the middle of so many seconds."""
    return max(0.0, duration_s - most_s) / 2, min(duration_s, most_s)


def _part(sound: Samples, start_s: float, length_s: float) -> Samples:
    start = round(start_s * RATE)
    return sound[start : start + round(length_s * RATE)]


def _band(track: Track, start_s: float, length_s: float) -> Samples:
    """Return the sum of those who neither sing nor drum."""
    band = np.zeros(round(length_s * RATE), np.float32)
    for name, file in track.stems.items():
        if name not in STEMS:
            band += _mono(file, start_s, length_s)
    return band


def _mono(file: StemFile, start_s: float, length_s: float) -> Samples:
    """Return an excerpt at `RATE`, silent where the file is over."""
    import soxr

    sound = np.zeros(round(length_s * RATE), np.float32)
    if start_s >= file.header.duration_s:
        return sound
    with file.open(start_s=start_s, duration_s=length_s) as reader:
        mono = np.concatenate(list(reader.blocks()), axis=1).mean(axis=0)
    read = soxr.resample(mono, reader.sample_rate, RATE, quality="LQ")[: len(sound)]
    sound[: len(read)] = read
    return sound


def _licence(track: Path, root: Path) -> str:
    for folder in (track, root):
        for name in ("LICENSE", "LICENCE", "LICENSE.txt", "LICENCE.txt", "LICENSE.md"):
            path = folder / name
            if path.is_file():
                lines = path.read_text("utf-8", "replace").split("\n")
                return next((line.strip("# \t\r") for line in lines if line.strip("# \t\r")), "")
    return ""
