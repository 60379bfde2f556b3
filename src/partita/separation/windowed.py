"""One model on a stream: windows, shifts, device, precision, batches."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from partita.devices import intra_op_threads, worker_pool
from partita.dsp.blocks import Aligner, until_last
from partita.dsp.overlap_add import OverlapAdd, Window, random_offsets
from partita.dsp.wiener_refinement import refine
from partita.errors import PartitaError, UsageError
from partita.models._protocol import SeparationModel, SongFacts
from partita.separation.shared_pool import SharedPool, StreamPool

_LONGEST_SHIFT_S = 0.5
_MOST_WINDOWS = 4  # on a CPU at once: each takes memory for its activations
_DEVICE_BATCH = 4  # windows of one stream in one call on other devices
_SHARED_BATCH = 16  # and of several streams
_UNKNOWN = SongFacts()
#: The threads that compute windows, as `WindowedModel.pool` makes them. None: the stream is live,
#: the calling thread computes each window as soon as it is complete.
Pool = ThreadPoolExecutor | StreamPool | None


class Separation(Protocol):
    """A running separation of one stream."""

    def push(self, block: Tensor, last: bool = False) -> Tensor:
        """Return the estimates that a further block completes.

        Parameters
        ----------
        block : Tensor ``[groups, channels, samples]``
            Independent groups of channels; blocks may have any length.
        last : bool
            The stream ends with this block, which may be empty.

        Returns
        -------
        Tensor ``[groups, sources, channels, samples]``
            Empty while a window is incomplete; in total as many samples as the stream has.
        """


class Estimator(Protocol):
    """A model, a chain or an ensemble that separates streams."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources, in the order of the estimates."""

    @property
    def sample_rate(self) -> int:
        """The sample rate of the stream, in hertz."""

    @property
    def channels(self) -> int:
        """The channel count of the stream."""

    @property
    def models(self) -> tuple[WindowedModel, ...]:
        """All its models, in the order of their names."""

    @property
    def latency_s(self) -> float:
        """How far, in seconds, estimates of a live stream are behind it; infinite: to its end."""

    def start(self, pool: Pool, facts: SongFacts = _UNKNOWN) -> Separation:
        """Start separating a stream.

        Parameters
        ----------
        pool : Pool
            Open until the stream ends.
        facts : SongFacts
            Facts about the whole stream.
        """


@dataclass(frozen=True)
class InferenceOptions:
    """How a Separator runs its models.

    Attributes
    ----------
    device : torch.device
    precision : torch.dtype
        Of the networks; estimates are float32 in any case.
    segment_s, overlap : float or None
    shifts, seed, wiener : int
        As for `partita.Separator`.
    """

    device: torch.device
    precision: torch.dtype
    segment_s: float | None = None
    overlap: float | None = None
    shifts: int = 0
    seed: int = 0
    wiener: int = 0

    def __post_init__(self) -> None:
        if self.segment_s is not None and not 0.1 <= self.segment_s <= 3600:
            raise UsageError(f"`segment_s` {self.segment_s:g} is not between 0.1 and 3600 seconds")
        if self.overlap is not None and not 0.0 <= self.overlap <= 0.95:
            raise UsageError(f"`overlap` {self.overlap:g} is not between 0 and 0.95")
        if self.shifts < 0:
            raise UsageError(f"`shifts` {self.shifts} is negative")
        if self.wiener < 0:
            raise UsageError(f"`wiener` {self.wiener} is negative")


