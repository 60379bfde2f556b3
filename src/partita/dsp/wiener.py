"""The multichannel Wiener filter, and EM iterations that estimate its parameters.

`partita.dsp.wiener_model` has the sums, `partita.dsp.wiener_reference` the same in plain form.

References
----------
.. [1] Duong, Vincent & Gribonval, "Under-determined reverberant audio source separation using a
   full-rank spatial covariance model", IEEE Transactions on Audio, Speech, and Language Processing
   18.7 (2010).
.. [2] Nugraha, Liutkus & Vincent, "Multichannel audio source separation with deep neural networks",
   IEEE/ACM Transactions on Audio, Speech, and Language Processing 24.9 (2016).
.. [3] Liutkus & Badeau, "Generalized Wiener filtering with fractional power spectrograms", ICASSP
   2015.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from partita.dsp.wiener_model import (
    Images,
    Statistics,
    empty_in_large_pages,
    filtered,
    fit,
    phases,
    planes_of,
    spatial_of,
    squared,
    statistics_of,
    statistics_of_product,
)

#: Default of what is added to divisors: the smallest step of float64.
_EPS = torch.finfo(torch.float64).eps
#: Numbers in one channel of one source of a piece. Just below the 32768 from which torch uses more
#: threads: if other cores are busy, waiting for them costs more than they save.
_PLANE = 30_000
_MIN_FRAMES = 4  # of a piece: with fewer, calls cost more than sums


def wiener(
    magnitudes: Tensor,
    mixture: Tensor,
    *,
    iterations: int = 1,
    softmask: bool = False,
    residual: bool = False,
    scale_factor: float = 10.0,
    eps: float = _EPS,
) -> Tensor:
    """Separate a mixture by the magnitudes of its sources.

    Parameters
    ----------
    magnitudes : Tensor ``[batch, sources, channels, bins, frames]``
        Not negative; one channel stands for all.
    mixture : Tensor, complex ``[batch, channels, bins, frames]``
    iterations : int
        Of `expectation_maximisation`; 0: return its starting point.
    softmask : bool
        Start from the mixture times ratio masks of the magnitudes (equation 6 of [3]_, with α = 1)
        instead of from the magnitudes with the mixture's phases. For inaccurate magnitudes.
    residual : bool
        Add a last source: the mixture's magnitudes minus the sum of the other sources' ones, which
        are fitted to the mixture in each bin and channel.
    scale_factor : float
        Mixtures with a larger peak magnitude are iterated in a unit in which the peak has this
        value.
    eps : float
        Added to divisors.

    Returns
    -------
    Tensor, complex ``[batch, sources (+ 1), channels, bins, frames]``
        Images of the sources. None of the inputs is changed.

    Notes
    -----
    The numbers are those of ``norbert.wiener`` 0.2.1, with ``norbert.contrib.residual_model`` for
    `residual`. Departures from it:

    - `eps` is scaled instead of the mixture, and inputs are never changed, where norbert divides a
      loud mixture in place.
    - Where the mixture is zero, images start from zero; norbert's start from phase zero.
    - `eps` is that of float64 also for mixtures in single precision, because sums are in double
      precision. norbert's, for single precision, removes what is 55 dB below the peak.
    - Every mixture of a batch has its own scale.
    """
    if residual:
        magnitudes = _with_residual(magnitudes, mixture.abs(), eps)
    if softmask:
        magnitudes = magnitudes / (eps + magnitudes.sum(dim=1, keepdim=True))
    if not iterations:
        factor = mixture if softmask else mixture.sgn()
        return (magnitudes * factor.unsqueeze(1)).to(mixture.dtype)
    # Transposed: in memory frames come before bins.
    mixtures = torch.split(mixture.mT, _frames_at_once(mixture), dim=-2)  # [B, C, n, F] each
    pieces = torch.split(magnitudes.mT, _frames_at_once(mixture), dim=-2)  # [B, S, C, n, F] each
    energy = (_peak_energy(mixtures) / scale_factor**2).clamp(min=1.0)
    start = (
        statistics_of_product(piece, planes if softmask else phases(planes), energy)
        for piece, planes in zip(
            pieces, (planes_of(mixed.unbind(dim=1)) for mixed in mixtures), strict=True
        )
    )
    shape = (*magnitudes.shape[:2], *mixture.shape[1:])
    return _joined(_iterated(start, mixtures, iterations, eps, energy), shape, mixture.dtype)


def expectation_maximisation(
    images: Tensor,
    mixture: Tensor,
    *,
    iterations: int = 1,
    eps: float = _EPS,
    unit: Tensor | None = None,
) -> Tensor:
    """Refine images of sources by the powers and spatial covariances of their mixture.

    An iteration estimates the power spectral density of each source (equation 12 of [2]_, the mean
    of its image's power over channels) and its spatial covariance matrix (equation 13, the mean
    over frames of its image's covariances, weighted with the powers), then filters the mixture with
    them; see `multichannel_wiener`.

    Parameters
    ----------
    images : Tensor, complex ``[batch, sources, channels, bins, frames]``
        The starting point.
    mixture : Tensor, complex ``[batch, channels, bins, frames]``
    iterations : int
    eps : float
        Added to the divisor of spatial covariances; its square root is the power of white noise
        that the filter assumes. In units of squared magnitude.
    unit : Tensor ``[batch]``, optional
        The magnitude that counts as 1 for `eps`, about a tenth of the peak; 1 by default.

    Returns
    -------
    Tensor, complex ``[batch, sources, channels, bins, frames]``
        In the images' precision. But for the noise, they add up to the mixture.

    Notes
    -----
    Departure from EM as in [1]_: the covariance of an image is that of its last estimate, without
    that of the estimation error, as in norbert; so the likelihood may fall.
    """
    if not iterations:
        return images.clone()
    energy = mixture.real.new_ones(1) if unit is None else unit
    energy = energy.double().square()[:, None, None]  # [B, 1, 1]
    # Transposed: in memory frames come before bins.
    mixtures = torch.split(mixture.mT, _frames_at_once(mixture), dim=-2)  # [B, C, n, F] each
    pieces = torch.split(images.mT, _frames_at_once(mixture), dim=-2)  # [B, S, C, n, F] each
    sources = ([source.unbind(dim=1) for source in piece.unbind(dim=1)] for piece in pieces)
    start = (statistics_of(piece, energy) for piece in sources)
    return _joined(_iterated(start, mixtures, iterations, eps, energy), images.shape, images.dtype)


def multichannel_wiener(mixture: Tensor, powers: Tensor, spatial: Tensor, noise: Tensor) -> Tensor:
    r"""Filter a mixture with given powers and spatial covariances of its sources.

    Equation 14 of [1]_: :math:`v_j R_j (\sum_i v_i R_i + σ² I)^{-1} x`.

    Parameters
    ----------
    mixture : Tensor, complex ``[batch, channels, bins, frames]``
    powers : Tensor ``[batch, sources, bins, frames]``
    spatial : Tensor, complex ``[batch, sources, channels, channels, bins]``
    noise : Tensor, broadcast to ``[batch, 1, bins, frames]``
        The power σ² of white noise in the mixture.

    Returns
    -------
    Tensor, complex ``[batch, sources, channels, bins, frames]``
        In the mixture's precision; sums are in double precision.
    """
    batch, channels, bins, frames = mixture.shape
    matrices = spatial_of(spatial)
    spread = noise.double().expand(batch, 1, bins, frames)[:, 0]  # [B, F, N]
    split = [
        torch.split(numbers.mT, _frames_at_once(mixture), dim=-2)
        for numbers in (mixture, powers, spread)
    ]
    pieces = (
        filtered(numbers, power.unbind(dim=1), matrices, floor)
        for numbers, power, floor in zip(*split, strict=True)
    )
    shape = (batch, powers.shape[1], channels, bins, frames)
    return _joined(pieces, shape, mixture.dtype)


def _with_residual(magnitudes: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """Return ``[B, S + 1, C, F, N]``: fitted magnitudes and the residual of ``[B, C, F, N]``."""
    mixture = mixture.clamp(min=eps)
    total = magnitudes.sum(dim=1)  # [B, C, F, N]
    gain = (mixture * total).sum(dim=-1) / (eps + total.square().sum(dim=-1))  # [B, C, F]
    residual = (mixture - total).clamp(min=0)
    return torch.cat([magnitudes * gain[:, None, ..., None], residual.unsqueeze(1)], dim=1)


def _peak_energy(mixtures: Sequence[Tensor]) -> Tensor:
    """Return the peak of squared magnitudes of pieces ``[B, C, n, F]``, ``[B, 1, 1]``."""
    energies = (
        square for mixture in mixtures for square in squared(planes_of(mixture.unbind(dim=1)))
    )
    peaks = torch.stack([square.amax(dim=(1, 2)) for square in energies])  # [pieces * C, B]
    return peaks.amax(dim=0)[:, None, None]


def _frames_at_once(mixture: Tensor) -> int:
    batch, _, bins, _ = mixture.shape
    return max(_MIN_FRAMES, _PLANE // (batch * bins))


def _iterated(
    statistics: Iterator[Statistics],
    mixtures: Sequence[Tensor],
    iterations: int,
    eps: float,
    energy: Tensor,
) -> Iterator[Images]:
    """Run EM; only powers and covariances are stored between iterations.

    Powers are in units of the energy ``[B, 1, 1]``.
    """
    noise = torch.full_like(energy, eps**0.5)
    frames, dtype = sum(piece.shape[2] for piece in mixtures), mixtures[0].real.dtype
    for _ in range(iterations):
        powers, spatial = fit(statistics, frames, eps * energy[:, 0], dtype)
        pieces = map(filtered, mixtures, powers, itertools.repeat(spatial), itertools.repeat(noise))
        statistics = (statistics_of(images, energy) for images in pieces)
    return pieces


def _joined(pieces: Iterable[Images], shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Concatenate pieces to a complex ``[B, S, C, F, N]``."""
    batch, sources, channels, bins, frames = shape
    with_gradients: list[Tensor] = []
    joined, start, size = torch.empty(0), 0, 0
    for images in pieces:
        each: list[Tensor] = []
        for source, row in enumerate(images):
            size = row[0].shape[1]
            if row[0].requires_grad:
                each.append(torch.stack(list(row), dim=1))  # [B, C, n, F]
                continue
            if not start and not source:
                size_of_all = (batch, sources, channels, frames, bins)
                joined = empty_in_large_pages(size_of_all, dtype, row[0].device)
            for channel, image in enumerate(row):
                joined[:, source, channel, start : start + size] = image
        if each:
            with_gradients.append(torch.stack(each, dim=1).to(dtype))
        start += size
    return (torch.cat(with_gradients, dim=-2) if with_gradients else joined).mT
