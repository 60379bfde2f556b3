"""The local Gaussian model behind `partita.dsp.wiener`, fast.

A source has a power ``v`` in each bin and frame and a spatial covariance ``R`` in each bin. Sums
are in double precision. Real and imaginary parts are stored separately, as planes, and each call
works on a tile of some frames and bins, whose planes fit the cache. `partita.dsp.wiener_reference`
has the same equations in plain form.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

#: Part of a covariance's trace that is added to its diagonal: far above rounding errors, far below
#: anything audible. It keeps matrices of rank one, from equal channels, invertible.
_RIDGE = 1e-12
_TINY = 1e-300  # divisors are at least this

#: Images of a tile, source by source: ``[C, 2, batch, frames, bins]``, real and imaginary parts of
#: C channels in double precision. The next one may overwrite the last one.
Images = Iterator[Tensor]


class Scratch:
    """Memory for intermediate results, the same for each tile, so that it stays in the cache.

    New tensors are somewhere else each time, in memory that the cache does not hold. But
    derivatives need them.

    Parameters
    ----------
    device : torch.device
    numbers : int
        Of one channel of one source in a tile.
    is_used : bool
        Whether there is any: without derivatives.
    """

    def __init__(self, device: torch.device, numbers: int, is_used: bool) -> None:
        self.numbers = numbers
        self._device, self._is_used = device, is_used
        self._memory: dict[str, Tensor] = {}
        self._made: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor | None:
        """Return a tensor for the argument ``out`` of a function; None: it is to make its own.

        All tensors of a name share their memory.
        """
        if not self._is_used:
            return None
        if (name, shape) not in self._made:
            size = math.prod(shape)
            if name not in self._memory or len(self._memory[name]) < size:
                self._memory[name] = self.kept(size)
            self._made[name, shape] = self._memory[name][:size].view(shape)
        return self._made[name, shape]

    def kept(self, *shape: int) -> Tensor:
        """Return a new tensor."""
        return torch.empty(shape, dtype=torch.float64, device=self._device)


class Statistics(NamedTuple):
    """What iterations need of the images of a tile.

    Attributes
    ----------
    powers : sequence of Tensor ``[batch, frames, bins]``
        For each source, summed over channels.
    covariances : sequence of Tensor ``[C * C, batch, bins]``
        For each source, summed over frames. A Hermitian matrix of C channels is C * C real numbers:
        the diagonal, then, row by row, real and imaginary part of each entry above it.
    """

    powers: Sequence[Tensor]
    covariances: Sequence[Tensor]


class Spatial(NamedTuple):
    """The spatial covariance of a source.

    Attributes
    ----------
    matrix : Tensor ``[C * C, batch, 1, bins]``
        Made invertible.
    diagonal : sequence of Tensor ``[batch, 1, bins]``
        Of the matrix itself.
    ratios : dict of pair of Tensor ``[batch, 1, bins]``
        Real and imaginary part of the entry in a row and a column, divided by that of the diagonal
        in the row.
    """

    matrix: Tensor
    diagonal: Sequence[Tensor]
    ratios: dict[tuple[int, int], tuple[Tensor, Tensor]]


def planes_of(numbers: Tensor, out: Tensor | None = None) -> Tensor:
    """Split complex ``[batch, channels, n, F]`` into real and imaginary parts.

    Returns
    -------
    Tensor ``[channels, 2, batch, n, F]``
    """
    parts = torch.view_as_real(numbers.resolve_conj()).permute(1, 4, 0, 2, 3)
    # Contiguous: strided views of complex numbers are read one number at a time.
    return _double(parts, out)


def _double(numbers: Tensor, out: Tensor | None) -> Tensor:
    """Return a contiguous tensor in double precision."""
    if out is None:
        return numbers.to(torch.float64, memory_format=torch.contiguous_format)
    return out.copy_(numbers)


def squared(planes: Tensor, out: Tensor | None = None) -> Tensor:
    """Return squared magnitudes ``[C, …]`` of ``[C, 2, …]``."""
    real, imaginary = planes.unbind(dim=1)
    return torch.mul(real, real, out=out).addcmul_(imaginary, imaginary)


def statistics_of(images: Images, scratch: Scratch) -> Statistics:
    """Return powers and summed covariances of the images of a tile."""
    powers, covariances = [], []
    for image in images:
        channels, _, *shape = image.shape
        squares = squared(image, scratch("squares", channels, *shape))
        sums = [squares.sum(dim=2)]  # [C, B, F]
        for c, d in _above_diagonal(channels):
            cross = _cross(image[c], image[d], scratch("cross", 2, *shape))
            sums.append(cross.sum(dim=2))
        covariances.append(torch.cat(sums))
        powers.append(_total(squares))
    return Statistics(powers, covariances)


def statistics_of_magnitudes(magnitudes: Tensor, mixture: Tensor, scratch: Scratch) -> Statistics:
    """Do the same for images with given magnitudes and the phases of the mixture.

    Where the mixture is zero, images are.

    Parameters
    ----------
    magnitudes : Tensor ``[batch, sources, channels or 1, frames, bins]``
    mixture : Tensor ``[channels, 2, batch, frames, bins]``
    scratch : Scratch
    """
    channels, _, *shape = mixture.shape
    squares = squared(mixture, scratch("own", channels, *shape))
    crosses = []
    for c, d in _above_diagonal(channels):
        cross = _cross(mixture[c], mixture[d], scratch(f"cross {c} {d}", 2, *shape))
        unit = torch.mul(squares[c], squares[d], out=scratch("plane", *shape))
        crosses.append(((c, d), cross.mul_(unit.clamp_(min=_TINY).rsqrt_())))  # zeros stay zeros
    nonzero = None if bool(squares.amin() > 0) else squares > 0
    powers, covariances = [], []
    for source in magnitudes.unbind(dim=1):  # [B, C or 1, n, F]
        own = source.transpose(0, 1).expand(channels, *shape)
        own = _double(own, scratch("own", channels, *shape))
        if nonzero is not None:
            own = own * nonzero
        energies = torch.mul(own, own, out=scratch("product", channels, *shape))
        powers.append(_total(energies))
        sums = [energies.sum(dim=2)]  # [C, B, F]
        for (c, d), cross in crosses:
            both = torch.mul(own[c], own[d], out=scratch("plane", *shape))
            sums.append(torch.mul(cross, both, out=scratch("product", 2, *shape)).sum(dim=2))
        covariances.append(torch.cat(sums))
    return Statistics(powers, covariances)


def _total(parts: Tensor) -> Tensor:
    """Return the sum of ``[C, …]`` over channels, faster than `Tensor.sum` does."""
    return functools.reduce(torch.add, parts.unbind()) if len(parts) > 1 else parts[0].clone()


def _cross(one: Tensor, other: Tensor, out: Tensor | None) -> Tensor:
    """Return both parts of numbers ``[2, …]`` times the conjugates of others."""
    cross = torch.mul(one, other[0], out=out)
    cross[0].addcmul_(one[1], other[1])
    cross[1].addcmul_(one[0], other[1], value=-1)
    return cross


def fit(statistics: Sequence[Statistics], floor: Tensor) -> list[Spatial]:
    """Return the spatial covariances of all tiles together.

    They are normalised with the summed power (equation 13 of [2] in `partita.dsp.wiener`); powers
    are summed over channels, too.

    Parameters
    ----------
    statistics : sequence of Statistics
    floor : Tensor ``[batch, 1]``
        Added to the divisors, per channel.
    """
    fitted = []
    for each in zip(*(tile.covariances for tile in statistics), strict=True):
        total = functools.reduce(torch.add, each)  # [C * C, B, F]
        channels = math.isqrt(len(total))
        power = total[:channels].sum(dim=0)  # [B, F]
        fitted.append(_prepared((total / (power + channels * floor)).unsqueeze(-2)))
    return fitted


def spatial_of(covariances: Tensor) -> list[Spatial]:
    """Convert complex ``[B, S, C, C, F]``."""
    channels = covariances.shape[2]
    spatial = []
    for matrix in covariances.to(torch.complex128).unsqueeze(-2).unbind(dim=1):  # [B, C, C, 1, F]
        parts = [matrix[:, c, c].real for c in range(channels)]
        for c, d in _above_diagonal(channels):
            parts += [matrix[:, c, d].real, matrix[:, c, d].imag]
        spatial.append(_prepared(torch.stack(parts)))
    return spatial


def _prepared(matrix: Tensor) -> Spatial:
    """Prepare a Hermitian matrix ``[C * C, batch, 1, bins]``."""
    channels = math.isqrt(len(matrix))
    diagonal, above = matrix[:channels], matrix[channels:]
    ridge = _RIDGE * diagonal.sum(dim=0) if channels > 1 else 0.0
    regular = torch.cat([diagonal + ridge, above])
    # Where a channel is silent, the entries beside it are zero, too.
    inverse = torch.where(diagonal > 0, diagonal, 1.0).reciprocal()
    ratios = {}
    for index, (c, d) in enumerate(_above_diagonal(channels)):
        real, imaginary = above[2 * index], above[2 * index + 1]
        ratios[c, d] = real * inverse[c], imaginary * inverse[c]
        ratios[d, c] = real * inverse[d], -imaginary * inverse[d]
    return Spatial(regular, diagonal.unbind(), ratios)


def filtered(
    mixture: Tensor,
    powers: Sequence[Tensor],
    spatial: Sequence[Spatial],
    noise: Tensor,
    scratch: Scratch,
) -> Images:
    """Yield the images ``v_j R_j (Σ v_i R_i + σ² I)⁻¹ x`` of a tile.

    Parameters
    ----------
    mixture : Tensor ``[channels, 2, batch, frames, bins]``
    powers : sequence of Tensor ``[batch, frames, bins]``
    spatial : list of Spatial
    noise : Tensor, broadcast to ``[batch, frames, bins]``
    scratch : Scratch
    """
    channels, _, *shape = mixture.shape
    total = torch.stack([noise] * channels + [torch.zeros_like(noise)] * (channels**2 - channels))
    out = scratch("total", channels**2, *shape)
    for power, own in zip(powers, spatial, strict=True):
        total = torch.addcmul(total, power, own.matrix, out=out)
    solve = {1: _solve_one, 2: _solve_two}.get(channels, _solve_many)
    unknowns = solve(total, mixture, scratch("unknowns", channels, 2, *shape))
    # The total is not needed any more. One source at a time, which reuses what is still cached.
    images = scratch("total", channels, 2, *shape)
    for power, own in zip(powers, spatial, strict=True):
        made = []
        for c, unknown in enumerate(unknowns):
            out, image = None if images is None else images[c], unknown
            for d, other in enumerate(unknowns):
                if d != c:
                    real, imaginary = own.ratios[c, d]
                    image = torch.addcmul(image, real, other, out=out)
                    image[0].addcmul_(imaginary, other[1], value=-1)
                    image[1].addcmul_(imaginary, other[0])
            weight = torch.mul(power, own.diagonal[c], out=scratch("plane", *shape))
            made.append(torch.mul(image, weight, out=out))
        yield torch.stack(made) if images is None else images


def _solve_one(total: Tensor, mixture: Tensor, out: Tensor | None) -> Tensor:
    return torch.div(mixture, total, out=out)


def _solve_two(total: Tensor, mixture: Tensor, out: Tensor | None) -> Tensor:
    """Solve in closed form: the adjugate over the determinant."""
    first, second, real, imaginary = total
    determinant = (first * second).addcmul_(real, real, value=-1)
    determinant = determinant.addcmul_(imaginary, imaginary, value=-1)
    scaled = torch.mul(total, determinant.reciprocal_(), out=None if out is None else total)
    first, second, real, imaginary = scaled
    one, other = mixture  # [2, B, n, F]
    left, right = (None, None) if out is None else out
    left = torch.mul(second, one, out=left).addcmul_(real, other, value=-1)
    left[0].addcmul_(imaginary, other[1])
    left[1].addcmul_(imaginary, other[0], value=-1)
    right = torch.mul(first, other, out=right).addcmul_(real, one, value=-1)
    right[0].addcmul_(imaginary, one[1], value=-1)
    right[1].addcmul_(imaginary, one[0])
    return torch.stack([left, right]) if out is None else out


def _solve_many(total: Tensor, mixture: Tensor, _: Tensor | None) -> Tensor:
    channels = len(mixture)
    rows = [[part.to(torch.complex128)] * channels for part in total[:channels]]
    above = iter(total[channels:])
    for (c, d), real, imaginary in zip(_above_diagonal(channels), above, above, strict=False):
        rows[c][d] = torch.complex(real, imaginary)
        rows[d][c] = torch.complex(real, -imaginary)
    matrix = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)  # [B, n, F, C, C]
    known = torch.complex(mixture[:, 0], mixture[:, 1]).movedim(0, -1)  # [B, n, F, C]
    solution = torch.linalg.solve(matrix, known)
    return torch.view_as_real(solution).permute(3, 4, 0, 1, 2).contiguous()


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
