"""The multichannel Wiener filter, and the EM iterations that find what it needs.

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
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from partita.dsp.levels import spread_residual
from partita.dsp.overlap_add import Window, overlap_add
from partita.dsp.stft import Stft

#: What is added to the divisors where nothing else is said: the smallest step of float64.
_EPS = torch.finfo(torch.float64).eps
#: Part of a covariance's trace that is added to its diagonal: far above rounding errors, far below
#: what can be heard. It keeps matrices of rank one, the same signal in all channels, invertible.
_RIDGE = 1e-12
#: Numbers in one plane of a piece of work, a channel of one source. Just below the 32768 from which
#: torch wakes other cores: where those are busy, waiting for them costs more than they spare.
_PLANE = 30_000
_MIN_FRAMES = 4  # fewer cost more in calls than in sums

#: Complex images of a piece, for every source and channel ``[batch, frames, bins]``.
_Images = Iterable[Sequence[Tensor]]
#: Real and imaginary parts of every channel, ``[batch, frames, bins]`` each, in double precision.
#: Sums grow in place, which spares the cache; their derivatives need the factors only, which stay.
_Planes = tuple[Sequence[Tensor], Sequence[Tensor]]
#: A Hermitian matrix of C channels as C * C real tensors: the diagonal, then, row by row, real and
#: imaginary part of everything above it.
_Hermitian = Sequence[Tensor]
#: Of every source: a matrix ``[batch, 1, bins]``, and its complex entries, C times C.
_Spatial = list[tuple[_Hermitian, list[list[Tensor]]]]
#: Of every source: powers ``[batch, frames, bins]`` and a sum over frames, ``[batch, bins]`` each.
_Statistics = list[tuple[Tensor, _Hermitian]]

_STFT = Stft(fft_samples=4096, hop_samples=1024)
_SCALE = 10.0
#: Covariances hold for about 12 s at 44.1 kHz, in which a mix changes little.
_WINDOW = Window(length=1 << 19, overlap=1 << 16)


def refine(estimates: Tensor, mixture: Tensor, iterations: int) -> Tensor:
    """Refine the estimates of any model by Wiener filters made from them.

    The estimates' short-time Fourier transforms (4096 samples, hop 1024) start
    `expectation_maximisation`, window by window, so that memory for spectra does not grow with the
    length; what then is left of the mixture is shared out equally.

    Parameters
    ----------
    estimates : Tensor ``[batch, sources, channels, samples]``
    mixture : Tensor ``[batch, channels, samples]``
    iterations : int
        From 1 up.

    Returns
    -------
    Tensor ``[batch, sources, channels, samples]``
        They add up to the mixture.

    Notes
    -----
    Interferences get less and artefacts more, as a rule, and more so with every iteration. The
    level of a song does not matter: the noise that the filters count with lies at the same distance
    from every window's peak.

    Departures from the usual stage behind a network: it begins with the estimates' own phases, not
    with the mixture's, because they know where a source is.
    """

    def filtered(window: Tensor) -> Tensor:  # [B, 1 + S, C, T]
        return _refine_window(window[:, 1:], window[:, 0], iterations)

    together = torch.cat([mixture.unsqueeze(1), estimates], dim=1)  # [B, 1 + S, C, T]
    return overlap_add(together, filtered, _WINDOW)


def _refine_window(estimates: Tensor, mixture: Tensor, iterations: int) -> Tensor:
    spectrogram = _STFT.analyse(mixture)  # [B, C, F, N]
    peak = spectrogram.abs().amax(dim=(1, 2, 3))  # [B]
    unit = torch.where(peak > 0, peak / _SCALE, 1.0)
    images = expectation_maximisation(
        _STFT.analyse(estimates), spectrogram, iterations=iterations, unit=unit
    )
    return spread_residual(mixture, _STFT.synthesise(images, mixture.shape[-1]))


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
        Of `expectation_maximisation`; 0: none, return what it would begin with.
    softmask : bool
        Begin with the mixture times ratios of magnitudes (equation 6 of [3]_, with α = 1) instead
        of the magnitudes with the mixture's phases. For magnitudes that are not good enough.
    residual : bool
        Add a source behind the others: what their magnitudes, fitted to the mixture's for each bin
        and channel, leave of it.
    scale_factor : float
        For mixtures with magnitudes above it, the unit of the iterations is such that the largest
        magnitude becomes this.
    eps : float
        What divisors are kept from zero with.

    Returns
    -------
    Tensor, complex ``[batch, sources (+ 1), channels, bins, frames]``
        Images of the sources. None of the inputs is changed.

    Notes
    -----
    The numbers are those of ``norbert.wiener`` 0.2.1, with ``norbert.contrib.residual_model`` for
    `residual`. Departures from it:

    - Nothing is divided by the scale and multiplied again, `eps` is scaled instead; inputs are left
      alone, where norbert divides a loud mixture in place.
    - Where the mixture is zero, images begin with zero; norbert gives them the phase zero there.
    - `eps` is that of float64 for mixtures in single precision also, because sums are in double
      precision for both. norbert's for single precision wipes out what lies 55 dB below the peak.
    - Every mixture of a batch has its own scale.
    """
    if residual:
        magnitudes = _with_residual(magnitudes, mixture.abs(), eps)
    if softmask:
        magnitudes = magnitudes / (eps + magnitudes.sum(dim=1, keepdim=True))
    if not iterations:
        begin = mixture if softmask else mixture.sgn()
        return (magnitudes * begin.unsqueeze(1)).to(mixture.dtype)
    # Frames come before bins from here on, as they stand in memory.
    mixtures = torch.split(mixture.mT, _frames_at_once(mixture), dim=-2)  # [B, C, n, F] each
    pieces = torch.split(magnitudes.mT, _frames_at_once(mixture), dim=-2)  # [B, S, C, n, F] each
    energy = (_peak_energy(mixtures) / scale_factor**2).clamp(min=1.0)
    begun = (
        _statistics_of_product(piece, planes if softmask else _phases(planes), energy)
        for piece, planes in zip(
            pieces, (_planes(mixed.unbind(dim=1)) for mixed in mixtures), strict=True
        )
    )
    shape = (*magnitudes.shape[:2], *mixture.shape[1:])
    return _joined(_iterated(begun, mixtures, iterations, eps, energy), shape, mixture.dtype)


