"""A few damaged inputs of every reader; ``make fuzz`` tries them for an hour."""

import json
import sys
from pathlib import Path
from random import Random

import pytest

from fuzz.loop import Finding, Fuzzer, Worker, replay
from fuzz.mutations import _BYTES_MAX, _lines
from fuzz.targets import TARGETS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/status").exists(), reason="measures memory by Linux's /proc"
    ),
]
DAMAGED = 25


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = Worker(tmp_path_factory.mktemp("worker") / "crash.txt")
    yield worker
    worker.close()


@pytest.mark.parametrize("target", TARGETS)
def test_damaged_files_are_read_or_refused_in_a_line(target, worker, tmp_path):
    with Fuzzer([target], 0, tmp_path, worker) as fuzzer:
        fuzzer.run(cases=fuzzer.whole_inputs + DAMAGED)
        causes = [Path(f"{path}.txt").read_text() for path in fuzzer.findings.values()]
        assert not causes, "\n".join(causes)
        assert fuzzer.outcomes[target, "read"] >= fuzzer.whole_inputs
        if target not in ("tags", "record"):  # these never refuse: they go without
            assert fuzzer.outcomes[target, "refused"] > 0


BAD_TARGETS = """
import os
import signal
import time
from types import SimpleNamespace

import numpy as np

from partita.errors import UsageError


def refuse(path):
    raise UsageError("one line")


def ramble(path):
    raise UsageError("two\\nlines")


def spin(path):
    while True:
        pass


TARGETS = {
    "fine": SimpleNamespace(run=lambda path: path),
    "refuse": SimpleNamespace(run=refuse),
    "ramble": SimpleNamespace(run=ramble),
    "trip": SimpleNamespace(run=lambda path: {}["a"]),
    "crash": SimpleNamespace(run=lambda path: os.kill(os.getpid(), signal.SIGSEGV)),
    "flood": SimpleNamespace(run=lambda path: np.ones(80_000_000).sum()),
    "spin": SimpleNamespace(run=spin),
}
"""


@pytest.fixture
def trying(tmp_path, monkeypatch):
    (tmp_path / "bad_targets.py").write_text(BAD_TARGETS)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    worker = Worker(tmp_path / "crash.txt", "bad_targets", hang_s=4)
    yield worker.attempt
    worker.close()


def test_whatever_goes_wrong_is_found_and_the_next_input_is_tried(trying, tmp_path):
    kinds = {
        **{"fine": "read", "refuse": "refused", "ramble": "exception", "trip": "exception"},
        **{"crash": "crash", "flood": "memory", "spin": "hang"},
    }
    for target, kind in kinds.items():
        outcome, finding = trying(target, tmp_path)
        assert outcome == kind, target
        assert (finding is None) == (kind in ("read", "refused"))
    assert trying("fine", tmp_path) == ("read", None)


def test_one_cause_is_one_finding():
    text = 'File "/x/partita/a.py", line 3, in f\nFile "/x/partita/b.py", line 5, in g\nError: {}'
    assert Finding("exception", text.format(1)).signature == "exception partita/b.py:5"
    assert Finding("exception", text.format(2)).signature == "exception partita/b.py:5"


def test_the_same_seed_makes_the_same_cases(worker, tmp_path):
    tried = []
    for run in range(2):
        with Fuzzer(["scores"], 5, tmp_path / str(run), worker) as fuzzer:
            fuzzer.on_case = lambda path: tried.append((path.name, path.read_bytes()))
            fuzzer.run(cases=20)
    assert tried[:20] == tried[20:]


def test_a_saved_input_is_tried_again(tmp_path):
    path = tmp_path / "scores-0-1.json"
    path.write_text(json.dumps({"targets": 1}))
    assert replay(path) is None


def test_lines_are_repeated_within_bounds():
    line = bytes(1 << 24)
    for seed in range(20):
        assert len(_lines(Random(seed), line)) <= 2 * _BYTES_MAX
