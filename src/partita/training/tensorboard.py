"""Losses as event files of TensorBoard."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
_FACTS = frozenset({"epoch", "step"})


class TensorBoardLog:
    """Writes event files, where TensorBoard is installed.

    Records go straight to the file. TensorBoard's own writer passes them to a thread: a program
    that a signal ends in between may wait for that thread for two minutes.

    Parameters
    ----------
    folder : Path
    step : int
        Steps done so far: later ones that an earlier process wrote do not count.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._file: Any = None
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:  # the csv says the same
            return
        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        host = "".join(char for char in platform.node() if char.isalnum() or char in "-.")
        name = f"events.out.tfevents.{time.time_ns()}.{host}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / name).open("xb")
            self._writer = RecordWriter(self._file)
            self._write(file_version="brain.Event:2")
            started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._write(session_log=started, step=step + 1)
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def add(self, row: Mapping[str, float]) -> None:
        """Write a row of ``losses.csv``: ``train``, ``train_SOURCE`` and so on, in groups."""
        if self._file is None:
            return
        values = []
        for name, value in row.items():
            if name not in _FACTS:
                part, _, source = name.partition("_")
                tag = f"{part}/{source or 'all'}" if part in ("train", "valid") else name
                values.append(self._summary.Value(tag=tag, simple_value=value))
        try:
            self._write(summary=self._summary(value=values), step=round(row["step"]))
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def _write(self, **content: Any) -> None:
        self._writer.write(self._event(wall_time=time.time(), **content).SerializeToString())

    def _give_up(self, error: OSError) -> None:
        """Go on without it: the csv has the same losses."""
        _log.warning("warning: no more losses for TensorBoard: %s", error.strerror)
        self.close()

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:  # the disk is full
                _log.debug("TensorBoard: %s", error)
