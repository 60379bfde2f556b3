"""Results of several processes, in order."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from partita.errors import UsageError
from partita.threads import result_awake

Result = TypeVar("Result")

_AHEAD = 2  # tasks queued for each process
_task: Callable[[int], Any] | None = None  # of a worker process


def in_processes(
    task: Callable[[int], Result],
    numbers: Iterable[int],
    jobs: int,
    cancelled: Callable[[], bool] | None = None,
) -> Generator[Result, None, None]:
    """Call a task with each number, in several processes ahead of the caller.

    Parameters
    ----------
    task : callable
        What comes depends on the number alone. Sent to each process once.
    numbers : iterable of int
        May be endless.
    jobs : int
        How many processes; with 1, everything happens in this one.
    cancelled : callable, optional
        Asked now and then, for callers that cannot close the iterator while another thread waits
        for it; once it says so, that thread gets an InterruptedError.

    Yields
    ------
    object
        What the task returns, in the order of the numbers. What it raises is raised in its place.
        Closing the iterator ends the processes.

    Raises
    ------
    UsageError
        A process died, most likely because memory ran out.
    """
    if jobs == 1:
        for number in numbers:
            if cancelled is not None and cancelled():
                raise InterruptedError
            yield task(number)
        return
    # Not forked: PyTorch's and other libraries' threads do not survive that.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(task,))
    others = set(multiprocessing.active_children())
    waiting: deque[Future[Any]] = deque()
    left = iter(numbers)
    try:
        while True:
            with _without_interrupts():
                for number in itertools.islice(left, _AHEAD * jobs - len(waiting)):
                    waiting.append(pool.submit(_work, number))
            if not waiting:
                return
            yield result_awake(waiting[0], cancelled)
            waiting.popleft()
    except BrokenProcessPool as error:
        raise UsageError(
            "a process that synthesised songs was killed: is the memory used up? try fewer jobs"
        ) from error
    finally:
        if waiting:  # their results are not needed, and a song may take minutes
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold signals back while processes begin: an interrupted one would print a traceback.

    Ctrl-C at a terminal goes to all processes, and it is for the one that started the others: those
    that begin meanwhile never hear it, not even while they import. SIGTERM they have to hear.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _sigterm_later():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _sigterm_later() -> Iterator[None]:
    """Call the handler of SIGTERM in the end."""
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield  # handlers run in the main thread
        return
    received: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if received:
            signal.raise_signal(signal.SIGTERM)


def _begin(task: Callable[[int], Any]) -> None:
    """Make a worker process ready."""
    global _task  # noqa: PLW0603 (what an initialiser leaves has no other place)
    _task = task
    end_with_parent()


def end_with_parent() -> None:
    """Do not outlive a process that was killed: for processes of `multiprocessing`."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(number: int) -> Any:
    assert _task is not None
    return _task(number)
