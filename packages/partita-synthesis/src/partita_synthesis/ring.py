"""Excerpts that processes draw ahead of the training, in memory that all of them share.

For GPUs that learn faster than one process can draw. `ExcerptRing` holds some thousand excerpts;
each writer replaces the oldest of its own, and the training takes any of them: it never waits, and
uses an excerpt more than once where it is faster than the writers.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.errors import TrainingError, one_line
from partita.training.augmentation import Augmentation
from partita.training.cache.decoded_songs import DecodedSongs, DecodedTrack
from partita.training.excerpts import Excerpt, draw_excerpt
from partita_synthesis.workers import end_with_parent

_WAIT_S = 0.05
_REREADS = 100
_FAILURES_IN_A_ROW = 20


@dataclass(frozen=True)
class ExcerptRing:
    """Excerpts in files that several processes map into their memory; sent to them as it is.

    Attributes
    ----------
    folder : Path
        On a file system in memory, such as ``/dev/shm``.
    slots : int
        Excerpts that it holds.
    writers : int
        Each has the slots whose number modulo this is its own.
    rows, channels, samples : int
        Of each excerpt.
    """

    folder: Path
    slots: int
    writers: int
    rows: int
    channels: int
    samples: int

    @classmethod
    def create(
        cls, folder: Path, *, slots: int, writers: int, rows: int, channels: int, samples: int
    ) -> ExcerptRing:
        """Make an empty ring in a folder that is there; memory is taken as it fills."""
        ring = cls(folder, max(slots, writers), writers, rows, channels, samples)
        for path, kind, shape in ring._files:
            np.lib.format.open_memmap(path, "w+", kind, shape)
        return ring

    @property
    def _files(self) -> tuple[tuple[Path, type, tuple[int, ...]], ...]:
        audio = (self.slots, self.rows, self.channels, self.samples)
        return (
            (self.folder / "audio.npy", np.float16, audio),
            (self.folder / "versions.npy", np.int64, (self.slots,)),
        )

    def __getstate__(self) -> dict[str, Any]:
        fields = self.__dataclass_fields__
        return {name: value for name, value in vars(self).items() if name in fields}

    @cached_property
    def _audio(self) -> npt.NDArray[np.float16]:
        return np.load(self._files[0][0], mmap_mode="r+")  # type: ignore[no-any-return]

    @cached_property
    def _versions(self) -> npt.NDArray[np.int64]:
        """How often each slot was begun and finished to be written: odd while it is."""
        return np.load(self._files[1][0], mmap_mode="r+")  # type: ignore[no-any-return]

    @property
    def filled(self) -> int:
        """How many slots hold an excerpt."""
        return int(np.count_nonzero(self._versions > 1))

    @property
    def written(self) -> int:
        """How many excerpts were written so far, replaced ones included."""
        return int(self._versions.sum()) // 2

    def write(self, writer: int, number: int, sources: Tensor) -> None:
        """Replace an excerpt.

        Parameters
        ----------
        writer : int
        number : int
            How many this writer has written before.
        sources : Tensor ``[rows, channels, samples]``
        """
        own = len(range(writer, self.slots, self.writers))
        slot = writer + (number % own) * self.writers
        self._versions[slot] += 1
        torch.from_numpy(self._audio[slot]).copy_(sources)
        self._versions[slot] += 1

    def read(self, rng: np.random.Generator) -> Tensor:
        """Return one of the excerpts, any of them alike: float16 ``[rows, channels, samples]``.

        Raises
        ------
        LookupError
            There is none yet.
        """
        for _ in range(_REREADS):
            found = np.flatnonzero(self._versions > 1)
            if not len(found):
                break
            slot = found[rng.integers(len(found))]
            before = int(self._versions[slot])
            audio = np.array(self._audio[slot])
            if before % 2 == 0 and self._versions[slot] == before:
                return torch.from_numpy(audio)
        raise LookupError("no excerpt is there yet")


@dataclass(frozen=True)
class Drawing:
    """How writers draw excerpts: from the newest songs they made, and from recorded ones.

    Attributes
    ----------
    make : callable
        From a number to a song, or None for a number that gives none; sent to the processes.
    sources : tuple of str
        Rows of the songs.
    sample_rate : int
    recorded : tuple of DecodedTrack
        Songs that take part from the beginning.
    augmentation : Augmentation
    seed : int
    recorded_part : float
        Which part of the songs' seconds are recorded ones.
    pool_songs : int
        So many newest songs excerpts are drawn from.
    excerpts_per_song : int
    """

    make: Callable[[int], DecodedTrack | None]
    sources: tuple[str, ...]
    sample_rate: int
    recorded: tuple[DecodedTrack, ...]
    augmentation: Augmentation
    seed: int
    recorded_part: float = 0.4
    pool_songs: int = 8
    excerpts_per_song: int = 24

    def excerpts(self, writer: int, writers: int, samples: int) -> Iterator[Excerpt]:
        """Yield one process's excerpts without end.

        Songs that cannot be made, and excerpts that cannot be drawn, are left out.

        Raises
        ------
        Exception
            What was raised, many times in a row.
        """
        rng = np.random.default_rng([self.seed, writer])
        pool: deque[DecodedTrack] = deque(maxlen=self.pool_songs)
        songs: DecodedSongs | None = None
        index, failures = writer, 0
        for number in itertools.count(writer, writers):
            for is_first in (True, *[False] * self.excerpts_per_song):
                excerpt = None
                try:
                    if is_first:
                        song = self.make(number)
                        pool.extend([song] if song is not None else [])
                        songs = self._songs(rng, pool)
                    elif songs is not None:
                        index += writers
                        excerpt = draw_excerpt(songs, samples, self.augmentation, self.seed, index)
                except Exception:
                    failures += 1
                    if failures >= _FAILURES_IN_A_ROW:
                        raise
                if excerpt is not None:
                    failures = 0
                    yield excerpt

    def _songs(self, rng: np.random.Generator, pool: Sequence[DecodedTrack]) -> DecodedSongs:
        tracks = self._tracks(rng, pool)
        return DecodedSongs(self.sources, False, tracks, self.sample_rate, tracks[0].channels, ())

    def _tracks(
        self, rng: np.random.Generator, pool: Sequence[DecodedTrack]
    ) -> tuple[DecodedTrack, ...]:
        """Return the songs of a pool, and as many recorded ones as are their part."""
        if not self.recorded or not pool:
            return (*pool, *self.recorded)
        made = sum(track.samples for track in pool)
        wanted = made * self.recorded_part / (1 - self.recorded_part)
        chosen = []
        for place in rng.permutation(len(self.recorded)):
            if wanted <= 0:
                break
            chosen.append(self.recorded[place])
            wanted -= self.recorded[place].samples
        return (*pool, *chosen)


class RingReader:
    """What a training takes from a ring, and whether anybody still writes to it.

    Attributes
    ----------
    taken : int
        How many excerpts were taken.
    """

    def __init__(self, ring: ExcerptRing, processes: Sequence[BaseProcess], seed: int) -> None:
        self.ring, self._processes, self._seed = ring, processes, seed
        self.taken = 0

    @property
    def alive(self) -> int:
        """How many processes write."""
        return sum(process.is_alive() for process in self._processes)

    def wait(self, count: int, cancelled: Callable[[], bool] | None = None) -> None:
        """Wait until so many excerpts are there.

        Raises
        ------
        TrainingError
            All processes ended.
        InterruptedError
            `cancelled` said so.
        """
        while self.ring.filled < min(count, self.ring.slots):
            if not self.alive:
                raise TrainingError(
                    f"the processes that draw excerpts ended: {_reason(self.ring.folder)}"
                )
            if cancelled is not None and cancelled():
                raise InterruptedError
            time.sleep(_WAIT_S)

    def draw(self, index: int) -> Excerpt:
        """Return an excerpt for a place in the training, float16; called in several threads."""
        self.taken += 1
        return Excerpt(self.ring.read(np.random.default_rng([self._seed, index])), ("the ring",))


@contextmanager
def writing(ring: ExcerptRing, drawing: Drawing) -> Iterator[RingReader]:
    """Let processes write excerpts to a ring as long as the context lasts."""
    # Not forked: PyTorch's and other libraries' threads do not survive that.
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_write, args=(ring, drawing, writer), daemon=True)
        for writer in range(ring.writers)
    ]
    try:
        for process in processes:
            process.start()
        yield RingReader(ring, processes, drawing.seed)
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()


def _write(ring: ExcerptRing, drawing: Drawing, writer: int) -> None:
    """Write excerpts until the process is ended."""
    end_with_parent()
    torch.set_num_threads(1)
    try:
        excerpts = drawing.excerpts(writer, ring.writers, ring.samples)
        for number, excerpt in enumerate(excerpts):
            ring.write(writer, number, excerpt.sources)
    except Exception:
        (ring.folder / f"error-{os.getpid()}.txt").write_text(traceback.format_exc(), "utf-8")
        raise


def _reason(folder: Path) -> str:
    """Return what a process said last, where one did."""
    texts = [path.read_text("utf-8") for path in sorted(folder.glob("error-*.txt"))]
    return one_line(texts[0].strip().splitlines()[-1]) if texts else "the memory may be used up"


def stored(track: DecodedTrack, path: Path) -> DecodedTrack:
    """Return a track whose audio lies in a file that other processes read, too."""
    assert not isinstance(track.audio, Path)
    track.audio.tofile(path)
    return replace(track, audio=path)
