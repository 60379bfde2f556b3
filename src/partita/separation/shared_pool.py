"""One thread for the windows of several streams, which computes those of one model together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from torch import Tensor

#: Maps windows of equal shape to their estimates: `WindowedModel.estimate`.
Estimate = Callable[[Sequence[Tensor]], list[Tensor]]


@dataclass
class _Call:
    """Some windows of one stream."""

    stream: StreamPool
    estimate: Estimate
    windows: list[Tensor]
    result: Future[list[Tensor]] = field(default_factory=Future)

    def fits(self, other: _Call) -> bool:
        """Return whether both can be computed together."""
        return self.estimate == other.estimate and self.windows[0].shape == other.windows[0].shape


class SharedPool:
    """Computes windows of several streams on one device, those of one model in one call.

    A device that computes one stream's windows is idle while that stream is decoded and encoded,
    and its calls are small at the ends of songs. What waits while the device is busy is merged
    into the next call. Nothing waits for a call to become full: the device is idle only if no
    window waits. The oldest call is always among the next, with at most one of each other stream,
    so that all advance alike; streams hand in a few calls at a time, so that memory is bounded.

    Parameters
    ----------
    most : int
        Windows in a merged call. One stream's call may have more.

    Notes
    -----
    Estimates depend in their last bits on how many windows a device gets at once. Calls of one
    stream are never merged: alone, it gets the same estimates every time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []  # oldest first
        self._streams = 0
        self._pool: ThreadPoolExecutor | None = None  # while there are streams

    @contextlib.contextmanager
    def stream(self) -> Iterator[StreamPool]:
        """Take part with one stream; what it has not been given when the block ends, is dropped."""
        with self._lock:
            self._streams += 1
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, "partita-windows")
            stream = StreamPool(self, self._pool)
        try:
            yield stream
        finally:
            stream.close()
            with self._lock:
                self._streams -= 1
                ended, self._pool = (None, self._pool) if self._streams else (self._pool, None)
            if ended is not None:
                ended.shutdown()

    def add(self, call: _Call, pool: ThreadPoolExecutor) -> None:
        """Let a call wait for the device."""
        with self._lock:
            self._waiting.append(call)
        pool.submit(self._compute_next)

    def _compute_next(self) -> None:
        """Compute what waits longest; nothing if all has been merged into other calls."""
        with self._lock:
            calls = self._take() if self._waiting else []
        _compute([call for call in calls if call.result.set_running_or_notify_cancel()])

    def _take(self) -> list[_Call]:
        """Take the oldest call, and those behind it that can be computed with it."""
        first, *others = self._waiting
        taken, left, count = [first], list[_Call](), len(first.windows)
        streams = {first.stream}
        for call in others:
            room = self.most - count
            if call.stream not in streams and first.fits(call) and len(call.windows) <= room:
                taken.append(call)
                streams.add(call.stream)
                count += len(call.windows)
            else:
                left.append(call)
        self._waiting = left
        return taken


class StreamPool:
    """What one stream sees of a `SharedPool`; it hands in windows like to an executor."""

    def __init__(self, shared: SharedPool, pool: ThreadPoolExecutor) -> None:
        self._shared, self._pool = shared, pool
        self._open: list[Future[list[Tensor]]] = []

    def submit(self, estimate: Estimate, windows: list[Tensor], /) -> Future[list[Tensor]]:
        """Return the future estimates of windows of equal shape."""
        call = _Call(self, estimate, windows)
        self._open = [result for result in self._open if not result.done()] + [call.result]
        self._shared.add(call, self._pool)
        return call.result

    def close(self) -> None:
        """Drop what waits, and wait for what is being computed."""
        wait([result for result in self._open if not result.cancel()])


def _compute(calls: list[_Call]) -> None:
    """Set the results of calls that fit together; if that fails, of each by itself."""
    if not calls:
        return
    try:
        estimates = calls[0].estimate([window for call in calls for window in call.windows])
    except BaseException as error:
        if len(calls) == 1:
            calls[0].result.set_exception(error)
            return
        for call in calls:  # one song's failure is not the others'
            _compute([call])
        return
    for call in calls:
        call.result.set_result(estimates[: len(call.windows)])
        del estimates[: len(call.windows)]
