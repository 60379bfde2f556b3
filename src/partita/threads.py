"""Waiting for other threads in a way that lets signals through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AWAKE_S = 0.2  # between two looks at what other threads do


def map_awake(
    pool: Executor, function: Callable[[_Item], _Result], items: Iterable[_Item]
) -> Iterator[_Result]:
    """Yield results in the items' order, as the pool's own ``map`` does, but never sleep for long.

    Python's signal handlers run in the main thread. Where the system gives a signal to another
    one, a main thread that sleeps until a result is there would not hear of it before.

    Parameters
    ----------
    pool : Executor
        Whoever made it cancels what has not begun, by shutting it down.
    function : callable
    items : iterable
        All are handed to the pool at once.
    """
    for future in [pool.submit(function, item) for item in items]:
        yield result_awake(future)


def result_awake(future: Future[_Result], cancelled: Callable[[], bool] | None = None) -> _Result:
    """Return what another thread makes, never sleeping for long.

    Parameters
    ----------
    future : Future
    cancelled : callable, optional
        Asked now and then.

    Raises
    ------
    InterruptedError
        `cancelled` said so before the result was there.
    """
    while not future.done():
        if cancelled is not None and cancelled():
            raise InterruptedError
        wait([future], timeout=_AWAKE_S)
    return future.result()
