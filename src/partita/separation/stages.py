"""The models of a chain before its last one, whose estimates are kept from run to run."""

from __future__ import annotations

import math
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from partita._version import __version__
from partita.devices import peak_memory_mb
from partita.errors import AudioReadError, one_line, write_error
from partita.models._protocol import SongFacts
from partita.separation.result_cache import Cache, Entry
from partita.separation.windowed import (
    Estimator,
    InferenceOptions,
    Pool,
    Separation,
    WindowedModel,
)
from partita.weights.identity import digest_of

_KIND = "stages"
_FORMAT = 1  # of the file; another number makes all of them again
_FILE = "estimates.f32"
_UNKNOWN = SongFacts()


class StageCache:
    """Keeps what the stages of chains estimate.

    Parameters
    ----------
    root : Path
        A folder; its files are named after mixture, weights and options.

    Attributes
    ----------
    replayed_s : float
        Time that the estimates took which were taken from the cache.
    replayed_mb : float
        Most memory that a process needed for them.
    """

    def __init__(self, root: Path) -> None:
        self.cache = Cache(root)
        self.replayed_s = self.replayed_mb = 0.0

    def stage(self, estimator: Estimator, weights: str, options: InferenceOptions) -> CachedStage:
        """Return an estimator that keeps its estimates.

        Parameters
        ----------
        estimator : Estimator
        weights : str
            Digest of all its weights.
        options : InferenceOptions
        """
        seed = options.seed if options.shifts else 0
        how = [options.device.type, str(options.precision), options.segment_s, options.overlap]
        how += [options.shifts, seed, options.wiener]
        key = digest_of(_FORMAT, __version__, weights, how, estimator.sources)
        return CachedStage(estimator, self, key)


@dataclass(frozen=True)
class CachedStage:
    """An estimator that computes a mixture once.

    Attributes
    ----------
    inner : Estimator
    stages : StageCache
    key : str
        Digest of weights and options.
    """

    inner: Estimator
    stages: StageCache
    key: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources, in the order of the estimates."""
        return self.inner.sources

    @property
    def sample_rate(self) -> int:
        """The sample rate in hertz."""
        return self.inner.sample_rate

    @property
    def channels(self) -> int:
        """The channel count."""
        return self.inner.channels

    @property
    def models(self) -> tuple[WindowedModel, ...]:
        """All its models."""
        return self.inner.models

    @property
    def latency_s(self) -> float:
        """As of the estimator itself."""
        return self.inner.latency_s

    def start(self, pool: Pool, facts: SongFacts = _UNKNOWN) -> Separation:
        """Start separating a stream, see `Estimator.start`; live streams are not kept."""
        if not facts.mixture:
            return self.inner.start(pool, facts)
        key = digest_of(self.key, facts.mixture)
        entry = self.stages.cache.find(_KIND, key, verify=True)
        if entry is None:
            return _Recording(self.inner.start(pool, facts), self.stages.cache, key)
        self.stages.replayed_s += entry.facts["elapsed_s"]
        self.stages.replayed_mb = max(self.stages.replayed_mb, entry.facts["memory_mb"] or 0.0)
        return _Replay(entry, len(self.sources))


class _Recording:
    """A running separation that is kept, see `Separation`.

    The file holds float32 ``[samples, groups, sources, channels]``.
    """

    def __init__(self, running: Separation, cache: Cache, key: str) -> None:
        self._running, self._root = running, cache.root
        # Nobody says that a stream is given up: then the entry goes with this object.
        self._stack = ExitStack()
        self._made = self._stack.enter_context(cache.making(_KIND, key))
        self._elapsed_s = 0.0

    def push(self, block: Tensor, last: bool = False) -> Tensor:
        begun = time.perf_counter()
        try:
            estimates = self._running.push(block, last)  # [groups, sources, channels, samples]
            self._elapsed_s += time.perf_counter() - begun
            self._write(estimates)
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        if last:
            self._made.facts.update(
                elapsed_s=self._elapsed_s,
                memory_mb=peak_memory_mb(),
                groups=estimates.shape[0],
                channels=estimates.shape[2],
            )
            self._stack.close()
        return estimates

    def _write(self, estimates: Tensor) -> None:
        try:
            with (self._made.folder / _FILE).open("ab") as file:
                file.write(np.ascontiguousarray(estimates.movedim(-1, 0).numpy()).data)
        except OSError as error:
            raise write_error(self._root, error) from error


class _Replay:
    """A separation whose estimates are there already, see `Separation`."""

    def __init__(self, entry: Entry, sources: int) -> None:
        self._path, self._place = entry.folder / _FILE, 0
        self._shape = entry.facts["groups"], sources, entry.facts["channels"]

    def push(self, block: Tensor, last: bool = False) -> Tensor:
        frame_bytes = 4 * math.prod(self._shape)
        try:
            with self._path.open("rb") as file:
                file.seek(self._place)
                data = file.read(-1 if last else frame_bytes * block.shape[-1])
        except OSError as error:
            reason = error.strerror or one_line(error)
            raise AudioReadError(f"{one_line(self._path)}: {reason}") from error
        self._place += len(data)
        frames = np.frombuffer(data, np.float32).reshape(-1, *self._shape)
        return torch.from_numpy(np.array(np.moveaxis(frames, 0, -1), order="C"))
