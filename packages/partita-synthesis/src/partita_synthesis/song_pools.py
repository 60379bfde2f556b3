"""Training on songs that are synthesised while it runs, and never touch the disk."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.datasets import open_dataset
from partita.errors import UnknownNameError, one_line
from partita.settings import Settings, read_toml, settings_from
from partita.training.cache.decode_track import is_audible, sixteen_bit_step
from partita.training.cache.decoded_songs import PIECE_S, DecodedSongs, DecodedTrack
from partita.validation import bounded
from partita_synthesis import Studio, SynthesisSettings, SynthesizedSong
from partita_synthesis.midi import find_midi
from partita_synthesis.soundfonts import find_soundfonts
from partita_synthesis.workers import in_processes

_FROM_MODEL = ("sample_rate", "channels")
_HEAD_BYTES = 1 << 20  # of each recording
_FIRST_VALID = 1 << 40  # number of the first song that validates; training never gets there


@dataclass(frozen=True)
class StreamSettings(Settings):
    """How synthesised songs are used.

    Attributes
    ----------
    pool_songs : int
        Songs in the pool; a remix takes its sources from these.
    excerpts_per_song : int
        Excerpts drawn for each song; more of them: faster training, less variety.
    valid_songs : int
        Songs for validation, never trained on; 0: none.
    """

    pool_songs: int = bounded(16, least=1)
    excerpts_per_song: int = bounded(16, least=1)
    valid_songs: int = bounded(8, least=0)


@dataclass(frozen=True)
class SynthesisPlan:
    """A file of settings for songs that are made while a model is trained.

    Attributes
    ----------
    synthesis : SynthesisSettings
    stream : StreamSettings
    """

    synthesis: SynthesisSettings
    stream: StreamSettings

    @classmethod
    def read(
        cls, path: Path, *, sources: Sequence[str], sample_rate: int, channels: int
    ) -> SynthesisPlan:
        """Read a ``.toml`` file: fields of `SynthesisSettings` and of `StreamSettings`.

        Rate and channels are the model's; stems, where the file does not say, its sources.

        Raises
        ------
        UsageError
            The file cannot be read, or a value is of the wrong type or out of range.
        UnknownNameError
            A key that there is not.
        """
        where = one_line(path.name)
        values = read_toml(path)
        stream_keys = {field.name for field in dataclasses.fields(StreamSettings)}
        song_keys = {field.name for field in dataclasses.fields(SynthesisSettings)}
        known = (song_keys | stream_keys) - set(_FROM_MODEL)
        for key in values:
            if key not in known:
                raise UnknownNameError(f"setting in {where}", key, known)
        stream = {key: value for key, value in values.items() if key in stream_keys}
        songs = {key: value for key, value in values.items() if key in song_keys}
        songs = {"stems": list(sources)} | songs
        songs |= {"sample_rate": sample_rate, "channels": channels}
        return cls(
            settings_from(songs, SynthesisSettings, where),
            settings_from(stream, StreamSettings, where),
        )


def file_digests(settings: SynthesisSettings) -> dict[str, str]:
    """Return digests of the files that songs are made of, by which a change of them is found.

    Returns
    -------
    dict of str to str
        A digest for each SoundFont, one for all MIDI files, and one for all recordings.
    """
    fonts = [Path(path) for path in settings.soundfonts]
    fonts = fonts or [font.path for font in find_soundfonts()]
    digests = {f"the SoundFont {font.name}": _digest([font]) for font in fonts}
    if settings.midi is not None:
        digests["the MIDI files"] = _digest(find_midi(settings.midi))
    if settings.recordings is not None:
        tracks = open_dataset(Path(settings.recordings))
        files = {p for track in tracks for file in track.files.values() for p in file.paths}
        digests["the recordings"] = _digest(sorted(files), _HEAD_BYTES)
    return digests


def _digest(paths: Sequence[Path], head_bytes: int = -1) -> str:
    """Return a digest of files' names, sizes and content, or the head of that."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(f"{path.name} {os.fstat(file.fileno()).st_size} ".encode())
            digest.update(file.read(head_bytes))
    return digest.hexdigest()


