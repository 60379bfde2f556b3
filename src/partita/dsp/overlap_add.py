"""Overlap-add: a stream in, windows through a model, a seamless stream out."""

from __future__ import annotations

import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from partita.dsp.blocks import BlockBuffer, side_by_side

#: Maps windows ``[..., length]`` to estimates ``[..., length]``, in order; may read ahead.
WindowMap = Callable[[Iterator[Tensor]], Iterator[Tensor]]


@dataclass(frozen=True)
class Window:
    """How a stream is cut.

    Attributes
    ----------
    length : int
        Samples in a window.
    overlap : int
        Samples that neighbouring windows share, less than `length`.
    step : int
        Windows begin at multiples of it: a model with strides sees the same signal in the same way
        in every window.
    """

    length: int
    overlap: int
    step: int = 1

    def __post_init__(self) -> None:
        if self.length < 1 or not 0 <= self.overlap < self.length:
            raise ValueError(f"a window of {self.length} samples cannot overlap by {self.overlap}")
        if self.step < 1 or self.hop % self.step:
            raise ValueError(f"windows every {self.hop} samples do not begin at whole {self.step}")

    @property
    def hop(self) -> int:
        """Samples from one window to the next."""
        return self.length - self.overlap

    def resized(self, length: int, overlap: float) -> Window:
        """Return a window of about another length, which differs by whole steps.

        Parameters
        ----------
        length : int
        overlap : float
            The part of it that neighbours share, from 0 to below 1; about as much it will be.
        """
        fewest = -(self.length // self.step - 1)  # steps longer that leave one at least
        steps = max(fewest, round((length - self.length) / self.step))
        whole = self.length + steps * self.step
        advance = max(1, min(round(whole * (1 - overlap) / self.step), whole // self.step))
        return Window(whole, whole - advance * self.step, self.step)


@dataclass(frozen=True)
class _Excerpt:
    samples: Tensor  # [..., length]
    start: int  # position of its first sample in the stream
    end: int  # position behind its last sample, not counting padding
    used_from: int  # position from which its estimates count
    is_last: bool


def _cut(blocks: Iterable[Tensor], window: Window) -> Iterator[_Excerpt]:
    """Cut a stream into windows of one length.

    The last window ends where the stream ends and begins earlier than its turn, so that it is as
    long as the others and sees real signal instead of padding, but for what is missing to a whole
    step. Only a stream shorter than one window makes a shorter one.
    """
    held = BlockBuffer()
    turn = 0
    for block in blocks:
        held.append(block)
        # One sample beyond the window proves that it is not the last.
        while held.end > turn + window.length:
            samples = held.read(turn, turn + window.length)
            yield _Excerpt(samples, turn, turn + window.length, turn, is_last=False)
            held.drop(turn)  # the last window may begin anywhere after this one's start
            turn += window.hop
    if held.end > 0:
        start = max(0, math.ceil((held.end - window.length) / window.step) * window.step)
        samples = held.read(start, held.end)
        if start:
            samples = functional.pad(samples, (0, window.length - samples.shape[-1]))
        yield _Excerpt(samples, start, held.end, turn, is_last=True)


def _ramp(window: Window) -> Tensor:
    """Return the rising side of the crossfade ``[samples]``.

    Squared sine, taken half way between samples: with the falling side it adds up to one.
    """
    length = min(window.overlap, window.length // 2)
    phase = (torch.arange(length, dtype=torch.float64) + 0.5) / max(length, 1)
    return (torch.sin(0.5 * torch.pi * phase) ** 2).float()


def _fade(signal: Tensor, excerpt: _Excerpt, ramp: Tensor) -> Tensor:
    """Return ``[..., samples]`` faded in and out where neighbours share them."""
    faded = signal.clone()
    if excerpt.used_from > 0:
        faded[..., : len(ramp)] *= ramp
    if not excerpt.is_last:
        faded[..., signal.shape[-1] - len(ramp) :] *= ramp.flip(0)
    return faded


def overlap_add(blocks: Iterable[Tensor], estimate: WindowMap, window: Window) -> Iterator[Tensor]:
    """Run windows of a stream through a model and crossfade the results.

    Parameters
    ----------
    blocks : iterable of Tensor ``[..., samples]``
        The stream, in blocks of any length; the result does not depend on them.
    estimate : WindowMap
        Called once with the iterator of windows ``[..., length]``; yields for each of them, in
        order, a tensor that ends in the same number of samples.
    window : Window
        Overlaps beyond half a window are fine: more than two windows are averaged then.

    Yields
    ------
    Tensor ``[..., samples]``
        Estimates, as many samples in all as the stream had. Memory holds about two windows,
        whatever the length of the stream.

    Notes
    -----
    Departures from the usual loop (demucs, open-unmix): the last window is moved back instead of
    padded with zeros, and ramps are squared sines, whose slope is continuous.
    """
    pending: deque[_Excerpt] = deque()

    def windows() -> Iterator[Tensor]:
        for excerpt in _cut(blocks, window):
            pending.append(excerpt)
            yield excerpt.samples

    ramp = torch.zeros(0)
    done = 0
    total: Tensor | None = None  # [..., samples], faded estimates from position `done` on
    weight_sum = torch.zeros(0)  # [samples], of their fades
    for estimates in estimate(windows()):
        excerpt = pending.popleft()
        used = estimates[..., excerpt.used_from - excerpt.start : excerpt.end - excerpt.start]
        if not (len(ramp) or excerpt.is_last):  # a song of one window needs none
            ramp = _ramp(window)
        weights = _fade(torch.ones(used.shape[-1]), excerpt, ramp)
        if total is None:
            total = used.new_zeros(*used.shape[:-1], 0)
        begin = excerpt.used_from - done
        total = _add_at(total, begin, _fade(used, excerpt, ramp.to(used.device)))
        weight_sum = _add_at(weight_sum, begin, weights)
        count = total.shape[-1] if excerpt.is_last else begin + window.hop
        # Fades add up to one by themselves unless more than two windows overlap.
        is_sum_one = window.overlap <= window.length // 2
        finished = total[..., :count]
        yield finished if is_sum_one else finished / weight_sum[:count].to(used.device)
        total, weight_sum = total[..., count:], weight_sum[count:]
        done += count


def _add_at(total: Tensor, begin: int, signal: Tensor) -> Tensor:
    """Return ``[..., samples]`` longer by as much as `signal`, added at `begin`, reaches out."""
    shared = total.shape[-1] - begin
    return torch.cat(
        [total[..., :begin], total[..., begin:] + signal[..., :shared], signal[..., shared:]],
        dim=-1,
    )


def average_shifts(
    blocks: Iterable[Tensor],
    separate: Callable[[Iterator[Tensor]], Iterator[Tensor]],
    offsets: list[int],
) -> Iterator[Tensor]:
    """Average what a model says of a stream delayed by several offsets.

    Randomised equivariant stabilisation of Défossez et al., "Music Source Separation in the
    Waveform Domain" (2019), section 4: a model that is not shift-equivariant gives slightly
    different estimates for each delay, and their errors partly cancel.

    Parameters
    ----------
    blocks : iterable of Tensor ``[..., samples]``
    separate : callable
        Maps one stream to its estimates; called once for each offset.
    offsets : list of int
        Delays in samples; see `random_offsets`.

    Yields
    ------
    Tensor ``[..., samples]``
        The mean of the realigned estimates.
    """
    copies = itertools.tee(blocks, len(offsets))
    streams = [
        _undelayed(separate(_delayed(copy, offset)), offset)
        for copy, offset in zip(copies, offsets, strict=True)
    ]
    for pieces in side_by_side(streams):
        yield torch.stack(pieces).mean(dim=0)


def _delayed(blocks: Iterator[Tensor], offset: int) -> Iterator[Tensor]:
    first = next(blocks, None)
    if first is not None:
        yield functional.pad(first, (offset, 0))
        yield from blocks


def _undelayed(blocks: Iterator[Tensor], offset: int) -> Iterator[Tensor]:
    for block in blocks:
        skipped = min(offset, block.shape[-1])
        offset -= skipped
        if skipped < block.shape[-1]:
            yield block[..., skipped:]


def random_offsets(count: int, longest: int, seed: int) -> list[int]:
    """Draw `count` delays of 0 to `longest` samples; the same seed gives the same ones."""
    generator = random.Random(seed)  # noqa: S311 (no secret)
    return [generator.randint(0, longest) for _ in range(count)]
