"""A Ray cluster of one machine, in processes of its own, which tests may kill."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_START_S = 120
_STARTS = 3  # Ray gives up if one of its processes needs more than 15 s, as on a busy machine


@contextlib.contextmanager
def ray_head(cores: int, paths: list[Path]):
    """Start a cluster whose workers import from `paths`, too; give its address and process."""
    with contextlib.ExitStack() as stack:
        # Of Ray's sockets, whose paths must be short. Ended processes may still write there.
        folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for remaining in reversed(range(_STARTS)):
            port, process, log = _begun(cores, paths, folder, stack)
            deadline = time.monotonic() + _START_S
            while process.poll() is None and "Ray runtime started" not in _text(log):
                assert time.monotonic() < deadline, _text(log)
                time.sleep(0.1)
            if process.poll() is None:
                break
            assert remaining, _text(log)
        yield f"127.0.0.1:{port}", process


def _begun(cores: int, paths: list[Path], folder: str, stack: contextlib.ExitStack):
    """Start a cluster; return its port, its process and what that writes."""
    port, metrics, client = free_ports(3)
    words = [
        *("start", "--head", "--block", f"--port={port}", f"--num-cpus={cores}"),
        *("--node-ip-address=127.0.0.1", "--include-dashboard=false", "--disable-usage-stats"),
        *("--no-monitor", "--include-log-monitor=false"),  # less to start
        *(f"--metrics-export-port={metrics}", f"--ray-client-server-port={client}"),
        *(f"--object-store-memory={80 * 2**20}", f"--temp-dir={folder}"),
    ]
    paths = [*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_AUTH_MODE": "disabled",  # else Ray reads a token from the home folder
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    log = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *words],
        env=environment,
        stdout=log,
        stderr=log,
    )
    stack.callback(_end, process)
    return port, process, log


def _text(log) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


def _end(process) -> None:
    """End all at once: nothing of it is kept."""
    for pid in [*descendants(process.pid), process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def descendants(pid: int) -> dict[int, str]:
    """Return the processes that a process has started, and they: id → command line."""
    parents: dict[int, list[int]] = {}
    commands = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                text = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                parents.setdefault(parent, []).append(int(folder.name))
                commands[int(folder.name)] = text
    found, waiting = {}, [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            found[child] = commands[child]
            waiting.append(child)
    return found
