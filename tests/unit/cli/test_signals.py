"""Signals end the program, whatever Python is doing when they come."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time, types

class Caught:
    def __del__(self):  # Python swallows exceptions here
        signal.raise_signal(NUMBER)
        sum(range(10))

def run():
    Caught()
    time.sleep(20)
    return 0

sys.modules["partita.cli.app"] = types.SimpleNamespace(run=run)
from partita.cli import main
main()
"""


@pytest.mark.parametrize(
    ("number", "status", "err"),
    [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "partita: interrupted\n")],
)
def test_a_signal_in_a_destructor_is_not_lost(number, status, err):
    code = PROGRAM.replace("NUMBER", str(int(number)))
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False
    )
    assert (result.returncode, result.stderr) == (status, err)


def test_other_lost_exceptions_are_printed():
    code = PROGRAM.replace("signal.raise_signal(NUMBER)", "1 / 0").replace("sleep(20)", "sleep(0)")
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False
    )
    assert result.returncode == 0
    assert "ZeroDivisionError" in result.stderr
