"""Where models run, and in which precision; what memory they take."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from partita.errors import UnknownNameError, UsageError

_PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
PRECISIONS = ("auto", *_PRECISIONS)


def choose_device(name: str = "auto") -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into a device that is there.

    ``auto`` takes the first CUDA device, then Apple's, then the CPU. A device that is asked for
    by name and missing is an error: nothing falls back to the CPU in silence.

    Raises
    ------
    UsageError
        No such device, here or at all.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdecimal()):
        raise UnknownNameError("device", name, ["auto", "cpu", "cuda", "cuda:0", "mps"])
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(f"device {name!r} is not there: PyTorch sees {count} CUDA devices")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device 'mps' is not there: PyTorch sees no Apple GPU")
    return torch.device(name)


def choose_precision(name: str = "auto") -> torch.dtype:
    """Turn ``auto``, ``float32``, ``bfloat16`` or ``float16`` into a type for the networks.

    ``auto`` is float32: the same estimates on every machine.

    Raises
    ------
    UnknownNameError
        No such precision.
    """
    if name == "auto":
        return torch.float32
    if name not in _PRECISIONS:
        raise UnknownNameError("precision", name, PRECISIONS)
    return _PRECISIONS[name]


def peak_memory_mb() -> float | None:
    """Return the most memory that this process has had; None where the system does not say."""
    if sys.platform.startswith("linux"):
        # Not getrusage, which counts what the parent process had when it started this one.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return None


@contextlib.contextmanager
def worker_pool(workers: int, threads: int) -> Iterator[ThreadPoolExecutor]:
    """Make a pool whose workers share `threads` threads of PyTorch's among them.

    A piece of work for each core, computed by one thread, is faster than one piece at a time
    computed by all, which wait for each other at every step. Until the pool is closed, the calling
    thread has a worker's share too: its own small sums must not wake idle cores.
    """
    each = max(1, threads // workers)
    pool = ThreadPoolExecutor(workers, "partita", torch.set_num_threads, (each,))
    with intra_op_threads(each):
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def intra_op_threads(count: int) -> Iterator[None]:
    """Let each of PyTorch's operations use that many threads, until the block ends.

    Parameters
    ----------
    count : int
        0 leaves it as it is.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Forks:
    """Whether PyTorch's threads were started here, or before this process was forked.

    A forked process has one thread, but PyTorch's state of many: it would wait for them forever.
    """

    started = False
    lost = False

    @classmethod
    def after_in_child(cls) -> None:
        cls.started, cls.lost = False, cls.lost or cls.started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Forks.after_in_child)


def start_threads(device: torch.device) -> None:
    """Note that PyTorch's threads will be running from now on, or a GPU's.

    Raises
    ------
    UsageError
        This process was forked when they were: anything that needs them would hang.
    """
    if _Forks.lost:
        raise UsageError(
            "this process was forked after a Separator had been made, and PyTorch would hang in "
            "it: start processes with multiprocessing's 'spawn', or make Separators only in them"
        )
    if device.type != "cpu" or torch.get_num_threads() > 1:
        _Forks.started = True


def processor_name() -> str:
    """Return the name of the processor, which Python itself knows on some systems only."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
