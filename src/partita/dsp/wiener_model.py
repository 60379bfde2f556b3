"""The local Gaussian model behind `partita.dsp.wiener`, fast.

A source has a power ``v`` in each bin and frame and a spatial covariance ``R`` in each bin. Sums
are in double precision. Real and imaginary parts are stored separately, as planes, and each call
works on a piece of some frames, whose planes fit the cache. `partita.dsp.wiener_reference` has the
same equations in plain form.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

#: Part of a covariance's trace that is added to its diagonal: far above rounding errors, far below
#: anything audible. It keeps matrices of rank one, from equal channels, invertible.
_RIDGE = 1e-12

#: Complex images of a piece, ``[batch, frames, bins]`` for every source and channel.
Images = Iterable[Sequence[Tensor]]
#: Real and imaginary parts, ``[batch, frames, bins]`` for every channel, in double precision.
#: In-place sums keep them in the cache; derivatives of sums need the factors only, which stay.
Planes = tuple[Sequence[Tensor], Sequence[Tensor]]
#: A Hermitian matrix of C channels as C * C real tensors: the diagonal, then, row by row, real and
#: imaginary part of each entry above it.
Hermitian = Sequence[Tensor]
#: For every source: its covariance, ``[batch, 1, bins]`` each, and its complex entries, C times C.
Spatial = list[tuple[Hermitian, list[list[Tensor]]]]
#: For every source: powers ``[batch, frames, bins]`` of a piece, and its covariance summed over the
#: frames, ``[batch, bins]`` each.
Statistics = list[tuple[Tensor, Hermitian]]


def planes_of(channels: Sequence[Tensor]) -> Planes:
    """Split complex ``[B, n, F]`` into real and imaginary parts."""
    # Contiguous: strided views of complex numbers are read one number at a time.
    return (
        [channel.real.double().contiguous() for channel in channels],
        [channel.imag.double().contiguous() for channel in channels],
    )


def squared(planes: Planes) -> list[Tensor]:
    """Return squared magnitudes."""
    return [re.square().addcmul_(im, im) for re, im in zip(*planes, strict=True)]


def phases(planes: Planes) -> Planes:
    """Do the same as `Tensor.sgn`, which takes twenty times as long."""
    # Zero divided by one stays zero and has a derivative.
    units = [torch.where(square > 0, square, 1.0).rsqrt() for square in squared(planes)]
    real, imaginary = (
        [plane * unit for plane, unit in zip(parts, units, strict=True)] for parts in planes
    )
    return real, imaginary


def statistics_of(images: Images, energy: Tensor) -> Statistics:
    """Return powers and summed covariances of the images of a piece.

    Parameters
    ----------
    images : Images
    energy : Tensor ``[batch, 1, 1]``
        Unit of the powers, so that single precision can hold them.
    """
    statistics: Statistics = []
    for source in images:
        planes = planes_of(source)
        crosses = [part.sum(dim=1) for pair in _cross_products(planes) for part in pair]
        statistics.append(_power_and_covariance(squared(planes), crosses, energy))
    return statistics


def statistics_of_product(factors: Tensor, planes: Planes, energy: Tensor) -> Statistics:
    """Do the same for images that are real factors times the same numbers for all sources.

    Parameters
    ----------
    factors : Tensor ``[batch, sources, channels or 1, frames, bins]``
    planes : Planes
    energy : Tensor ``[batch, 1, 1]``
    """
    squares, crosses = squared(planes), list(_cross_products(planes))
    channels = len(squares)
    statistics: Statistics = []
    for source in factors.expand(-1, -1, channels, -1, -1).unbind(dim=1):  # [B, C, n, F]
        own = [factor.double() for factor in source.unbind(dim=1)]
        sums: list[Tensor] = []
        for (c, d), pair in zip(_above_diagonal(channels), crosses, strict=True):
            both = own[c] * own[d]
            sums += [(both * part).sum(dim=1) for part in pair]
        powers = [factor.square().mul_(square) for factor, square in zip(own, squares, strict=True)]
        statistics.append(_power_and_covariance(powers, sums, energy))
    return statistics


def _cross_products(planes: Planes) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield real and imaginary part of each channel times the conjugate of each later one."""
    re, im = planes
    for c, d in _above_diagonal(len(re)):
        yield (
            (re[c] * re[d]).addcmul_(im[c], im[d]),
            (im[c] * re[d]).addcmul_(re[c], im[d], value=-1),
        )


