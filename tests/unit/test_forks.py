"""Processes that are forked: PyTorch's threads do not come along, and nothing may hang."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

LIMIT_S = 60
START = """
import multiprocessing, os, sys
import numpy
import torch
from partita import Separator
from partita.errors import UsageError

torch.set_num_threads(%d)

def tell(separator):
    try:
        mixture = numpy.linspace(-0.5, 0.5, 44100, dtype=numpy.float32).reshape(2, -1)
        (separator or Separator("hpss"))(mixture, 44100)
        print("separated", flush=True)
    except UsageError as error:
        print(f"refused: {error}", flush=True)

def fork(separator=None):
    process = os.fork()
    if process == 0:
        tell(separator)
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0

def in_processes(method, separator):
    process = multiprocessing.get_context(method).Process(target=tell, args=(separator,))
    process.start()
    process.join()
"""


def run(threads, code):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", START % threads + code],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
        env=environment,
    )
    return result.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_too_late():
    code = """
separator = Separator("hpss")
fork(separator)  # it has not run yet
fork()  # another one in the child
tell(separator)
fork(separator)
in_processes("fork", separator)
"""
    lines = run(2, code)
    assert lines.pop(2) == "separated"
    assert len(lines) == 4
    for line in lines:
        assert line.startswith("refused: this process was forked after a Separator had been made")
        assert "spawn" in line


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_in_time():
    assert run(2, "fork(); Separator('hpss'); tell(None)") == ["separated"] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_with_one_thread():
    assert (
        run(1, "separator = Separator('hpss'); tell(separator); fork(separator)")
        == ["separated"] * 2
    )


def test_spawned(tmp_path):
    path = tmp_path / "spawns.py"
    code = "if __name__ == '__main__':\n    Separator('hpss'); in_processes('spawn', None)\n"
    path.write_text(START % 2 + code)
    result = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, check=True, timeout=LIMIT_S
    )
    assert result.stdout.splitlines() == ["separated"]
