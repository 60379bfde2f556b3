"""A connection with a Ray cluster, or a cluster of this machine alone."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from typing import Any

from partita.errors import UsageError, one_line

_log = logging.getLogger(__name__)
_STORE_BYTES = 80 * 2**20  # Ray's smallest: songs and stems do not pass through it


@contextlib.contextmanager
def connected(address: str | None, cores: int) -> Iterator[Any]:
    """Connect with a cluster, or start one on this machine; disconnect, or end it, at the end.

    Parameters
    ----------
    address : str or None
        As for ``ray.init``. None: what ``RAY_ADDRESS`` names, else this machine.
    cores : int
        What a cluster of this machine offers.

    Yields
    ------
    module
        ray.

    Raises
    ------
    UsageError
        Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
    except ImportError:
        raise UsageError("`engine` ray needs Ray: pip install 'partita[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    _connect(ray, address or os.environ.get("RAY_ADDRESS") or "local", cores)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str, cores: int) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options["num_cpus"], options["object_store_memory"] = cores, _STORE_BYTES
        options["include_dashboard"] = False
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, **options)
    except Exception as error:
        text = f"no Ray cluster at {one_line(address)}: {one_line(error)}"
        raise UsageError(text) from error
    with contextlib.suppress(ValueError, TypeError):
        # In the main thread Ray has set one. In other threads it has not, and none can be set.
        signal.signal(signal.SIGTERM, handler)
    _silence()


def _silence() -> None:
    """Log what Ray prints about actors that died: standard output is for people, or for JSON."""
    from ray._private import worker

    def log(data: dict[str, Any], ignore_prefix: bool) -> None:  # noqa: ARG001
        _log.debug("Ray: %s", one_line(" ".join(data["lines"])))

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = log


def living_nodes(ray: Any) -> frozenset[str]:
    """Return Ray's names of the machines that are there."""
    return frozenset(node["NodeID"] for node in ray.nodes() if node["Alive"])
