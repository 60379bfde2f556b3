"""Audio fingerprints: which tracks are the same recording.

The bits are those of Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR
2002: for every frame, whether the difference of the energies of neighbouring frequency bands
grows or falls. They survive lossy codecs and changes of level. Differences from the paper: frames
that are all but silent say nothing instead of giving arbitrary bits; and as the question is
whether two tracks are the same from their beginning on, not where in a song an excerpt comes
from, blocks at fixed times are compared at all offsets up to a second instead of being looked up
in an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from partita.audio.conversion import convert_blocks

_RATE = 5500  # hertz
_FRAME_SAMPLES, _HOP_SAMPLES = 2048, 64  # 0.37 s and 11.6 ms, as in the paper
_BANDS, _LOWEST_HZ, _HIGHEST_HZ = 33, 300.0, 2000.0
_BITS = _BANDS - 1
_SILENCE = 1e-6  # of the loudest frame's energy: -60 dB
_BLOCK_FRAMES = 256  # 3 s, as in the paper
_BLOCKS, _BLOCK_EVERY_FRAMES = 6, 860  # one every 10 s
_MAX_OFFSET_FRAMES = 90  # a little over a second
#: A comparison rests on this many frames at least (1.5 s).
_MIN_FRAMES = 128
#: Above this fraction of different bits, two recordings are different; unrelated ones have 0.5.
MAX_BIT_ERROR_RATE = 0.35
#: How much of the beginning of a track goes into its fingerprint, in seconds.
FINGERPRINT_S = 61.0


@dataclass(frozen=True)
class Duplicate:
    """Two tracks that are the same recording.

    Attributes
    ----------
    first, second : int
        Their positions in the sequence that was compared, ``first < second``.
    bit_error_rate : float
        Share of different bits, 0 to 0.35.
    """

    first: int
    second: int
    bit_error_rate: float


def fingerprint(samples: npt.NDArray[np.float32], sample_rate: int) -> Tensor:
    """Return the fingerprint of the beginning of a recording.

    Parameters
    ----------
    samples : ndarray ``[samples]``
        Mono; the first `FINGERPRINT_S` seconds are used.
    sample_rate : int
        In hertz.

    Returns
    -------
    Tensor ``[frames, 32]``
        int8: 1 and -1, and 0 in frames that are silent.
    """
    beginning = samples[: round(FINGERPRINT_S * sample_rate)]
    blocks = list(convert_blocks([beginning[None]], sample_rate, _RATE))
    mono = torch.from_numpy(np.concatenate(blocks, axis=1)[0])
    mono = pad(mono, (0, max(0, _FRAME_SAMPLES - len(mono))))
    energies = _band_energies(mono)  # [bands, frames]
    differences = energies[:-1] - energies[1:]  # [32, frames]
    grows = differences[:, 1:] > differences[:, :-1]
    loudness = energies.sum(dim=0)
    audible = loudness > max(_SILENCE * float(loudness.max()), torch.finfo(torch.float32).tiny)
    bits = torch.where(grows, 1, -1).to(torch.int8) * (audible[1:] & audible[:-1])
    return bits.T.contiguous()  # [32, frames] -> [frames, 32]


def find_duplicates(fingerprints: Sequence[Tensor]) -> list[Duplicate]:
    """Compare all pairs of fingerprints.

    Recordings count as the same where, at some offset of up to a second, at most 35 % of their
    bits differ (the paper's threshold). The same recording after lossy coding has 2 to 20 %.

    Parameters
    ----------
    fingerprints : sequence of Tensor ``[frames, 32]``
        As `fingerprint` returns them.
    """
    if not fingerprints:
        return []
    at_zero = torch.stack([_windows(bits, [0])[0] for bits in fingerprints])  # [tracks, K*B, 32]
    offsets = range(-_MAX_OFFSET_FRAMES, _MAX_OFFSET_FRAMES + 1)
    found = []
    for second in range(1, len(fingerprints)):
        shifted = _windows(fingerprints[second], offsets)  # [offsets, K*B, 32]
        rates = _bit_error_rates(at_zero[:second], shifted)  # [second, offsets]
        for first, rate in enumerate(rates.amin(dim=1).tolist()):
            if rate <= MAX_BIT_ERROR_RATE:
                found.append(Duplicate(first, second, rate))
    return found


def _band_energies(mono: Tensor) -> Tensor:
    """Return energies ``[bands, frames]`` of ``[samples]``, bands equally wide in octaves."""
    window = torch.hann_window(_FRAME_SAMPLES)
    spectrum = torch.stft(
        mono, _FRAME_SAMPLES, _HOP_SAMPLES, window=window, center=False, return_complex=True
    )
    power = torch.view_as_real(spectrum).square().sum(dim=-1)  # [bins, frames]
    edges_hz = torch.logspace(
        np.log10(_LOWEST_HZ), np.log10(_HIGHEST_HZ), _BANDS + 1, dtype=torch.float64
    )
    edges = (edges_hz / _RATE * _FRAME_SAMPLES).round().long().tolist()
    bands = [power[low:high].sum(dim=0) for low, high in pairwise(edges)]
    return torch.stack(bands)


def _windows(bits: Tensor, offsets: Sequence[int]) -> Tensor:
    """Return the blocks of a fingerprint at several offsets: ``[offsets, blocks * frames, 32]``."""
    last = (_BLOCKS - 1) * _BLOCK_EVERY_FRAMES + _BLOCK_FRAMES + _MAX_OFFSET_FRAMES
    padded = pad(bits, (0, 0, _MAX_OFFSET_FRAMES, max(0, last - len(bits))))
    starts = torch.arange(_BLOCKS) * _BLOCK_EVERY_FRAMES + _MAX_OFFSET_FRAMES
    frames = (starts[:, None] + torch.arange(_BLOCK_FRAMES)).flatten()  # [blocks * frames]
    return padded[torch.tensor(list(offsets))[:, None] + frames]


def _bit_error_rates(ours: Tensor, theirs: Tensor) -> Tensor:
    """Compare ``[tracks, frames, 32]`` with ``[offsets, frames, 32]``: ``[tracks, offsets]``.

    Bits are ±1, so a product of matrices counts equal minus different ones. Where too few frames
    say something in both, the rate is 1.
    """
    balance = ours.flatten(1).float() @ theirs.flatten(1).float().T
    common = ours[..., 0].abs().float() @ theirs[..., 0].abs().float().T  # frames
    rates = 0.5 - 0.5 * balance / (_BITS * common).clamp(min=1.0)
    return torch.where(common >= _MIN_FRAMES, rates, 1.0)
