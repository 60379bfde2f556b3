"""Integrated loudness after ITU-R BS.1770, from the powers of short steps.

The weighting is done on the spectrum of each 100 ms, which is several times as fast as filtering
and within 0.05 dB of it; gains that change in time can be tried without touching the samples.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from partita_synthesis.mixing.equaliser import Band, sections
from partita_synthesis.mixing.gains import Clock, Curve

Samples = npt.NDArray[np.float32]

_STEP_S, _STEPS = 0.1, 4  # blocks of 0.4 s that overlap by three quarters
_ABSOLUTE_GATE_LUFS, _RELATIVE_GATE_LU = -70.0, -10.0
_OFFSET_DB = -0.691
#: The standard's filters, at any sample rate.
WEIGHTING = (Band("high_shelf", 1681.97, 4.0, 0.7072), Band("highpass", 38.135, q=0.5003))


def step_powers(samples: Samples, sample_rate: int) -> Curve:
    """Return the weighted power of every 100 ms, summed over channels: ``[steps]``.

    A rest shorter than that is left out, unless there is nothing else.
    """
    from scipy import fft
    from scipy.signal import freqz_sos

    step = min(round(_STEP_S * sample_rate), samples.shape[1])
    steps = samples.shape[1] // step
    _, response = freqz_sos(
        sections(WEIGHTING, sample_rate), fft.rfftfreq(step, 1 / sample_rate), fs=sample_rate
    )
    weights = np.abs(response) ** 2 * (2 / step**2)
    weights[0] /= 2
    powers = np.zeros(steps)
    for row in samples:
        spectra = fft.rfft(row[: steps * step].reshape(steps, step), axis=1)
        powers += (spectra.real**2 + spectra.imag**2) @ weights.astype(np.float32)
    return powers


def integrated_lufs(powers: Curve) -> float:
    """Return the gated loudness of steps of 100 ms; −inf of silence.

    What is shorter than a block of 0.4 s counts as one block.
    """
    width = min(_STEPS, len(powers))
    blocks = np.convolve(powers, np.full(width, 1 / width), "valid")
    loud = blocks[_lufs(blocks) > _ABSOLUTE_GATE_LUFS]
    if not len(loud):
        return -math.inf
    loud = loud[_lufs(loud) > float(_lufs(loud.mean())) + _RELATIVE_GATE_LU]
    return float(_lufs(loud.mean()))


def gained(powers: Curve, block_powers: Curve, gain_db: Curve, clock: Clock) -> Curve:
    """Return the steps' powers after a gain that changes from block to block.

    Parameters
    ----------
    powers : ndarray ``[steps]``
    block_powers, gain_db : ndarray ``[blocks]``
        Unweighted, of the same signal; where in a step its energy lies.
    clock : Clock
    """
    length = _STEP_S * clock.rate
    edges = np.minimum(np.arange(len(powers) + 1) * length, len(block_powers))
    places = np.arange(len(block_powers) + 1)
    before, after = (
        np.diff(np.interp(edges, places, np.append(0, np.cumsum(curve))))
        for curve in (block_powers, block_powers * 10 ** (gain_db / 10))
    )
    heard = before > 0
    factors = np.divide(after, before, out=np.zeros_like(after), where=heard)
    return np.asarray(powers * factors)


def _lufs(powers: npt.ArrayLike) -> Curve:
    return np.asarray(_OFFSET_DB + 10 * np.log10(np.maximum(powers, 1e-20)))
