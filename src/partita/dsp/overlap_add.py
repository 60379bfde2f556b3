"""Overlap-add: a stream in, windows through a model, a seamless stream out."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from partita.dsp.blocks import BlockBuffer

#: Maps a window ``[..., length]`` to its estimates ``[..., length]``.
WindowMap = Callable[[Tensor], Tensor]


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


class OverlapAdd:
    """A stream on its way through a model: cut into windows, whose estimates are crossfaded.

    Parameters
    ----------
    window : Window or None
        Overlaps beyond half a window are fine: more than two windows are averaged then. None: the
        whole stream is one window.
    delay : int
        Samples of silence before the stream, which the estimates are without again.

    Notes
    -----
    Departures from the usual loop (demucs, open-unmix): the last window is moved back instead of
    padded with zeros, and ramps are squared sines, whose slope is continuous.
    """

    def __init__(self, window: Window | None, delay: int = 0) -> None:
        self._window = window
        self._held = BlockBuffer()
        self._turn = 0  # where the next window begins
        self._cut: deque[_Excerpt] = deque()  # whose estimates are still to come
        self._ramp = torch.zeros(0)
        self._done = 0
        self._total: Tensor | None = None  # [..., samples], faded estimates from `_done` on
        self._weights = torch.zeros(0)  # [samples], of their fades
        self._silence = self._skipped = delay

    def cut(self, block: Tensor, last: bool = False) -> Iterator[Tensor]:
        """Yield the windows that a further block completes.

        The last window ends where the stream ends and begins earlier than its turn, so that it is
        as long as the others and sees real signal instead of padding, but for what is missing to a
        whole step. Only a stream shorter than one window makes a shorter one.

        Parameters
        ----------
        block : Tensor ``[..., samples]``
        last : bool
            The stream ends with this block, which may be empty.

        Yields
        ------
        Tensor ``[..., length]``
        """
        held, window = self._held, self._window
        if self._silence and block.shape[-1]:
            block = functional.pad(block, (self._silence, 0))
            self._silence = 0
        held.append(block)
        # One sample beyond the window proves that it is not the last.
        while window is not None and held.end > self._turn + window.length:
            end = self._turn + window.length
            samples = held.read(self._turn, end)
            self._cut.append(_Excerpt(samples, self._turn, end, self._turn, is_last=False))
            yield samples
            held.drop(self._turn)  # the last window may begin anywhere after this one's start
            self._turn += window.hop
        if last and held.end:
            start = 0
            if window is not None:
                steps = math.ceil((held.end - window.length) / window.step)
                start = max(0, steps * window.step)
            samples = held.read(start, held.end)
            if start and window is not None:
                samples = functional.pad(samples, (0, window.length - samples.shape[-1]))
            self._cut.append(_Excerpt(samples, start, held.end, self._turn, is_last=True))
            yield samples

    def join(self, estimates: Tensor) -> Tensor:
        """Return the samples that the estimates of the next window complete.

        Parameters
        ----------
        estimates : Tensor ``[..., length]``
            Of the windows in the order in which they were cut.

        Returns
        -------
        Tensor ``[..., samples]``
            Over all windows, as many samples as the stream had.
        """
        excerpt = self._cut.popleft()
        finished = self._crossfaded(estimates, excerpt)
        skipped = min(self._skipped, finished.shape[-1])
        self._skipped -= skipped
        return finished[..., skipped:]

    def _crossfaded(self, estimates: Tensor, excerpt: _Excerpt) -> Tensor:
        used = estimates[..., excerpt.used_from - excerpt.start : excerpt.end - excerpt.start]
        if self._window is None or (self._total is None and excerpt.is_last):
            return used
        if not (len(self._ramp) or excerpt.is_last):
            self._ramp = _ramp(self._window)
        weights = _fade(torch.ones(used.shape[-1]), excerpt, self._ramp)
        if self._total is None:
            self._total = used.new_zeros(*used.shape[:-1], 0)
        begin = excerpt.used_from - self._done
        total = _add_at(self._total, begin, _fade(used, excerpt, self._ramp.to(used.device)))
        weights = _add_at(self._weights, begin, weights)
        count = total.shape[-1] if excerpt.is_last else begin + self._window.hop
        # Fades add up to one by themselves unless more than two windows overlap.
        is_sum_one = self._window.overlap <= self._window.length // 2
        finished = total[..., :count]
        self._total, self._weights = total[..., count:], weights[count:]
        self._done += count
        return finished if is_sum_one else finished / weights[:count].to(used.device)


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


def _add_at(total: Tensor, begin: int, signal: Tensor) -> Tensor:
    """Return ``[..., samples]`` longer by as much as `signal`, added at `begin`, reaches out."""
    shared = total.shape[-1] - begin
    return torch.cat(
        [total[..., :begin], total[..., begin:] + signal[..., :shared], signal[..., shared:]],
        dim=-1,
    )


def overlap_add(signal: Tensor, estimate: WindowMap, window: Window) -> Tensor:
    """Run windows of a signal through a model and crossfade the results.

    Parameters
    ----------
    signal : Tensor ``[..., samples]``
    estimate : callable
        Maps a window ``[..., length]`` to a tensor that ends in the same number of samples.
    window : Window

    Returns
    -------
    Tensor ``[..., samples]``
    """
    stream = OverlapAdd(window)
    made = [stream.join(estimate(each)) for each in stream.cut(signal, last=True)]
    return torch.cat(made, dim=-1)


def random_offsets(count: int, longest: int, seed: int) -> list[int]:
    """Draw `count` delays of 0 to `longest` samples; the same seed gives the same ones."""
    generator = random.Random(seed)  # noqa: S311 (no secret)
    return [generator.randint(0, longest) for _ in range(count)]
