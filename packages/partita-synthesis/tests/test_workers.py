"""Work for several processes, in order."""

import itertools
import os
import signal
import time

import pytest

from partita.errors import UsageError
from partita_synthesis.workers import in_processes

pytestmark = pytest.mark.slow  # each starts processes


def square(number):
    time.sleep(0.01 * (number % 3))  # later ones are done sooner
    return number * number, os.getpid()


def fail(number):
    if number == 2:
        raise UsageError("two is too much")
    return number


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_long(number):
    if number:
        time.sleep(600)
    return number


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order(jobs):
    found = list(in_processes(square, range(12), jobs))
    assert [value for value, _ in found] == [number**2 for number in range(12)]
    elsewhere = {process for _, process in found} - {os.getpid()}
    assert len(elsewhere) <= jobs
    assert bool(elsewhere) == (jobs > 1)


def test_endless_numbers():
    made = in_processes(square, itertools.count(), 2)
    assert [next(made)[0] for _ in range(5)] == [0, 1, 4, 9, 16]
    made.close()


@pytest.mark.parametrize("jobs", [1, 2])
def test_errors_come_in_their_place(jobs):
    made = in_processes(fail, range(5), jobs)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(UsageError, match="two is too much"):
        next(made)


def test_killed_process():
    with pytest.raises(UsageError, match="is the memory used up"):
        list(in_processes(die, range(3), 2))


def test_closing_does_not_wait_for_work_that_nobody_wants():
    made = in_processes(sleep_long, range(4), 2)
    assert next(made) == 0
    started = time.monotonic()
    made.close()
    assert time.monotonic() - started < 20


class TerminatedError(Exception):
    pass


def test_sigterm_comes_when_the_processes_have_their_orders():
    def terminate(*_):
        raise TerminatedError

    asked = []

    def numbers():
        for number in range(9):
            asked.append(number)
            signal.raise_signal(signal.SIGTERM)
            yield number

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        with pytest.raises(TerminatedError):
            next(in_processes(square, numbers(), 2))
        assert asked == [0, 1, 2, 3]
        assert signal.getsignal(signal.SIGTERM) is terminate
    finally:
        signal.signal(signal.SIGTERM, before)