def _power_and_covariance(
    squares: Sequence[Tensor], crosses: Sequence[Tensor], energy: Tensor
) -> tuple[Tensor, Hermitian]:
    """Return the mean over channels in units of the energy, and the covariance summed over frames.

    The first of `squares` is overwritten.
    """
    diagonal = [square.sum(dim=1) for square in squares]
    power = squares[0]
    for square in squares[1:]:
        power = power.add_(square)
    return power.mul_((len(squares) * energy).reciprocal()), [*diagonal, *crosses]


def fit(
    pieces: Iterable[Statistics], frames: int, floor: Tensor, dtype: torch.dtype
) -> tuple[list[list[Tensor]], Spatial]:
    """Fit the model: store powers, and normalise the covariances of all pieces together.

    Parameters
    ----------
    pieces : iterable of Statistics
    frames : int
        Of all pieces together.
    floor : Tensor ``[batch, 1]``
        Added to the divisors.
    dtype : torch.dtype
        Of the powers.

    Returns
    -------
    powers : list of list of Tensor ``[batch, n, bins]``
        For each piece and source.
    spatial : Spatial
    """
    powers: list[list[Tensor]] = []
    totals: list[Hermitian] = []
    store, start = torch.empty(0), 0
    for piece in pieces:
        own, covariances = [power for power, _ in piece], [matrix for _, matrix in piece]
        stop = start + own[0].shape[1]
        if own[0].requires_grad:
            powers.append([power.to(dtype) for power in own])
        else:
            if not start:
                shape = (len(own), own[0].shape[0], frames, own[0].shape[2])
                store = empty_in_large_pages(shape, dtype, own[0].device)
            powers.append(list(store[:, :, start:stop].unbind()))
            for place, power in zip(powers[-1], own, strict=True):
                place.copy_(power)
        if totals:
            covariances = [_sum(*both) for both in zip(totals, covariances, strict=True)]
        totals = covariances
        start = stop
    return powers, [_normalised(total, floor) for total in totals]


def _sum(one: Hermitian, other: Hermitian) -> Hermitian:
    return [a + b for a, b in zip(one, other, strict=True)]


def _normalised(total: Hermitian, floor: Tensor) -> tuple[Hermitian, list[list[Tensor]]]:
    """Divide a covariance by the summed power (equation 13 of [2] in `partita.dsp.wiener`)."""
    channels = math.isqrt(len(total))
    power = torch.stack(list(total[:channels])).mean(dim=0)  # [B, F]
    matrix = [(part / (power + floor)).unsqueeze(1) for part in total]  # [B, 1, F] each
    return matrix, _entries(matrix, channels)


def spatial_of(covariances: Tensor) -> Spatial:
    """Split complex ``[B, S, C, C, F]``."""
    channels = covariances.shape[2]
    spatial: Spatial = []
    for matrix in covariances.to(torch.complex128).unsqueeze(-2).unbind(dim=1):  # [B, C, C, 1, F]
        parts = [matrix[:, c, c].real for c in range(channels)]
        for c, d in _above_diagonal(channels):
            parts += [matrix[:, c, d].real, matrix[:, c, d].imag]
        parts = [part.contiguous() for part in parts]
        spatial.append((parts, _entries(parts, channels)))
    return spatial


