"""Streams: signals ``[..., samples]`` that arrive in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

#: A Tensor or an ndarray ``[..., samples]``.
Block = TypeVar("Block", bound=Any)


class BlockBuffer:
    """Samples of a stream, addressed by their position in it.

    Attributes
    ----------
    start, end : int
        The buffered positions: ``start <= position < end``.
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
        if not pieces:
            return self._blocks[0][..., :0]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-1)

    def drop(self, before: int) -> None:
        """Discard all samples before a position."""
        while self._blocks and self.start + self._blocks[0].shape[-1] <= before:
            self.start += self._blocks.pop(0).shape[-1]
        if self._blocks and before > self.start:
            self._blocks[0] = self._blocks[0][..., before - self.start :]
            self.start = before

    def take(self, samples: int) -> Tensor:
        """Return the first samples and discard them."""
        taken = self.read(self.start, self.start + samples)
        self.drop(self.start + samples)
        return taken


class Aligner:
    """Aligns several streams of one signal that have different delays.

    Parameters
    ----------
    count : int
        Number of streams.
    """

    def __init__(self, count: int) -> None:
        self._buffers = [BlockBuffer() for _ in range(count)]

    def push(self, blocks: Sequence[Tensor], last: bool = False) -> list[Tensor]:
        """Return the samples that all streams have by now.

        Parameters
        ----------
        blocks : sequence of Tensor ``[..., samples]``
            The next block of each stream; any may be empty.
        last : bool
            Whether the streams end. All get the length of the first one, because conversions of the
            sample rate may add or remove a sample or two: they are cut or padded with silence.

        Returns
        -------
        list of Tensor ``[..., samples]``
        """
        for buffer, block in zip(self._buffers, blocks, strict=True):
            buffer.append(block)
        if last:
            first = self._buffers[0]
            for buffer, block in zip(self._buffers[1:], blocks[1:], strict=True):
                missing = (first.end - first.start) - (buffer.end - buffer.start)
                buffer.append(block.new_zeros(*block.shape[:-1], max(0, missing)))
        common = min(buffer.end - buffer.start for buffer in self._buffers)
        return [buffer.take(common) for buffer in self._buffers]


def until_last(blocks: Iterable[Block]) -> Iterator[tuple[Block, bool]]:
    """Yield blocks ``[..., samples]``, then an empty one that is marked as the last.

    So a stream ends without a look-ahead. Without blocks nothing is yielded.
    """
    block = None
    for block in blocks:
        yield block, False
    if block is not None:
        yield block[..., :0], True
