"""How certain a separation is which stem a sound belongs to, second by second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from partita.dsp.blocks import BlockBuffer
from partita.errors import ScoresError, UsageError
from partita.evaluation.blind import clipped_samples

Array = npt.NDArray[np.float64]

#: Name of what no stem has: the mixture minus the sum of the stems.
REST = "rest"
_FRAME_S = 0.06  # at least: 4096 samples at 44.1 kHz
_FRAMES_AT_ONCE = 16  # fits caches


@dataclass(frozen=True, eq=False)
class Shares:
    """How stems share a mixture, in windows of one second.

    Attributes
    ----------
    stems : tuple of str
    mixture : ndarray ``[windows]``
        Energy of the mixture.
    power : ndarray ``[windows, stems + 1]``
        Energy of each stem, and of the mixture minus their sum.
    shared : ndarray ``[windows, stems + 1, stems + 1]``
        Energy of the mixture in time-frequency bins, times the ratio masks of two parts.
    clipped : ndarray ``[windows]``
        Samples of the mixture in flat tops at full scale, all channels.
    """

    stems: tuple[str, ...]
    mixture: Array
    power: Array
    shared: Array
    clipped: Array

    @property
    def windows(self) -> int:
        """How many seconds there are, the last one counted whole."""
        return len(self.mixture)

    def implied_sdr_db(self) -> Array:
        """Return the SDR of each stem that the estimates imply, see `QualityMeter`: ``[stems]``.

        In dB; NaN where a stem is silent, ``inf`` where it shares no bin.
        """
        return _implied_db(self.shared.sum(axis=0))

    def implied_by_second_db(self) -> Array:
        """Return the same of each window: ``[windows, stems]``."""
        return _implied_db(self.shared)

    def level_db(self) -> Array:
        """Return the energy of each stem over the mixture's, in dB: ``[stems]``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            level: Array = 10 * np.log10(self.power.sum(axis=0) / self.mixture.sum())
        return level[:-1]


def _implied_db(shared: Array) -> Array:
    own = np.diagonal(shared, axis1=-2, axis2=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = 10 * np.log10(own / (shared.sum(axis=-1) - own).clip(min=0))
    return ratio[..., :-1]


class QualityMeter:
    """Measures how stems share a mixture, block by block; memory grows by a few bytes a second.

    In each bin of a spectrogram, a part (a stem, or the mixture minus the sum of all stems) has a
    ratio mask ``m``: its power over that of all parts. If parts were independent Gaussian signals
    with these powers, the best estimate of a part would be ``m`` times the mixture ``x``, and its
    expected error energy ``m (1 - m) |x|²`` (Wiener's posterior variance; Liutkus, Badeau &
    Richard, "Gaussian processes for underdetermined source separation", IEEE TSP 2011). So the
    estimates imply a signal-to-distortion ratio: the sum of ``m² |x|²`` over that of
    ``m (1 - m) |x|²``. A separator that shares bins out evenly implies a low one; one that is sure
    of the wrong stem implies a high one, which is why it has to be calibrated.

    Parameters
    ----------
    stems : sequence of str
    sample_rate : int
        In Hz.

    Notes
    -----
    Frames are Hann windows side by side, of 60 to 120 ms (93 ms at 44.1 kHz), all channels
    together. Frames of a quarter and of four times that length, masks of magnitudes, and masks of
    squared powers predict the true SDR as well: docs/research/blind_quality.md.
    """

    def __init__(self, stems: Sequence[str], sample_rate: int) -> None:
        if not stems:
            raise UsageError("no stems to examine")
        self._stems = tuple(stems)
        self._rate = sample_rate
        self._frame = 1 << math.ceil(math.log2(_FRAME_S * sample_rate))
        self._window = torch.hann_window(self._frame)
        self._buffer = BlockBuffer()
        self._values: list[Array] = []  # [frames, values] each

    def add(self, mixture: Tensor, stems: Tensor) -> None:
        """Add a block.

        Parameters
        ----------
        mixture : Tensor ``[channels, samples]``
        stems : Tensor ``[stems, channels, samples]``

        Raises
        ------
        UsageError
            Shapes that do not fit.
        ScoresError
            NaN or infinite samples.
        """
        if stems.shape != (len(self._stems), *mixture.shape):
            shapes = f"{list(stems.shape)} and {list(mixture.shape)}"
            raise UsageError(f"stems and mixture do not fit together: {shapes}")
        block = torch.cat([mixture[None], stems]).float().cpu()
        for name, signal in zip(("mixture", *self._stems), block, strict=True):
            # A sum is NaN or infinite as soon as one of its terms is.
            if not math.isfinite(float(signal.sum(dtype=torch.float64))):
                raise ScoresError(f"{name} holds NaN or infinite samples")
        self._buffer.append(block)
        step = _FRAMES_AT_ONCE * self._frame
        while self._buffer.end - self._buffer.start >= step:
            self._measure(self._buffer.take(step))

    def finish(self) -> Shares:
        """Return what was measured; silence fills the last frame up.

        Raises
        ------
        UsageError
            There were no samples.
        """
        left = self._buffer.end - self._buffer.start
        if left:
            short = -left % self._frame
            # In the middle of its frame, at whose ends the window is 0.
            padding = (short // 2, short - short // 2) if left < self._frame else (0, short)
            self._measure(functional.pad(self._buffer.take(left), padding))
        if not self._values:
            raise UsageError("no samples to examine")
        values = np.concatenate(self._values)
        centres = (np.arange(len(values)) + 0.5) * self._frame
        last = (self._buffer.end - 1) // self._rate
        windows = np.minimum(centres // self._rate, last).astype(int)
        first = np.searchsorted(windows, np.arange(windows[-1] + 1))
        sums: Array = np.add.reduceat(values, first, axis=0)
        parts = len(self._stems) + 1
        mixture, clipped, power, shared = np.split(sums, [1, 2, 2 + parts], axis=1)
        return Shares(
            self._stems, mixture[:, 0], power, shared.reshape(-1, parts, parts), clipped[:, 0]
        )

    def _measure(self, excerpt: Tensor) -> None:
        """Add whole frames ``[1 + stems, channels, samples]``."""
        frames = excerpt.unfold(-1, self._frame, self._frame)  # [1 + stems, C, N, samples]
        spectra = torch.fft.rfft(frames * self._window)  # [1 + stems, C, N, F]
        mixture, stems = spectra[0], spectra[1:]
        parts = torch.cat([stems, (mixture - stems.sum(dim=0))[None]])
        power = torch.view_as_real(parts).square().sum(dim=(1, 4))  # [parts, N, F]
        whole = torch.view_as_real(mixture).square().sum(dim=(0, 3))  # [N, F]
        total = power.sum(dim=0)
        masks = power / torch.where(total > 0, total, 1)
        shared = torch.einsum("pnf,qnf->npq", masks * whole, masks)
        clipped = clipped_samples(excerpt[0]).reshape(len(mixture), -1, self._frame).sum(dim=(0, 2))
        values = [whole.sum(dim=-1)[:, None], clipped[:, None], power.sum(dim=-1).T]
        self._values.append(torch.cat([*values, shared.flatten(1)], dim=1).double().numpy())
