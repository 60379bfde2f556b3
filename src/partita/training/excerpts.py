"""Drawing excerpts of songs: by seed and number, in threads ahead of the training."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor

from partita.audio.pitch_tempo import change_pitch_and_tempo
from partita.threads import result_awake
from partita.training.augmentation import Augmentation, augment, draw_distortion
from partita.training.cache.decoded_songs import DecodedSongs, DecodedTrack

#: On either side of what is changed in pitch or tempo: the method is inaccurate at the ends.
_MARGIN_S = 0.1
_BATCHES_AHEAD = 2


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Sources, whose sum is the mixture.

    Attributes
    ----------
    sources : Tensor ``[rows, channels, samples]``
        float32; the rest last, where there is one. Where augmentation distorts mixtures, one more
        row holds what the mixture has and no source.
    places : tuple of str
        Where each row is from: ``vocals: TRACK at 12.3 s``, ``distortion: clipped``.
    """

    sources: Tensor
    places: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """Excerpts of one length.

    Attributes
    ----------
    sources : Tensor ``[excerpts, rows, channels, samples]``
    places : tuple of tuple of str
    """

    sources: Tensor
    places: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Change:
    semitones: float = 0.0
    tempo: float = 1.0
    speed: float = 1.0

    def before(self, samples: int) -> int:
        """Return how many samples are needed to get this many."""
        return max(1, round(samples * self.tempo * self.speed))

    def apply(self, audio: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
        """Change ``[channels, samples]`` together."""
        if (self.semitones, self.tempo) != (0.0, 1.0):
            audio = change_pitch_and_tempo(
                torch.from_numpy(audio), rate, self.semitones, self.tempo
            ).numpy()
        if self.speed != 1.0:
            audio = soxr.resample(audio.T, self.speed, 1.0, quality="LQ").T
        return audio


def draw_excerpt(
    songs: DecodedSongs, samples: int, augmentation: Augmentation, seed: int, index: int
) -> Excerpt:
    """Draw one excerpt.

    It depends on the arguments alone, not on what was drawn before or elsewhere. The row of the
    rest is drawn from any place, so that it is as frequent as in the tracks. Tracks that are
    shorter than the excerpt are placed in it at random.

    Parameters
    ----------
    songs : DecodedSongs
    samples : int
        Length of the excerpt.
    augmentation : Augmentation
    seed, index : int
        Not negative; the excerpts of a seed are numbered.

    Raises
    ------
    AudioReadError
        The decoded audio is gone.
    AudioWriteError, OSError
        No temporary file can be written, which codecs need.
    """
    rng = np.random.default_rng([seed, index])
    if rng.random() < augmentation.remix:
        picked = []
        for row in range(songs.rows):
            change = _draw_change(rng, augmentation)
            is_rest = row == len(songs.sources)
            silence = 1.0 if is_rest else augmentation.silence
            track, start = _place_of_row(rng, songs, row, change.before(samples), silence)
            audio = _read(songs, track, [row], start, samples, change)
            picked.append((audio, [(track, start)]))
    else:
        change = _draw_change(rng, augmentation)
        track, start = _place_of_song(rng, songs, change.before(samples), augmentation.silence)
        audio = _read(songs, track, range(songs.rows), start, samples, change)
        picked = [(audio, [(track, start)] * songs.rows)]
    sources = np.concatenate([audio for audio, _ in picked])  # [rows, channels, samples]
    sources = augment(rng, sources, songs.sample_rate, augmentation)
    places = [place for _, each in picked for place in each]
    names = _name_places(songs, places)
    if augmentation.distorts:
        mixture = sources.sum(axis=0)
        added, kind = draw_distortion(rng, mixture, songs.sample_rate, augmentation)
        sources = np.concatenate([sources, added[None]])
        names = (*names, f"distortion: {kind}")
    return Excerpt(torch.from_numpy(sources), names)


def _draw_change(rng: np.random.Generator, augmentation: Augmentation) -> _Change:
    semitones, percent = rng.uniform(-1, 1, 2) * (
        augmentation.pitch_semitones,
        augmentation.tempo_percent,
    )
    most = augmentation.speed_percent
    speed = 1 + float(rng.uniform(-most, most)) / 100 if most else 1.0
    return _Change(float(semitones), 1 + float(percent) / 100, speed)


def _place_of_row(
    rng: np.random.Generator, songs: DecodedSongs, row: int, samples: int, silence: float
) -> tuple[DecodedTrack, int]:
    """Draw one of the audible pieces of a row, or any place."""
    pieces = songs.audible[row]
    if rng.random() < silence or not len(pieces):
        return _any_place(rng, songs, samples)
    index, piece = pieces[rng.integers(len(pieces))]
    track = songs.tracks[index]
    return track, _start_around(rng, songs, track, int(piece), samples)


def _place_of_song(
    rng: np.random.Generator, songs: DecodedSongs, samples: int, silence: float
) -> tuple[DecodedTrack, int]:
    """Draw a track by its duration, and a place where any source is audible, or any place."""
    track, start = _any_place(rng, songs, samples)
    pieces = np.flatnonzero(track.audible[: len(songs.sources)].any(axis=0))
    if rng.random() < silence or not len(pieces):
        return track, start
    return track, _start_around(rng, songs, track, int(rng.choice(pieces)), samples)


def _any_place(
    rng: np.random.Generator, songs: DecodedSongs, samples: int
) -> tuple[DecodedTrack, int]:
    ends = np.cumsum([track.samples for track in songs.tracks])
    index = int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))
    track = songs.tracks[index]
    spare = track.samples - samples
    return track, int(rng.integers(min(spare, 0), max(spare, 0), endpoint=True))