def _peak_energy(mixtures: Sequence[Tensor]) -> Tensor:
    """Return the largest squared magnitude of ``[B, C, n, F]`` each, ``[B, 1, 1]``."""
    energies = (
        square for mixture in mixtures for square in _squares(_planes(mixture.unbind(dim=1)))
    )
    peaks = torch.stack([square.amax(dim=(1, 2)) for square in energies])  # [pieces * C, B]
    return peaks.amax(dim=0)[:, None, None]


def _planes(channels: Sequence[Tensor]) -> _Planes:
    """Split complex ``[B, n, F]`` each."""
    # Contiguous: real parts as they stand in complex numbers are read one by one.
    return (
        [channel.real.double().contiguous() for channel in channels],
        [channel.imag.double().contiguous() for channel in channels],
    )


def _squares(numbers: _Planes) -> list[Tensor]:
    return [re.square().addcmul_(im, im) for re, im in zip(*numbers, strict=True)]


def _phases(numbers: _Planes) -> _Planes:
    """Do what `Tensor.sgn` does, which is twenty times slower."""
    # Zero divided by one stays zero and has a derivative.
    units = [torch.where(square > 0, square, 1.0).rsqrt() for square in _squares(numbers)]
    real, imaginary = (
        [plane * unit for plane, unit in zip(planes, units, strict=True)] for planes in numbers
    )
    return real, imaginary


