"""Processes do tasks, say why they end, and never outlive their parent."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import child_tasks
from child_tasks import Count, Die, Exit, Fail, Unreadable, Wait
from partita.child_process import ChildEndedError, ChildProcess
from partita.errors import UsageError

TESTS = str(Path(child_tasks.__file__).parent)


@pytest.fixture
def process(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", TESTS)
    found = ChildProcess()
    yield found
    found.end()


def messages(process):
    """Return all messages of a task; the last one is its end."""
    found = []
    while not found or not found[-1].keys() & {"done", "failed"}:
        message = process.receive(30)
        assert message is not None
        found.append(message)
    return found


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] != "Z"


def assert_ends(pid):
    end = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_tasks_are_done_one_after_the_other_and_errors_end_only_themselves(process):
    process.send(Count())
    assert process.receive(30) == {"progress": (1, 2), "phase": "counting"}
    assert process.receive(30) == {"log": (logging.INFO, "counted")}
    (first, pid) = process.receive(30)["done"]
    assert (first, pid != os.getpid()) == (1, True)
    assert process.receive(0.01) is None
    for error, why in (
        (UsageError("`x` is wrong"), "`x` is wrong"),
        (ValueError("of\nnobody"), r"failed unexpectedly (ValueError: of\nnobody)"),
        (KeyboardInterrupt(), "interrupted"),
    ):
        process.send(Fail(error))
        assert messages(process)[-1] == {"failed": why}
    process.send(Unreadable())
    assert messages(process)[-1] == {"failed": "nobody reads this"}
    process.send(Count())
    assert messages(process)[-1] == {"done": (2, pid)}


@pytest.mark.parametrize(
    ("task", "why", "words"),
    [
        (Die(child_tasks.SIGKILL), "killed (signal 9), which systems do when memory", ""),
        (Die(11), "crashed (signal 11)", ""),
        (Exit(), "ended with status 3", "the last words"),
    ],
)
def test_why_a_process_ended(process, task, why, words):
    process.send(task)
    with pytest.raises(ChildEndedError) as caught:
        messages(process)
    assert why in str(caught.value)
    assert words in caught.value.last_words
    assert not process.is_alive
    process.send(Count())  # which is no error: `receive` has said it


def test_a_task_may_be_asked_to_stop(process):
    process.send(Wait())
    pid = process.receive(30)["pid"]
    process.end(patience_s=30)
    assert process.receive(1) == {"saved": True}
    assert not is_alive(pid)


@pytest.mark.parametrize("patience_s", [0.0, 0.2])
def test_one_that_does_not_listen_is_ended(process, patience_s):
    process.send(Wait(heeds=False))
    pid = process.receive(30)["pid"]
    begun = time.monotonic()
    process.end(patience_s)
    assert not is_alive(pid)
    assert time.monotonic() - begun < 10


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_no_process_outlives_its_parent(monkeypatch):
    code = (
        "from child_tasks import Wait\n"
        "from partita.child_process import ChildProcess\n"
        "child = ChildProcess()\n"
        "child.send(Wait(heeds=False))\n"
        "print(child.receive(30)['pid'], flush=True)\n"
        "child.receive(60)\n"
    )
    paths = os.pathsep.join([TESTS, *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    ) as parent:
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    assert_ends(pid)
