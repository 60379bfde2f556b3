"""Streaming sample-rate conversion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]


def resample_blocks(
    blocks: Iterable[Samples], channels: int, from_rate: int, to_rate: int
) -> Iterator[Samples]:
    """Convert a stream of blocks to another sample rate.

    Parameters
    ----------
    blocks : iterable of ndarray ``[channels, samples]``
        The signal in blocks of any length.
    channels : int
        Number of channels.
    from_rate, to_rate : int
        In hertz.

    Yields
    ------
    ndarray ``[channels, samples]``
        The same blocks where the rates are equal; else soxr's high-quality conversion, whose
        result does not depend on the block lengths. ``n`` samples become
        ``round(n * to_rate / from_rate)``, but at least one.
    """
    if from_rate == to_rate:
        yield from blocks
        return
    converter = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality="HQ")
    read = written = 0
    for block in blocks:
        read += block.shape[1]
        converted = converter.resample_chunk(np.ascontiguousarray(block.T))  # [samples, channels]
        written += len(converted)
        if len(converted):
            yield np.ascontiguousarray(converted.T)
    rest = converter.resample_chunk(np.zeros((0, channels), np.float32), last=True)
    wanted = max(1, round(read * to_rate / from_rate)) if read else 0
    missing = wanted - written
    tail = np.zeros((channels, max(missing, 0)), np.float32)
    tail[:, : len(rest)] = rest[:missing].T
    if tail.shape[1]:
        yield tail