def _with_residual(magnitudes: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """Return ``[B, S + 1, C, F, N]``: fitted sources and what is left of ``[B, C, F, N]``."""
    mixture = mixture.clamp(min=eps)
    total = magnitudes.sum(dim=1)  # [B, C, F, N]
    fit = (mixture * total).sum(dim=-1) / (eps + total.square().sum(dim=-1))  # [B, C, F]
    left = (mixture - total).clamp(min=0)
    return torch.cat([magnitudes * fit[:, None, ..., None], left.unsqueeze(1)], dim=1)


def expectation_maximisation(
    images: Tensor,
    mixture: Tensor,
    *,
    iterations: int = 1,
    eps: float = _EPS,
    unit: Tensor | None = None,
) -> Tensor:
    """Make images of sources agree with the mixture in power and in space.

    An iteration finds each source's power spectral density (equation 12 of [2]_, the mean of its
    image's power over channels) and spatial covariance matrix (equation 13, the mean over frames of
    its image's covariances, weighted with the powers), then filters the mixture with them; see
    `multichannel_wiener`.

    Parameters
    ----------
    images : Tensor, complex ``[batch, sources, channels, bins, frames]``
        What to begin with.
    mixture : Tensor, complex ``[batch, channels, bins, frames]``
    iterations : int
    eps : float
        Added to the divisor of a spatial covariance; its root is the power of a white noise that
        the filters count with. In units of magnitude squared.
    unit : Tensor ``[batch]``, optional
        The magnitude that `eps` takes for 1, about a tenth of the largest; 1 by default.

    Returns
    -------
    Tensor, complex ``[batch, sources, channels, bins, frames]``
        In the images' precision. Without the noise, they would add up to the mixture.

    Notes
    -----
    Departures from EM as [1]_ derives it: the covariance of an image is that of its newest estimate
    alone, without that of its error, as norbert has it; so the likelihood need not grow.
    """
    if not iterations:
        return images.clone()
    energy = mixture.real.new_ones(1) if unit is None else unit
    energy = energy.double().square()[:, None, None]  # [B, 1, 1]
    # Frames come before bins from here on, as they stand in memory.
    mixtures = torch.split(mixture.mT, _frames_at_once(mixture), dim=-2)  # [B, C, n, F] each
    pieces = torch.split(images.mT, _frames_at_once(mixture), dim=-2)  # [B, S, C, n, F] each
    sources = ([source.unbind(dim=1) for source in piece.unbind(dim=1)] for piece in pieces)
    begun = (_statistics(piece, energy) for piece in sources)
    return _joined(_iterated(begun, mixtures, iterations, eps, energy), images.shape, images.dtype)


def _frames_at_once(mixture: Tensor) -> int:
    batch, _, bins, _ = mixture.shape
    return max(_MIN_FRAMES, _PLANE // (batch * bins))


def _iterated(
    statistics: Iterator[_Statistics],
    mixtures: Sequence[Tensor],
    iterations: int,
    eps: float,
    energy: Tensor,
) -> Iterator[_Images]:
    """Run EM from powers and covariances; nothing else is held between iterations.

    Powers are in units of the energy ``[B, 1, 1]``, so that single precision can hold them.
    """
    noise = torch.full_like(energy, eps**0.5)
    frames, dtype = sum(piece.shape[2] for piece in mixtures), mixtures[0].real.dtype
    for _ in range(iterations):
        powers, spatial = _local_gaussian_model(statistics, frames, eps * energy[:, 0], dtype)
        pieces = map(_filter, mixtures, powers, itertools.repeat(spatial), itertools.repeat(noise))
        statistics = (_statistics(images, energy) for images in pieces)
    return pieces


def _joined(pieces: Iterable[_Images], shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return a complex ``[B, S, C, F, N]``."""
    batch, sources, channels, bins, frames = shape
    kept: list[Tensor] = []
    joined, start, size = torch.empty(0), 0, 0
    for images in pieces:
        each: list[Tensor] = []
        for source, row in enumerate(images):
            size = row[0].shape[1]
            if row[0].requires_grad:
                each.append(torch.stack(list(row), dim=1))  # [B, C, n, F]
                continue
            if not start and not source:
                joined = _blank((batch, sources, channels, frames, bins), dtype, row[0].device)
            for channel, image in enumerate(row):
                joined[:, source, channel, start : start + size] = image
        if each:
            kept.append(torch.stack(each, dim=1).to(dtype))
        start += size
    return (torch.cat(kept, dim=-2) if kept else joined).mT


def _blank(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Do what `torch.empty` does, in the large pages of memory that NumPy asks Linux for.

    The system clears pages when they are first written to, small ones one by one.
    """
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    size = math.prod(shape) * dtype.itemsize
    return torch.from_numpy(np.empty(size, dtype=np.uint8)).view(dtype).view(shape)


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
    matrices = _spatial(spatial)
    spread = noise.double().expand(batch, 1, bins, frames)[:, 0]  # [B, F, N]
    split = [
        torch.split(numbers.mT, _frames_at_once(mixture), dim=-2)
        for numbers in (mixture, powers, spread)
    ]
    pieces = (
        _filter(numbers, power.unbind(dim=1), matrices, floor)
        for numbers, power, floor in zip(*split, strict=True)
    )
    shape = (batch, powers.shape[1], channels, bins, frames)
    return _joined(pieces, shape, mixture.dtype)


def _above_diagonal(channels: int) -> Iterator[tuple[int, int]]:
    return itertools.combinations(range(channels), 2)


def _spatial(covariances: Tensor) -> _Spatial:
    """Take complex ``[B, S, C, C, F]`` apart."""
    channels = covariances.shape[2]
    spatial: _Spatial = []
    for matrix in covariances.to(torch.complex128).unsqueeze(-2).unbind(dim=1):  # [B, C, C, 1, F]
        parts = [matrix[:, c, c].real for c in range(channels)]
        for c, d in _above_diagonal(channels):
            parts += [matrix[:, c, d].real, matrix[:, c, d].imag]
        parts = [part.contiguous() for part in parts]
        spatial.append((parts, _rows(parts, channels)))
    return spatial


def _rows(matrix: _Hermitian, channels: int) -> list[list[Tensor]]:
    """Return complex entries, C times C."""
    rows = [[matrix[c].to(torch.complex128)] * channels for c in range(channels)]
    above = iter(matrix[channels:])
    for (c, d), real, imaginary in zip(_above_diagonal(channels), above, above, strict=False):
        rows[c][d] = torch.complex(real, imaginary)
        rows[d][c] = torch.complex(real, -imaginary)
    return rows


def _local_gaussian_model(
    statistics: Iterator[_Statistics], frames: int, floor: Tensor, dtype: torch.dtype
) -> tuple[list[list[Tensor]], _Spatial]:
    """Return ``[B, n, F]`` for each piece and source, and matrices."""
    powers: list[list[Tensor]] = []
    totals: list[_Hermitian] = []
    store, stop = torch.empty(0), 0
    for piece in statistics:
        first, sums = piece[0][0], [each for _, each in piece]
        start, stop = stop, stop + first.shape[1]
        if first.requires_grad:
            powers.append([power.to(dtype) for power, _ in piece])
        else:
            if not start:
                shape = (len(piece), first.shape[0], frames, first.shape[2])
                store = _blank(shape, dtype, first.device)
            powers.append(list(store[:, :, start:stop].unbind()))
            for place, (power, _) in zip(powers[-1], piece, strict=True):
                place.copy_(power)
        if totals:
            sums = [
                [one + other for one, other in zip(*both, strict=True)]
                for both in zip(totals, sums, strict=True)
            ]
        totals = sums
    spatial: _Spatial = []
    for total in totals:
        channels = math.isqrt(len(total))
        power = torch.stack(list(total[:channels])).mean(dim=0)  # [B, F]
        matrix = [(part / (power + floor)).unsqueeze(1) for part in total]  # [B, 1, F] each
        spatial.append((matrix, _rows(matrix, channels)))
    return powers, spatial


def _statistics(images: _Images, energy: Tensor) -> _Statistics:
    """Return powers ``[B, n, F]`` and covariances summed over frames, ``[B, F]`` each."""
    statistics: _Statistics = []
    for source in images:
        numbers = _planes(source)
        sums = [part.sum(dim=1) for pair in _crosses(numbers) for part in pair]
        statistics.append(_gathered(_squares(numbers), sums, energy))
    return statistics


def _statistics_of_product(factors: Tensor, numbers: _Planes, energy: Tensor) -> _Statistics:
    """Do the same for real ``[B, S, C or 1, n, F]`` times numbers that all sources share."""
    squares, crosses = _squares(numbers), list(_crosses(numbers))
    channels = len(squares)
    statistics: _Statistics = []
    for source in factors.expand(-1, -1, channels, -1, -1).unbind(dim=1):  # [B, C, n, F]
        own = [factor.double() for factor in source.unbind(dim=1)]
        sums: list[Tensor] = []
        for (c, d), pair in zip(_above_diagonal(channels), crosses, strict=True):
            both = own[c] * own[d]
            sums += [(both * part).sum(dim=1) for part in pair]
        powers = [factor.square().mul_(square) for factor, square in zip(own, squares, strict=True)]
        statistics.append(_gathered(powers, sums, energy))
    return statistics


def _crosses(numbers: _Planes) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield real and imaginary part of each channel times the conjugate of each behind it."""
    real, imaginary = numbers
    for c, d in _above_diagonal(len(real)):
        cosine = (real[c] * real[d]).addcmul_(imaginary[c], imaginary[d])
        sine = (imaginary[c] * real[d]).addcmul_(real[c], imaginary[d], value=-1)
        yield cosine, sine


def _gathered(
    squares: Sequence[Tensor], sums: Sequence[Tensor], energy: Tensor
) -> tuple[Tensor, _Hermitian]:
    """Return the squares' mean in units of the energy, and their sums before the given ones."""
    diagonal = [square.sum(dim=1) for square in squares]
    power = squares[0]
    for square in squares[1:]:
        power = power.add_(square)
    return power.mul_((len(squares) * energy).reciprocal()), [*diagonal, *sums]


def _filter(
    mixture: Tensor, powers: Sequence[Tensor], spatial: _Spatial, noise: Tensor
) -> Iterator[Sequence[Tensor]]:
    """Yield images of ``[B, C, n, F]`` from a power ``[B, n, F]`` and a matrix of each source."""
    channels = mixture.shape[1]
    solve = {1: _solve_one, 2: _solve_two}.get(channels, _solve_many)
    solution = solve(_weighted(powers, [matrix for matrix, _ in spatial]), mixture, noise)
    # One by one, so that the next source works in the memory, still cached, of the one before.
    for power, (_, rows) in zip(powers, spatial, strict=True):
        weight = power.to(torch.complex128)
        images = []
        for row in rows:
            image = row[0] * solution[0]
            for entry, unknown in zip(row[1:], solution[1:], strict=True):
                image = image.addcmul_(entry, unknown)
            images.append(image.mul_(weight))
        yield images


def _weighted(powers: Sequence[Tensor], spatial: Sequence[_Hermitian]) -> _Hermitian:
    """Return the sum over sources of powers times covariances, ``[B, n, F]`` each."""
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


def _solve_one(total: _Hermitian, mixture: Tensor, noise: Tensor) -> Sequence[Tensor]:
    return [mixture[:, 0].to(torch.complex128) / (total[0] + noise)]


def _solve_two(total: _Hermitian, mixture: Tensor, noise: Tensor) -> Sequence[Tensor]:
    """Solve in closed form: the adjugate over the determinant."""
    first, second, cosine, sine = total
    ridge = (first + second) * _RIDGE + noise
    first, second = first + ridge, second + ridge
    scale = (first * second - cosine.square().addcmul_(sine, sine)).reciprocal()
    first, second, cosine, sine = first * scale, second * scale, cosine * scale, sine * scale
    (re0, re1), (im0, im1) = _planes(mixture.unbind(dim=1))
    return [
        torch.complex(
            (second * re0).addcmul_(cosine, re1, value=-1).addcmul_(sine, im1),
            (second * im0).addcmul_(cosine, im1, value=-1).addcmul_(sine, re1, value=-1),
        ),
        torch.complex(
            (first * re1).addcmul_(cosine, re0, value=-1).addcmul_(sine, im0, value=-1),
            (first * im1).addcmul_(cosine, im0, value=-1).addcmul_(sine, re0),
        ),
    ]


def _solve_many(total: _Hermitian, mixture: Tensor, noise: Tensor) -> Sequence[Tensor]:
    channels = mixture.shape[1]
    ridge = sum(total[:channels]) * _RIDGE + noise  # [B, n, F]
    diagonal = [part + ridge for part in total[:channels]]
    rows = _rows([*diagonal, *total[channels:]], channels)
    matrix = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)  # [B, n, F, C, C]
    known = mixture.movedim(1, -1).to(torch.complex128)  # [B, n, F, C]
    solution: Sequence[Tensor] = torch.linalg.solve(matrix, known).unbind(dim=-1)
    return solution
