"""Overlap-add: a stream is cut into windows, whose estimates are crossfaded."""

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
    """How a stream is cut into windows.

    Attributes
    ----------
    length : int
        Samples of a window.
    overlap : int
        Samples that neighbouring windows share, less than `length`.
    step : int
        Windows begin at its multiples, so that a model with strides has the same grid in every
        window.
    """

    length: int
    overlap: int
    step: int = 1

    def __post_init__(self) -> None:
        if self.length < 1 or not 0 <= self.overlap < self.length:
            raise ValueError(f"a window of {self.length} samples cannot overlap by {self.overlap}")
        if self.step < 1 or self.hop % self.step:
            raise ValueError(
                f"a window's hop ({self.hop} samples) must be a multiple of {self.step}"
            )

    @property
    def hop(self) -> int:
        """The hop: samples from one window to the next."""
        return self.length - self.overlap

    def resized(self, length: int, overlap: float) -> Window:
        """Return a window of about another length, which differs by a multiple of `step`.

        Parameters
        ----------
        length : int
        overlap : float
            As a fraction of the length, from 0 to below 1; rounded to steps.
        """
        fewest = -(self.length // self.step - 1)  # at least one step is left
        steps = max(fewest, round((length - self.length) / self.step))
        whole = self.length + steps * self.step
        advance = max(1, min(round(whole * (1 - overlap) / self.step), whole // self.step))
        return Window(whole, whole - advance * self.step, self.step)


@dataclass(frozen=True)
class _Excerpt:
    samples: Tensor  # [..., length]
    start: int  # position of its first sample in the stream
    end: int  # position behind its last sample, without padding
    used_from: int  # position from which its estimates are used
    is_last: bool


class OverlapAdd:
    """Cuts a stream into windows, and crossfades the estimates of the windows.

    Parameters
    ----------
    window : Window or None
        With overlaps of more than half a window, more than two windows are averaged. None: the
        whole stream is one window.
    delay : int
        Samples of silence before the stream, which are cut off the estimates.

    Notes
    -----
    Departures from demucs and open-unmix: the last window is moved back instead of padded with
    zeros, and ramps are squared sines, whose slope is continuous.
    """

    def __init__(self, window: Window | None, delay: int = 0) -> None:
        self._window = window
        self._held = BlockBuffer()
        self._next_start = 0  # of the next window
        self._pending: deque[_Excerpt] = deque()  # windows without estimates yet
        self._ramp = torch.zeros(0)
        self._done = 0
        self._total: Tensor | None = None  # [..., samples], faded estimates from `_done` on
        self._weights = torch.zeros(0)  # [samples], of their fades
        self._silence = self._skipped = delay

    def cut(self, block: Tensor, last: bool = False) -> Iterator[Tensor]:
        """Yield the windows that a block completes.

        The last window ends at the end of the stream and begins earlier than it would otherwise, so
        that it is as long as the others without padding, except up to a multiple of `step`. Only
        streams shorter than a window have a shorter one.

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
        # If there is a sample behind a window, it is not the last one.
        while window is not None and held.end > self._next_start + window.length:
            end = self._next_start + window.length
            samples = held.read(self._next_start, end)
            self._pending.append(
                _Excerpt(samples, self._next_start, end, self._next_start, is_last=False)
            )
            yield samples
            held.drop(self._next_start)  # the last window may begin anywhere after this one's start
            self._next_start += window.hop
        if last and held.end:
            start = 0
            if window is not None:
                steps = math.ceil((held.end - window.length) / window.step)
                start = max(0, steps * window.step)
            samples = held.read(start, held.end)
            if start and window is not None:
                samples = functional.pad(samples, (0, window.length - samples.shape[-1]))
            self._pending.append(_Excerpt(samples, start, held.end, self._next_start, is_last=True))
            yield samples

    def join(self, estimates: Tensor) -> Tensor:
        """Return the samples that are completed by the estimates of the next window.

        Parameters
        ----------
        estimates : Tensor ``[..., length]``
            Of the windows in the order of `cut`.

        Returns
        -------
        Tensor ``[..., samples]``
            In all, as many samples as the stream has.
        """
        excerpt = self._pending.popleft()
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
        # Fades add up to one unless more than two windows overlap.
        is_sum_one = self._window.overlap <= self._window.length // 2
        finished = total[..., :count]
        self._total, self._weights = total[..., count:], weights[count:]
        self._done += count
        return finished if is_sum_one else finished / weights[:count].to(used.device)


def _ramp(window: Window) -> Tensor:
    """Return the fade-in ``[samples]``.

    A squared sine at half samples, which adds up to one with the fade-out.
    """
    length = min(window.overlap, window.length // 2)
    phase = (torch.arange(length, dtype=torch.float64) + 0.5) / max(length, 1)
    return (torch.sin(0.5 * torch.pi * phase) ** 2).float()


def _fade(signal: Tensor, excerpt: _Excerpt, ramp: Tensor) -> Tensor:
    """Return ``[..., samples]``, faded in and out in the overlaps."""
    faded = signal.clone()
    if excerpt.used_from > 0:
        faded[..., : len(ramp)] *= ramp
    if not excerpt.is_last:
        faded[..., signal.shape[-1] - len(ramp) :] *= ramp.flip(0)
    return faded


def _add_at(total: Tensor, begin: int, signal: Tensor) -> Tensor:
    """Add a signal at `begin` to ``[..., samples]``, which is extended."""
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
        Maps a window ``[..., length]`` to estimates ``[..., length]``.
    window : Window

    Returns
    -------
    Tensor ``[..., samples]``
    """
    stream = OverlapAdd(window)
    blocks = [stream.join(estimate(excerpt)) for excerpt in stream.cut(signal, last=True)]
    return torch.cat(blocks, dim=-1)


def random_offsets(count: int, longest: int, seed: int) -> list[int]:
    """Draw `count` delays of 0 to `longest` samples from a seed."""
    generator = random.Random(seed)  # noqa: S311 (no secret)
    return [generator.randint(0, longest) for _ in range(count)]
