"""What a process that trains sets for itself."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from partita.training.process import prepare_process
if sys.argv[1] == "late":
    import torch
if sys.argv[1] != "without":
    prepare_process()
import torch

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10 << 20)  # 10,240 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(min(faults() for _ in range(8)))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
@pytest.mark.parametrize(("way", "kept"), [("prepared", True), ("without", False), ("late", False)])
def test_memory_of_a_step_is_there_for_the_next(way, kept):
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", FAULTS, way]

    def faults():
        result = subprocess.run(command, env=plain, capture_output=True, text=True, check=True)
        return int(result.stdout)

    # In one process of four a library lies behind the heap, by chance: then nothing is kept.
    assert any(faults() < 1000 for _ in range(10 if kept else 1)) == kept
