"""Waiting for other threads."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from partita.threads import map_awake


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
