"""Streams of blocks: a signal ``[..., samples]`` that arrives piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class BlockBuffer:
    """Samples of a stream, addressed by their position in it.

    Attributes
    ----------
    start, end : int
        The positions held: ``start <= position < end``.
    """

    def __init__(self) -> None:
        self.start = self.end = 0
        self._blocks: list[Tensor] = []

    def append(self, block: Tensor) -> None:
        """Add ``[..., samples]`` at the end."""
        self._blocks.append(block)
        self.end += block.shape[-1]

    def read(self, start: int, end: int) -> Tensor:
        """Return the samples from `start` to `end`; they stay in the buffer."""
        if not self.start <= start <= end <= self.end:
            raise IndexError(f"{start}..{end} is not within {self.start}..{self.end}")
        pieces = []
        position = self.start
        for block in self._blocks:
            after = position + block.shape[-1]
            if after > start and position < end:
                pieces.append(block[..., max(start - position, 0) : end - position])
            position = after
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces or self._blocks[:1], dim=-1)

    def drop(self, before: int) -> None:
        """Forget everything before a position."""
        while self._blocks and self.start + self._blocks[0].shape[-1] <= before:
            self.start += self._blocks.pop(0).shape[-1]
        if self._blocks and before > self.start:
            self._blocks[0] = self._blocks[0][..., before - self.start :]
            self.start = before

    def take(self, samples: int) -> Tensor:
        """Return the first samples and forget them."""
        taken = self.read(self.start, self.start + samples)
        self.drop(self.start + samples)
        return taken


def side_by_side(streams: Sequence[Iterator[Tensor]]) -> Iterator[list[Tensor]]:
    """Yield pieces of several streams of one length, as many samples of each at a time.

    The stream that is furthest behind is always read next, so that little has to be kept.

    Parameters
    ----------
    streams : sequence of iterator of Tensor ``[..., samples]``

    Yields
    ------
    list of Tensor ``[..., samples]``
        One of each stream.
    """
    buffers = [BlockBuffer() for _ in streams]
    unfinished = set(range(len(streams)))
    while unfinished:
        behind = min(sorted(unfinished), key=lambda index: buffers[index].end)
        block = next(streams[behind], None)
        if block is None:
            unfinished.remove(behind)
            continue
        buffers[behind].append(block)
        common = min(buffer.end - buffer.start for buffer in buffers)
        if common:
            yield [buffer.take(common) for buffer in buffers]
