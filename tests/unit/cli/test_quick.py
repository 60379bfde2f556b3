"""What a quick start and a quick end must not change."""

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, gc, sys, threading, time, types
from pathlib import Path

def run():
    sys.modules["torch"] = types.ModuleType("torch")
    kept = [[] for _ in range(60_000)]
    atexit.register(lambda: print("left to the end"))
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print(gc.get_threshold() == USUAL, gc.get_freeze_count() > 40_000)
    ENDING
    return 1

USUAL = gc.get_threshold()
sys.modules["partita.cli.app"] = types.SimpleNamespace(run=run)
from partita.cli import main
main()
"""


@pytest.mark.parametrize(
    ("ending", "status", "err"),
    [
        ("", 1, ""),
        ("sys.exit(7)", 7, ""),
        ("sys.exit('why')", 1, "why\n"),
        ("sys.exit()", 0, ""),
        ("raise KeyboardInterrupt", 130, "partita: interrupted\n"),
        ("raise BrokenPipeError", 1, ""),
        ("raise RuntimeError('why')", 1, "RuntimeError: why\n"),
    ],
)
def test_the_end_is_as_usual_but_for_memory(ending, status, err):
    code = PROGRAM.replace("ENDING", ending)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr.endswith(err)
    if "Broken" not in ending:
        assert done.stdout == "True True\nthread\nleft to the end\n"


@pytest.mark.parametrize(
    ("arguments", "is_mapped"),
    [
        (["separate", "x"], True),
        ([__file__], True),
        (["models"], False),
        (["separate", "-h"], False),
    ],
)
def test_the_library_is_mapped_where_it_will_be_used(arguments, is_mapped):
    code = f"""
import threading
from pathlib import Path
from partita.cli.quick import quick
with quick({arguments!r}):
    for thread in set(threading.enumerate()) - {{threading.main_thread()}}:
        thread.join()
    print("libtorch_cpu" in Path("/proc/self/maps").read_text())
    import torch
    print(float(torch.ones(3).sum()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    mapped, total = done.stdout.split()
    assert total == "3.0"
    if sys.platform == "linux":
        assert mapped == str(is_mapped)