def filtered(
    mixture: Tensor, powers: Sequence[Tensor], spatial: Spatial, noise: Tensor
) -> Iterator[Sequence[Tensor]]:
    """Yield the images ``v_j R_j (Σ v_i R_i + σ² I)⁻¹ x`` of a piece.

    Parameters
    ----------
    mixture : Tensor, complex ``[batch, channels, frames, bins]``
    powers : list of Tensor ``[batch, frames, bins]``
    spatial : Spatial
    noise : Tensor, broadcast to ``[batch, frames, bins]``
    """
    channels = mixture.shape[1]
    solve = {1: _solve_one, 2: _solve_two}.get(channels, _solve_many)
    solution = solve(_weighted_sum(powers, [matrix for matrix, _ in spatial]), mixture, noise)
    # One source at a time, so that the next one reuses memory that is still cached.
    for power, (_, entries) in zip(powers, spatial, strict=True):
        weight = power.to(torch.complex128)
        images = []
        for row in entries:
            image = row[0] * solution[0]
            for entry, unknown in zip(row[1:], solution[1:], strict=True):
                image = image.addcmul_(entry, unknown)
            images.append(image.mul_(weight))
        yield images


def _weighted_sum(powers: Sequence[Tensor], spatial: Sequence[Hermitian]) -> Hermitian:
    """Return ``Σ v_i R_i``, ``[B, n, F]`` each."""
    totals: list[Tensor] = []
    for power, matrix in zip(powers, spatial, strict=True):
        weight = power.double()
        if totals:
            totals = [
                total.addcmul_(weight, part) for total, part in zip(totals, matrix, strict=True)
            ]
        else:
            totals = [weight * part for part in matrix]
    return totals


def _solve_one(total: Hermitian, mixture: Tensor, noise: Tensor) -> Sequence[Tensor]:
    return [mixture[:, 0].to(torch.complex128) / (total[0] + noise)]


def _solve_two(total: Hermitian, mixture: Tensor, noise: Tensor) -> Sequence[Tensor]:
    """Solve in closed form: the adjugate over the determinant."""
    first, second, cross_re, cross_im = total
    ridge = (first + second) * _RIDGE + noise
    first, second = first + ridge, second + ridge
    determinant = first * second - cross_re.square().addcmul_(cross_im, cross_im)
    scale = determinant.reciprocal()
    a, d, re, im = first * scale, second * scale, cross_re * scale, cross_im * scale
    (re0, re1), (im0, im1) = planes_of(mixture.unbind(dim=1))
    return [
        torch.complex(
            (d * re0).addcmul_(re, re1, value=-1).addcmul_(im, im1),
            (d * im0).addcmul_(re, im1, value=-1).addcmul_(im, re1, value=-1),
        ),
        torch.complex(
            (a * re1).addcmul_(re, re0, value=-1).addcmul_(im, im0, value=-1),
            (a * im1).addcmul_(re, im0, value=-1).addcmul_(im, re0),
        ),
    ]


def _solve_many(total: Hermitian, mixture: Tensor, noise: Tensor) -> Sequence[Tensor]:
    channels = mixture.shape[1]
    ridge = sum(total[:channels]) * _RIDGE + noise  # [B, n, F]
    diagonal = [part + ridge for part in total[:channels]]
    rows = _entries([*diagonal, *total[channels:]], channels)
    matrix = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)  # [B, n, F, C, C]
    known = mixture.movedim(1, -1).to(torch.complex128)  # [B, n, F, C]
    solution: Sequence[Tensor] = torch.linalg.solve(matrix, known).unbind(dim=-1)
    return solution


def _entries(matrix: Hermitian, channels: int) -> list[list[Tensor]]:
    """Return complex entries, C times C."""
    rows = [[matrix[c].to(torch.complex128)] * channels for c in range(channels)]
    above = iter(matrix[channels:])
    for (c, d), real, imaginary in zip(_above_diagonal(channels), above, above, strict=False):
        rows[c][d] = torch.complex(real, imaginary)
        rows[d][c] = torch.complex(real, -imaginary)
    return rows


def _above_diagonal(channels: int) -> Iterator[tuple[int, int]]:
    return itertools.combinations(range(channels), 2)


def empty_in_large_pages(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Do the same as `torch.empty`, in the large pages of memory that NumPy asks Linux for.

    The system clears pages when they are first written to, which takes long for small ones.
    """
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    size = math.prod(shape) * dtype.itemsize
    return torch.from_numpy(np.empty(size, dtype=np.uint8)).view(dtype).view(shape)