class SongPools:
    """Pools of songs to draw excerpts from, one after the other.

    Which pool belongs to an excerpt depends on its index alone, and what is in it on the settings,
    so that a resumed training gets the same excerpts. Processes make the pools ahead.

    Parameters
    ----------
    plan : SynthesisPlan
    sources : sequence of str
        What is learned; other stems are added up to the rest.
    workers : int
        Processes.

    Raises
    ------
    UsageError
        As `Studio`, or sources that are not among the stems.
    """

    def __init__(self, plan: SynthesisPlan, sources: Sequence[str], workers: int) -> None:
        stems = plan.synthesis.stems
        for source in sources:
            if source not in stems:
                raise UnknownNameError("stem", source, stems)
        self._plan, self._workers = plan, workers
        self._sources = tuple(sources)
        self._task = _MakeTrack(Studio(plan.synthesis), self._sources)
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._pools: dict[int, DecodedSongs] = {}  # the two newest
        self._next = 0
        self._made: Generator[DecodedTrack, None, None] | None = None

    def songs_for(self, index: int) -> DecodedSongs:
        """Return the songs from which an excerpt is drawn; called in several threads."""
        stream = self._plan.stream
        number = index // (stream.pool_songs * stream.excerpts_per_song)
        with self._lock:
            if number not in self._pools:
                if self._made is None or number != self._next:
                    self._begin_at(number)
                assert self._made is not None
                tracks = tuple(itertools.islice(self._made, stream.pool_songs))
                self._pools[number] = self._songs(tracks)
                self._next = number + 1
                for old in list(self._pools)[:-2]:
                    del self._pools[old]
            return self._pools[number]

    def held_out(self) -> DecodedSongs | None:
        """Return the songs for validation."""
        count = self._plan.stream.valid_songs
        if not count:
            return None
        numbers = range(_FIRST_VALID, _FIRST_VALID + count)
        with closing(in_processes(self._task, numbers, self._workers)) as made:
            return self._songs(tuple(made))

    def close(self) -> None:
        """End the processes; threads that wait for songs get an InterruptedError."""
        self._closed.set()
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._made is not None:
            self._made.close()
            self._made = None

    def _begin_at(self, pool: int) -> None:
        self._end()
        numbers = itertools.count(pool * self._plan.stream.pool_songs)
        self._made = in_processes(self._task, numbers, self._workers, self._closed.is_set)

    def _songs(self, tracks: tuple[DecodedTrack, ...]) -> DecodedSongs:
        songs = self._plan.synthesis
        has_rest = len(songs.stems) > len(self._sources)
        return DecodedSongs(self._sources, has_rest, tracks, songs.sample_rate, songs.channels, ())


@dataclass(frozen=True)
class _MakeTrack:
    """Makes one song ready to draw excerpts from; sent to worker processes."""

    studio: Studio
    sources: tuple[str, ...]

    def __call__(self, number: int) -> DecodedTrack:
        return decoded_track(self.studio.song(number), self.sources)


def decoded_track(song: SynthesizedSong, sources: Sequence[str]) -> DecodedTrack:
    """Return a song as 16-bit integers in memory, to draw excerpts from.

    Parameters
    ----------
    song : SynthesizedSong
    sources : sequence of str
        Stems; the others are added up to one more row.
    """
    return track_in_memory(song.name, song.stems, sources, song.sample_rate)


def track_in_memory(
    name: str,
    stems: Mapping[str, npt.NDArray[np.float32]],
    sources: Sequence[str],
    sample_rate: int,
) -> DecodedTrack:
    """Return a track of stems ``[channels, samples]`` of one size, at least one.

    Parameters
    ----------
    name : str
    stems : mapping of str to ndarray
        float32.
    sources : sequence of str
        A row for each, silent where the stem is missing; the others are added up to one more row.
    sample_rate : int
        In hertz.
    """
    silence = np.zeros_like(next(iter(stems.values())))
    rows = [stems.get(source, silence) for source in sources]
    rest = [samples for stem, samples in stems.items() if stem not in sources]
    if rest:
        rows.append(np.sum(rest, axis=0, dtype=np.float32))
    signals = np.stack(rows).transpose(0, 2, 1)  # [rows, channels, T] -> [rows, T, channels]
    steps = [sixteen_bit_step(float(row.min()), float(row.max())) for row in signals]
    scales = np.array(steps, np.float32)[:, None, None]
    piece = round(PIECE_S * sample_rate)
    return DecodedTrack(
        name=name,
        samples=signals.shape[1],
        channels=signals.shape[2],
        audio=np.rint(signals / scales).astype(np.int16),
        scales=tuple(
            step if np.ptp(row) else 0.0 for step, row in zip(steps, signals, strict=True)
        ),
        audible=np.stack([is_audible(_powers(row, piece)) for row in signals]),
    )


def _powers(row: np.ndarray[Any, np.dtype[np.float32]], piece: int) -> Any:
    """Return the mean power of each piece of ``[T, channels]``."""
    starts = np.arange(0, len(row), piece)
    sums = np.add.reduceat(np.square(row, dtype=np.float64).mean(axis=1), starts)
    return sums / np.minimum(piece, len(row) - starts)
