"""Losses for TensorBoard."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
_FACTS = frozenset({"epoch", "step"})


class Board:
    """Writes event files, where TensorBoard is installed.

    Parameters
    ----------
    folder : Path
    step : int
        Where the training stands: what an earlier process wrote of later steps does not count.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:  # the csv says the same
            return
        self._writer = SummaryWriter(folder, purge_step=step + 1)

    def add(self, row: Mapping[str, float]) -> None:
        """Write a row of ``losses.csv``: ``train``, ``train_SOURCE`` and so on, in groups."""
        if self._writer is None:
            return
        try:
            self._write(row)
        except OSError as error:  # a full disk: what counts is in the csv
            _log.warning("warning: no more losses for TensorBoard: %s", error.strerror)
            self._writer = None

    def _write(self, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            if name not in _FACTS:
                part, _, source = name.partition("_")
                tag = f"{part}/{source or 'all'}" if part in ("train", "valid") else name
                self._writer.add_scalar(tag, value, round(row["step"]))
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
