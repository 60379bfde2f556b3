"""Streams of one sample rate and channel count brought to another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soxr

from partita.audio.channels import fit_channels

Samples = npt.NDArray[np.float32]
_LATENCY_SAMPLES = 1200  # of soxr's high quality, at the lower rate; 840 to 1080 were measured


def conversion_latency_s(from_rate: int, to_rate: int) -> float:
    """Return how far, in seconds, a converted stream is behind the stream, at most."""
    return 0.0 if from_rate == to_rate else _LATENCY_SAMPLES / min(from_rate, to_rate)


class Conversion:
    """A stream on its way to another sample rate and channel count.

    The result does not depend on how the stream is cut into blocks. Rates are converted by soxr, in
    high quality.

    Parameters
    ----------
    from_rate, to_rate : float
        In hertz.
    channels : int, optional
        As for `partita.audio.channels.fit_channels`; as many as there are by default.
    """

    def __init__(self, from_rate: float, to_rate: float, channels: int | None = None) -> None:
        self._from_rate, self._to_rate, self._channels = from_rate, to_rate, channels
        # One for each channel: they take and give planar samples, with the same result.
        self._resamplers: list[soxr.ResampleStream] = []
        self._read = self._written = 0

    def push(self, block: Samples, last: bool = False) -> Samples:
        """Return what a further block completes.

        Parameters
        ----------
        block : ndarray ``[..., channels, samples]``
        last : bool
            The stream ends with this block, which may be empty.

        Returns
        -------
        ndarray ``[..., channels, samples]``
            Of ``n`` samples in all, ``round(n * to_rate / from_rate)``, but at least one.
        """
        if self._channels is not None:
            block = fit_channels(block, self._channels)
        if self._from_rate == self._to_rate:
            return block
        rows = block.reshape(math.prod(block.shape[:-1]), block.shape[-1])
        if not self._resamplers:
            self._resamplers = [
                soxr.ResampleStream(
                    self._from_rate, self._to_rate, 1, dtype="float32", quality="HQ"
                )
                for _ in rows
            ]
        found = self._resampled(rows) if rows.shape[1] else rows
        self._read += rows.shape[1]
        self._written += found.shape[1]
        if last:
            found = np.concatenate([found, self._rest()], axis=1)
        return found.reshape(*block.shape[:-1], found.shape[1])

    def _resampled(self, rows: Samples, last: bool = False) -> Samples:
        """Return what some samples of all channels ``[rows, samples]`` complete."""
        pairs = zip(self._resamplers, rows, strict=True)
        return np.stack(
            [resampler.resample_chunk(np.ascontiguousarray(row), last) for resampler, row in pairs]
        )

    def _rest(self) -> Samples:
        """Return ``[rows, samples]``: what the resamplers still hold, in the number wanted."""
        rows = len(self._resamplers)
        rest = self._resampled(np.zeros((rows, 0), np.float32), last=True)
        wanted = max(1, round(self._read * self._to_rate / self._from_rate)) if self._read else 0
        tail = np.zeros((rows, max(0, wanted - self._written)), np.float32)
        tail[:, : rest.shape[1]] = rest[:, : tail.shape[1]]
        return tail


def convert_blocks(
    blocks: Iterable[Samples], from_rate: int, to_rate: int, channels: int | None = None
) -> Iterator[Samples]:
    """Bring a stream to another sample rate and channel count.

    Parameters
    ----------
    blocks : iterable of ndarray ``[..., channels, samples]``
        In blocks of any length.
    from_rate, to_rate, channels
        As for `Conversion`.

    Yields
    ------
    ndarray ``[..., channels, samples]``
    """
    conversion, block = Conversion(from_rate, to_rate, channels), None
    for block in blocks:
        converted = conversion.push(block)
        if converted.shape[-1]:
            yield converted
    if block is not None and (rest := conversion.push(block[..., :0], last=True)).shape[-1]:
        yield rest
