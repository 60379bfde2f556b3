"""Settings of training processes, made before PyTorch is imported."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

_SPINS = "1000"
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's mallopt


def prepare_process() -> None:
    """Shorten the spinning of threads and keep freed memory: see docs/guide/training.md.

    If PyTorch is imported already, the process belongs to another program: nothing changes.
    """
    if "torch" in sys.modules:
        return
    leave_cores_to_others()
    keep_freed_memory()


def leave_cores_to_others() -> None:
    """Let PyTorch's threads sleep sooner when they wait for each other.

    By default they spin for milliseconds, while other programs wait for the core.
    """
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step instead of returning it to the system.

    Each step needs the same memory, and new pages cost small networks a quarter of the time.
    """
    if sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc":
        set_option = ctypes.CDLL(None).mallopt
        set_option(_MMAP_MAX, 0)
        set_option(_TRIM_THRESHOLD, 2**31 - 1)