def _start_around(
    rng: np.random.Generator, songs: DecodedSongs, track: DecodedTrack, piece: int, samples: int
) -> int:
    """Return where an excerpt starts that has a sample of a piece at a random place in it."""
    spare = track.samples - samples
    if spare <= 0:
        return int(rng.integers(spare, 0, endpoint=True))
    point = round((piece + rng.random()) * songs.piece_samples)
    return min(max(0, point - int(rng.integers(samples))), spare)


def _read(
    songs: DecodedSongs,
    track: DecodedTrack,
    rows: Sequence[int],
    start: int,
    samples: int,
    change: _Change,
) -> npt.NDArray[np.float32]:
    """Read ``[rows, channels, samples]`` and change all of it together."""
    if change == _Change():
        return np.stack([track.read(row, start, samples).numpy() for row in rows])
    margin = round(_MARGIN_S * songs.sample_rate)
    longer = change.before(samples) + 2 * margin
    parts = [track.read(row, start - margin, longer).numpy() for row in rows]
    together = np.concatenate(parts)  # [rows * channels, longer]
    changed = change.apply(together, songs.sample_rate)
    first = (changed.shape[1] - samples) // 2
    return changed[:, first : first + samples].reshape(len(rows), -1, samples)


def _name_places(
    songs: DecodedSongs, places: Iterable[tuple[DecodedTrack, int]]
) -> tuple[str, ...]:
    return tuple(
        f"{name}: {track.name} at {max(start, 0) / songs.sample_rate:.1f} s"
        for name, (track, start) in zip(songs.row_names, places, strict=True)
    )


class SpreadExcerpts(Sequence[Excerpt]):
    """Excerpts without augmentation, read when they are asked for."""

    def __init__(
        self, songs: DecodedSongs, samples: int, places: Sequence[tuple[DecodedTrack, int]]
    ) -> None:
        self._songs, self._samples, self._places = songs, samples, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Excerpt: ...
    @overload
    def __getitem__(self, index: slice) -> SpreadExcerpts: ...
    def __getitem__(self, index: int | slice) -> Excerpt | SpreadExcerpts:
        if isinstance(index, slice):
            return SpreadExcerpts(self._songs, self._samples, self._places[index])
        track, start = self._places[index]
        rows = range(self._songs.rows)
        audio = _read(self._songs, track, rows, start, self._samples, _Change())
        places = _name_places(self._songs, [(track, start)] * self._songs.rows)
        return Excerpt(torch.from_numpy(audio), places)


def spread_excerpts(songs: DecodedSongs, samples: int, count: int) -> SpreadExcerpts:
    """Spread excerpts evenly over the pieces with an audible source, in the order of the tracks.

    Parameters
    ----------
    songs : DecodedSongs
    samples : int
        Length of each.
    count : int
        How many; fewer where some would be the same.

    Returns
    -------
    SpreadExcerpts
        A sequence of unaugmented `Excerpt`.
    """
    pieces = songs.any_audible
    chosen = pieces[((np.arange(count) + 0.5) * len(pieces) / count).astype(int)]
    places: dict[tuple[int, int], tuple[DecodedTrack, int]] = {}
    for index, piece in chosen.tolist():
        track = songs.tracks[index]
        latest = max(0, track.samples - samples)
        middle = round((piece + 0.5) * songs.piece_samples)
        start = min(max(0, middle - samples // 2), latest)
        places.setdefault((index, start), (track, start))
    return SpreadExcerpts(songs, samples, list(places.values()))


def prefetch(
    draw: Callable[[int], Excerpt],
    batches: Iterable[Sequence[int]],
    workers: int,
    cancelled: Callable[[], bool] | None = None,
) -> Generator[Batch, None, None]:
    """Draw batches in threads, two of them ahead of the one in use.

    Parameters
    ----------
    draw : callable
        From an index to its excerpt; called in several threads at once. It should leave PyTorch's
        own threads alone, which are for the training: `draw_excerpt` calculates in numpy.
    batches : iterable of sequence of int
        The indices of each batch; may be endless.
    workers : int
        How many threads, at least one.
    cancelled : callable, optional
        Once it says so, the wait for a batch ends with InterruptedError.

    Yields
    ------
    Batch
        In the order of `batches`. What `draw` raises is raised in its batch's place. Closing the
        generator ends the threads.
    """
    pool = ThreadPoolExecutor(max(1, workers), "partita-excerpts")
    # Copies excerpts into one tensor: on GPUs that takes as long as a step.
    collector = ThreadPoolExecutor(1, "partita-batches")
    waiting: deque[Future[Batch]] = deque()
    left = iter(batches)
    try:
        while True:
            for indices in itertools.islice(left, 1 + _BATCHES_AHEAD - len(waiting)):
                drawn = [pool.submit(draw, index) for index in indices]
                waiting.append(collector.submit(_collect, drawn))
            if not waiting:
                return
            yield result_awake(waiting.popleft(), cancelled)
    finally:
        # A cancelled training does not wait: a song that is being synthesised may take minutes.
        waits = cancelled is None or not cancelled()
        for each in (pool, collector):
            each.shutdown(wait=waits, cancel_futures=True)


def _collect(futures: Sequence[Future[Excerpt]]) -> Batch:
    drawn = [future.result() for future in futures]
    # By NumPy: for PyTorch, this thread would need a team of threads of its own, and OpenMP's
    # threads hardly spin once there are more of them than cores, which costs a quarter of a step.
    sources = np.stack([excerpt.sources.numpy() for excerpt in drawn])  # [B, rows, C, T]
    return Batch(torch.from_numpy(sources), tuple(excerpt.places for excerpt in drawn))