class WindowedModel:
    """One model on its device, which separates streams in windows, under random delays if wanted.

    Parameters
    ----------
    model : SeparationModel
    options : InferenceOptions

    Attributes
    ----------
    model : SeparationModel
        The form that `SeparationModel.for_inference` returns.
    parameters : int
        Learned ones of the model, before it takes that form.
    device : torch.device
    window : Window or None
        None: the model sees whole tracks.
    offsets : list of int
        The delays of the stream in samples; ``[0]`` without shifts.
    workers : int
        Threads that run the model.
    batch : int
        Most windows of a stream in one call: on a CPU usually one, which keeps a core busy; more on
        other devices.
    shared : SharedPool or None
        Computes the windows of all streams that are separated at a time. None: on a CPU each stream
        has threads of its own.

    Raises
    ------
    UsageError
        A Wiener filter for a model of one source.
    """

    def __init__(self, model: SeparationModel, options: InferenceOptions) -> None:
        if options.wiener and len(model.sources) < 2:
            raise UsageError(
                f"`wiener` shares the mixture out among sources: {model.registry_name} has one"
            )
        self.parameters = sum(each.numel() for each in model.parameters())
        with intra_op_threads(1):  # copies of weights, which threads make no faster
            self.model = model.to(options.device).for_inference()
        self.device, self._precision = options.device, options.precision
        self._wiener = options.wiener
        self.window = _choose_window(model, options)
        longest = round(_LONGEST_SHIFT_S * model.sample_rate)
        self.offsets = random_offsets(options.shifts, longest, options.seed) or [0]
        # Read once: while another song of a batch is running, PyTorch reports fewer.
        self._threads = torch.get_num_threads()
        is_cpu = self.device.type == "cpu"
        self.workers = min(self._threads, _MOST_WINDOWS) if is_cpu else 1
        self.batch = self.model.cpu_batch if is_cpu else _DEVICE_BATCH
        self.shared = None if is_cpu else SharedPool(_SHARED_BATCH)

    def __repr__(self) -> str:
        name, window = getattr(self.model, "registry_name", type(self.model).__name__), self.window
        seen = f"windows of {window.length / self.sample_rate:.2f} s" if window else "whole tracks"
        return f"WindowedModel({name!r}: {seen}, {self.device})"

    @property
    def sources(self) -> tuple[str, ...]:
        """The model's sources."""
        return self.model.sources

    @property
    def sample_rate(self) -> int:
        """The model's sample rate in hertz."""
        return self.model.sample_rate

    @property
    def channels(self) -> int:
        """The model's channel count."""
        return self.model.channels

    @property
    def models(self) -> tuple[WindowedModel, ...]:
        """Itself."""
        return (self,)

    @property
    def latency_s(self) -> float:
        """A window and one sample: only then the window is known not to be the last one."""
        return math.inf if self.window is None else (self.window.length + 1) / self.sample_rate

    def for_song(self, facts: SongFacts) -> WindowedModel:
        """Return a copy whose model is adapted to one song, see `SeparationModel.for_song`.

        It is this object where there is nothing to adapt: so its windows can be computed together
        with those of other songs.
        """
        adapted = self.model.for_song(facts)
        if adapted is self.model:
            return self
        other = copy.copy(self)
        other.model = adapted
        return other

    def pool(self) -> AbstractContextManager[ThreadPoolExecutor | StreamPool]:
        """Return the pool of threads for one stream."""
        if self.shared is not None:
            return self.shared.stream()
        return worker_pool(self.workers, self._threads)

    def start(self, pool: Pool, facts: SongFacts = _UNKNOWN) -> Separation:
        """Start separating a stream, see `Estimator.start`."""
        return _WindowedSeparation(self.for_song(facts), pool)

    def estimate(self, windows: Sequence[Tensor]) -> list[Tensor]:
        """Run the model on a batch of windows of equal length, on fewer if memory does not suffice.

        Parameters
        ----------
        windows : sequence of Tensor ``[groups, channels, samples]``

        Returns
        -------
        list of Tensor ``[groups, sources, channels, samples]``
            On the CPU.

        Raises
        ------
        PartitaError
            Memory does not suffice for a single window.
        """
        mixture = torch.cat(list(windows))  # [windows * groups, C, T]
        autocast = torch.autocast(
            self.device.type, dtype=self._precision, enabled=self._precision != torch.float32
        )
        try:
            with torch.inference_mode():
                there = mixture.to(self.device)
                with autocast:
                    estimates: Tensor = self.model(there).float()  # [windows * groups, S, C, T]
                if self._wiener:
                    if self.device.type == "mps":  # which has no double precision
                        there, estimates = mixture, estimates.cpu()
                    estimates = refine(estimates, there, self._wiener)
                return list(torch.split(estimates.cpu(), len(windows[0])))
        except torch.OutOfMemoryError as error:
            if len(windows) == 1:
                raise PartitaError(
                    f"out of memory on {self.device}: shorter windows (`segment_s`) need less, "
                    'and `device="cpu"` has more'
                ) from error
        half = len(windows) // 2
        if self.shared is not None:
            self.shared.most = min(self.shared.most, half)
        return self.estimate(windows[:half]) + self.estimate(windows[half:])


