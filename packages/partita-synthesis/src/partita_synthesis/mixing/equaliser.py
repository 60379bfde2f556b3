"""Linear filters: bands of an equaliser, and long convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Kind = Literal["highpass", "lowpass", "peak", "low_shelf", "high_shelf"]

_TAPS_S = 0.03  # what rings longer than that is below -40 dB of even the lowest high-pass
# Sizes of transforms in taps, as measured; multiples of 32 are much faster than others.
_SHORT_FACTOR, _LONG_FACTOR, _LONG_TAPS, _GRAIN = 6, 3, 20000, 32
_CHUNK_SAMPLES = 1 << 17  # so many stay in the processor's cache,
_FEWEST_ROWS = 4  # and so many are transformed in one go by its wide instructions
_HIGHEST = 0.45  # of the sample rate: what lies above is left out


@dataclass(frozen=True)
class Band:
    """A second-order filter.

    Attributes
    ----------
    kind : str
        ``highpass``, ``lowpass``, ``peak``, ``low_shelf`` or ``high_shelf``.
    frequency_hz : float
    gain_db : float
        Of peaks and shelves.
    q : float
    """

    kind: Kind
    frequency_hz: float
    gain_db: float = 0.0
    q: float = 0.7071


def sections(bands: Sequence[Band], sample_rate: int) -> npt.NDArray[np.float64]:
    """Return bands as second-order sections ``[bands, 6]`` for scipy.

    Those that the sample rate has no room for are left out.
    """
    fitting = [band for band in bands if band.frequency_hz < _HIGHEST * sample_rate]
    return np.array([_section(band, sample_rate) for band in fitting]).reshape(-1, 6)


def _section(band: Band, sample_rate: int) -> list[float]:
    """Digitise a band by the bilinear transform, as Bristow-Johnson's cookbook has it."""
    omega = 2 * math.pi * band.frequency_hz / sample_rate
    cos, alpha = math.cos(omega), math.sin(omega) / (2 * band.q)
    root = 10 ** (band.gain_db / 40)
    if band.kind == "peak":
        b = [1 + alpha * root, -2 * cos, 1 - alpha * root]
        a = [1 + alpha / root, -2 * cos, 1 - alpha / root]
    elif band.kind in ("highpass", "lowpass"):
        sign = 1 if band.kind == "highpass" else -1
        edge = (1 + sign * cos) / 2
        b = [edge, -sign * 2 * edge, edge]
        a = [1 + alpha, -2 * cos, 1 - alpha]
    else:
        cos *= 1 if band.kind == "low_shelf" else -1
        more, less, slope = root + 1, root - 1, 2 * math.sqrt(root) * alpha
        turn = 1 if band.kind == "low_shelf" else -1
        b = [
            root * (more - less * cos + slope),
            turn * 2 * root * (less - more * cos),
            root * (more - less * cos - slope),
        ]
        a = [more + less * cos + slope, turn * -2 * (less + more * cos), more + less * cos - slope]
    return [value / a[0] for value in (*b, *a)]


def equalise(samples: Samples, bands: Sequence[Band], sample_rate: int) -> Samples:
    """Filter with all bands at once.

    Their joint impulse response, cut where it has died away, is convolved with the samples: that
    takes as long for six bands as for one.

    Parameters
    ----------
    samples : ndarray ``[channels, samples]``
    bands : sequence of Band
    sample_rate : int

    Returns
    -------
    ndarray ``[channels, samples]``
    """
    from scipy.signal import sosfilt

    impulse = np.zeros(round(_TAPS_S * sample_rate))
    impulse[0] = 1
    taps = sosfilt(sections(bands, sample_rate), impulse) if bands else impulse
    fade = len(taps) // 4
    taps[-fade:] *= np.linspace(1, 0, fade)
    out = np.empty_like(samples)
    for row, filtered in zip(samples, out, strict=True):
        filtered[:] = convolve(row, taps[None])[0]
    return out


def convolve(samples: Samples, taps: npt.ArrayLike) -> Samples:
    """Convolve one signal with some impulse responses, in blocks; silent ones cost nothing.

    Parameters
    ----------
    samples : ndarray ``[samples]``
    taps : array_like ``[responses, taps]``

    Returns
    -------
    ndarray ``[responses, samples]``
        What rings on after the end is cut off.
    """
    from scipy import fft

    count = samples.shape[-1]
    responses = np.asarray(taps, np.float32)[:, : max(1, count)]
    length = responses.shape[1]
    wanted = length * (_SHORT_FACTOR if length < _LONG_TAPS else _LONG_FACTOR)
    size = _GRAIN * fft.next_fast_len(-(-min(wanted, count + length) // _GRAIN), real=True)
    step = size - length + 1
    out = np.zeros((len(responses), count + size), np.float32)
    filters = fft.rfft(responses, size, axis=1)
    rows = max(_FEWEST_ROWS, _CHUNK_SAMPLES // size)
    for begin in range(0, count, rows * step):
        chunk = samples[begin : begin + rows * step]
        if not chunk.any():
            continue
        blocks = -(-len(chunk) // step)
        padded = np.zeros(blocks * step, np.float32)
        padded[: len(chunk)] = chunk
        spectra = fft.rfft(padded.reshape(blocks, step), size, axis=1)  # [blocks, bins]
        for row, response in zip(out, filters, strict=True):
            pieces = fft.irfft(spectra * response, size, axis=1)
            for index, piece in enumerate(pieces):
                start = begin + index * step
                row[start : start + size] += piece
    return out[:, :count]
