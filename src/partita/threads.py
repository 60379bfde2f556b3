"""Waiting for other threads in a way that lets signals through."""

from __future__ import annotations

import threading
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


def call_awake(
    function: Callable[[], _Result], cancelled: Callable[[], bool] | None = None
) -> _Result:
    """Call a function that may block for as long as somebody else likes, never sleeping for long.

    It runs in a thread that nobody waits for once this call is over: where it is cancelled, or a
    signal's handler raises, the thread stays until the function returns, or the process ends.

    Parameters
    ----------
    function : callable
    cancelled : callable, optional
        Asked now and then.

    Raises
    ------
    InterruptedError
        `cancelled` said so before the function returned.
    """
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="partita-blocking", daemon=True).start()
    return result_awake(future, cancelled)