class _WindowedSeparation:
    """A running separation of one stream by one model, see `Separation`.

    Several windows are computed in parallel, while reading and writing go on; one of a live stream.
    """

    def __init__(self, model: WindowedModel, pool: Pool) -> None:
        self._model, self._pool = model, pool
        self._delayed = [OverlapAdd(model.window, offset) for offset in model.offsets]
        self._waiting: list[list[Tensor]] = [[] for _ in model.offsets]  # windows for each delay
        self._running: deque[tuple[int, Future[list[Tensor]]]] = deque()  # and the delay's index
        self._aligner = Aligner(len(model.offsets))

    def push(self, block: Tensor, last: bool = False) -> Tensor:
        model = self._model
        shape = (len(block), len(model.sources), *block.shape[1:-1])
        made = [[block.new_zeros(*shape, 0)] for _ in model.offsets]
        at_once = 1 if self._pool is None else model.workers * model.batch
        for number, (stream, waiting) in enumerate(zip(self._delayed, self._waiting, strict=True)):
            waiting.extend(stream.cut(block, last))
            while len(waiting) >= at_once or (last and waiting):
                windows, waiting[:] = waiting[:at_once], waiting[at_once:]
                if self._pool is None:
                    made[number] += map(stream.join, model.estimate(windows))
                    continue
                # The last windows of a song are spread evenly over the threads.
                size = math.ceil(len(windows) / model.workers)
                for start in range(0, len(windows), size):
                    call = self._pool.submit(model.estimate, windows[start : start + size])
                    self._running.append((number, call))
                    self._collect(made, most_left=model.workers)
        if last:
            self._collect(made, most_left=0)
        found = self._aligner.push([torch.cat(each, dim=-1) for each in made], last)
        return found[0] if len(found) == 1 else torch.stack(found).mean(dim=0)

    def _collect(self, made: list[list[Tensor]], most_left: int) -> None:
        """Wait for the oldest calls until at most `most_left` are running."""
        while len(self._running) > most_left:
            number, future = self._running.popleft()
            made[number] += map(self._delayed[number].join, future.result())


def estimate_blocks(
    estimator: Estimator, blocks: Iterable[Tensor], facts: SongFacts = _UNKNOWN
) -> Generator[Tensor, None, None]:
    """Separate a whole stream.

    Parameters
    ----------
    estimator : Estimator
    blocks : iterable of Tensor ``[groups, channels, samples]``
    facts : SongFacts
        Facts about the whole stream.

    Yields
    ------
    Tensor ``[groups, sources, channels, samples]``
    """
    with estimator.models[0].pool() as pool:
        separation = estimator.start(pool, facts)
        for block, last in until_last(blocks):
            yield separation.push(block, last)


def _choose_window(model: SeparationModel, options: InferenceOptions) -> Window | None:
    own = model.window
    if own is None:
        return None
    seconds, overlap = options.segment_s, options.overlap
    length = own.length if seconds is None else round(seconds * model.sample_rate)
    fraction = own.overlap / own.length if overlap is None else overlap
    return own.resized(length, fraction)
