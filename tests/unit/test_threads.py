"""Waiting for other threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from partita.threads import call_awake, map_awake


def test_results_come_in_order_whichever_is_ready_first():
    with ThreadPoolExecutor(3) as pool:
        waits = [0.3, 0.0, 0.1]
        assert list(map_awake(pool, lambda s: (time.sleep(s), s)[1], waits)) == waits


def test_an_error_is_raised_in_its_turn():
    with ThreadPoolExecutor(2) as pool:
        results = map_awake(pool, lambda x: 1 / x, [1, 0])
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_a_call_returns_or_raises_as_the_function_does():
    assert call_awake(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        call_awake(lambda: 1 / 0, lambda: False)


def test_a_call_that_blocks_can_be_cancelled():
    forever, cancel = threading.Event(), threading.Event()
    threading.Timer(0.1, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(InterruptedError):
        call_awake(forever.wait, cancel.is_set)
    assert time.monotonic() - started < 5
    forever.set()  # lets the thread end
