"""Figures of a run for Prometheus, while it lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from partita.catalogue.records import SongRecord
from partita.catalogue.running import Progress
from partita.errors import UsageError

_PREFIX = "partita_catalogue_"


class Metrics:
    """The figures of a run.

    Parameters
    ----------
    progress : Progress
        Of the run.

    Raises
    ------
    UsageError
        prometheus-client is not installed.
    """

    def __init__(self, progress: Progress) -> None:
        try:
            import prometheus_client as client
        except ModuleNotFoundError as error:
            raise UsageError('`metrics` needs prometheus-client: pip install "partita[catalogue]"'
                             ) from error  # fmt: skip
        self._progress = progress
        self.registry = client.CollectorRegistry()
        self._songs = client.Counter(
            f"{_PREFIX}songs",
            "Songs that this run has ended, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self._failures = client.Counter(
            f"{_PREFIX}failures", "Attempts that failed, by kind.", ["kind"], registry=self.registry
        )
        self._audio = client.Counter(
            f"{_PREFIX}audio_seconds", "Seconds of audio that are done.", registry=self.registry
        )
        self._elapsed = client.Histogram(
            f"{_PREFIX}attempt_seconds", "Time that each attempt took.", registry=self.registry,
            buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000),
        )  # fmt: skip
        for name, text, value in (
            ("songs_left", "Songs still to be done.", lambda: progress.left),
            ("audio_seconds_left", "Their seconds of audio, if known.", lambda: progress.left_s),
            ("real_time_factor", "Seconds of audio done in a second.",
             lambda: progress.real_time_factor),
            ("remaining_seconds", "Time left at the speed so far; NaN at the beginning.",
             lambda: float("nan") if progress.remaining_s is None else progress.remaining_s),
        ):  # fmt: skip
            client.Gauge(f"{_PREFIX}{name}", text, registry=self.registry).set_function(value)

    def add(self, record: SongRecord) -> None:
        """Count a record."""
        if record.kind:
            self._failures.labels(record.kind).inc()
        if record.outcome != "tried":
            self._songs.labels(record.outcome).inc()
        if record.outcome == "done":
            self._audio.inc(record.duration_s)
        self._elapsed.observe(record.elapsed_s)

    @contextlib.contextmanager
    def served(self, port: int, host: str = "127.0.0.1") -> Iterator[int]:
        """Answer Prometheus at a port while the context lasts; give the port.

        Raises
        ------
        UsageError
            The port is in use.
        """
        from prometheus_client import start_http_server

        try:
            server, thread = start_http_server(port, host, self.registry)
        except OSError as error:
            raise UsageError(f"`metrics` {port}: {error.strerror}: choose another port") from error
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
