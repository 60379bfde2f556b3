"""Spectrograms small enough to be drawn, whatever the length of the signal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.dsp.stft import Stft

Levels = npt.NDArray[np.float32]

#: Most columns of a picture; even. More than that no screen shows side by side.
MAX_COLUMNS = 1600
#: Rows of a picture, evenly spaced on the frequency scale.
ROWS = 320
_KNEE_HZ = 200.0
_FRAME_S = 4096 / 44100


@dataclass(frozen=True, eq=False)
class PooledSpectrogram:
    """Power over frequency and time, averaged over runs of frames.

    Attributes
    ----------
    power : Tensor, float32 ``[bins, columns]``
        Mean of the channels; a sine of amplitude one has power one.
    sample_rate : int
        In hertz.
    column_s : float
        Seconds from column to column.
    start_s, end_s : float
        Where the first frame begins and the last one ends, in seconds from the start of the signal;
        within half a hop of the signal's own ends, because a frame stands for the hop around its
        centre.
    """

    power: Tensor
    sample_rate: int
    column_s: float
    start_s: float
    end_s: float


def pool_spectrogram(blocks: Iterable[Tensor], sample_rate: int) -> PooledSpectrogram:
    """Transform a stream in memory that does not grow with its length.

    Parameters
    ----------
    blocks : iterable of Tensor ``[channels, samples]``
        At least one block.
    sample_rate : int
        In hertz.
    """
    # A power of two that lasts about as long at every rate: 4096 samples at 44.1 and 48 kHz.
    fft_samples = max(16, 2 ** round(math.log2(_FRAME_S * sample_rate)))
    stft = Stft(fft_samples, fft_samples // 4)
    columns = Columns(stft.bins)
    for frames in _frame_powers(iter(blocks), stft):
        columns.add(frames)
    hop_s = stft.hop_samples / sample_rate
    return PooledSpectrogram(
        power=columns.means().mT,
        sample_rate=sample_rate,
        column_s=columns.run * hop_s,
        start_s=-hop_s / 2,
        end_s=(columns.frames - 0.5) * hop_s,
    )


def _frame_powers(blocks: Iterator[Tensor], stft: Stft) -> Iterator[Tensor]:
    """Yield ``[frames, bins]``, the frames that `Stft.analyse` makes of the whole signal."""
    first = next(blocks)
    half, hop = stft.fft_samples // 2, stft.hop_samples
    silence = first.new_zeros(first.shape[0], half)
    scale = (4 / stft.fft_samples) ** 2  # of a Hann window's sum, and half of a sine's amplitude
    held = silence
    for block in chain([first], blocks, [silence]):
        held = torch.cat([held, block], dim=-1)
        ready = (held.shape[-1] - stft.fft_samples) // hop + 1
        if ready > 0:
            # The frames at both ends see zeros instead of what came before and will come.
            spectrum = stft.analyse(held)[..., half // hop :][..., :ready]
            powers = spectrum.real.square() + spectrum.imag.square()  # [channels, bins, frames]
            yield scale * powers.mean(dim=0).mT
            held = held[:, ready * hop :]


class Columns:
    """Means over runs of frames; runs double in length whenever columns run out.

    Means, because maxima of long runs leave nothing dark: an hour of music would be one bright bar.

    Attributes
    ----------
    run : int
        Frames in a column; the last column may have fewer.
    frames : int
        Taken so far.
    """

    def __init__(self, rows: int) -> None:
        self.run = 1
        self.frames = 0
        self._sums = torch.zeros(MAX_COLUMNS, rows)

    def add(self, frames: Tensor) -> None:
        """Take the next ``[frames, rows]``."""
        end = self.frames + len(frames)
        while end > self.run * MAX_COLUMNS:
            pairs = self._sums[::2] + self._sums[1::2]
            self._sums = torch.cat([pairs, torch.zeros_like(pairs)])
            self.run *= 2
        columns = torch.arange(self.frames, end) // self.run
        self._sums.index_add_(0, columns, frames)
        self.frames = end

    def means(self) -> Tensor:
        """Return ``[columns, rows]``."""
        starts = torch.arange(0, self.frames, self.run)
        lengths = (self.frames - starts).clamp(max=self.run)
        return self._sums[: len(starts)] / lengths[:, None]


def decibels(power: Tensor, reference: float, floor_db: float) -> Levels:
    """Return the level of `power` against `reference` in dB, `floor_db` and up."""
    if not reference:  # silence
        return np.full(power.shape, floor_db, np.float32)
    levels = 10 * (power / reference).clamp(min=10 ** (floor_db / 10)).log10()
    return levels.numpy()


def on_scale(frequency_hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return where a frequency lies on the axis: about linear below 200 Hz, logarithmic above.

    A logarithmic axis from 40 Hz gives a quarter of its height to the 15 bins below 200 Hz, a mel
    scale crowds a bass guitar into a few rows.
    """
    return np.log2(1 + np.asarray(frequency_hz, np.float64) / _KNEE_HZ)


def rows_on_scale(levels: Levels, nyquist_hz: float) -> Levels:
    """Resample bins to rows that are evenly spaced on the scale.

    Parameters
    ----------
    levels : ndarray ``[bins, columns]``
        In dB; bins from 0 Hz to the Nyquist frequency, two or more.
    nyquist_hz : float

    Returns
    -------
    ndarray ``[ROWS, columns]``
        The loudest of the bins in a row, so that a narrow partial stays visible in a broad row; an
        interpolation where no bin lies within.
    """
    bins = len(levels)
    edges = np.linspace(0, on_scale(nyquist_hz), ROWS + 1)
    edges = _KNEE_HZ * (2**edges - 1) / nyquist_hz * (bins - 1)  # in bins
    first = np.ceil(edges[:-1]).astype(int).clip(max=bins - 1)
    is_filled = first < np.append(first[1:], bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = centres.astype(int).clip(max=bins - 2)
    weight = (centres - below).astype(np.float32)[:, None]
    between = (1 - weight) * levels[below] + weight * levels[below + 1]
    loudest = np.maximum.reduceat(levels, first, axis=0)
    return np.where(is_filled[:, None], loudest, between)
