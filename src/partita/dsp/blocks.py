"""Streams of blocks: a signal ``[..., samples]`` that arrives piece by piece."""

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
        if not pieces:
            return self._blocks[0][..., :0]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-1)

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


class Aligner:
    """Several streams of one signal, each with a delay of its own, brought into step.

    Parameters
    ----------
    count : int
        Of the streams.
    """

    def __init__(self, count: int) -> None:
        self._buffers = [BlockBuffer() for _ in range(count)]

    def push(self, blocks: Sequence[Tensor], last: bool = False) -> list[Tensor]:
        """Return what all streams have by now, in equal numbers of samples.

        Parameters
        ----------
        blocks : sequence of Tensor ``[..., samples]``
            The next of each stream; any may be empty.
        last : bool
            The streams end. The first one says how long they are, conversions of the rate may have
            cost the others a sample or two: surplus is left out, silence takes the place of what is
            missing.

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
    """Yield blocks ``[..., samples]`` as they come, then an empty one that is marked as the last.

    So a stream's end is known without waiting for it. Where there are no blocks, nothing comes.
    """
    block = None
    for block in blocks:
        yield block, False
    if block is not None:
        yield block[..., :0], True
