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

import functools
import itertools
from collections.abc import Iterator, Sequence

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
#: Numbers in one plane of a piece of work. More leave the cache, fewer wake the cores for nothing.
_PLANE = 1 << 17
_LEAST_FRAMES = 8  # fewer cost more in calls than in sums

#: Complex numbers, several times faster than matrices of two by two of them: real and imaginary
#: parts of every channel, ``[batch, sources, frames, bins]`` each, in double precision. Sums grow
#: in place, which spares the cache; their derivatives need the factors only, which stay.
_Planes = tuple[Sequence[Tensor], Sequence[Tensor]]
#: Real and imaginary parts of matrices, each C times C of ``[batch, sources, 1, bins]``.
_Matrices = tuple[list[list[Tensor]], list[list[Tensor]]]

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

    def filtered(windows: Iterator[Tensor]) -> Iterator[Tensor]:
        for window in windows:  # [B, 1 + S, C, T]
            yield _refine_window(window[:, 1:], window[:, 0], iterations)

    together = torch.cat([mixture.unsqueeze(1), estimates], dim=1)  # [B, 1 + S, C, T]
    return torch.cat(list(overlap_add([together], filtered, _WINDOW)), dim=-1)


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
    frames = _frames_at_once(magnitudes)
    # Frames come before bins from here on, as they stand in memory.
    pieces = torch.split(magnitudes.mT, frames, dim=-2)  # [B, S, C, n, F] each
    mixtures = torch.split(mixture.mT, frames, dim=-2)  # [B, C, n, F] each
    if softmask:
        shares = (piece / (eps + piece.sum(dim=1, keepdim=True)) for piece in pieces)
        begin = map(_times, shares, mixtures)
    else:
        begin = map(_times, pieces, (piece.sgn() for piece in mixtures))
    unit = (mixture.abs().amax(dim=(1, 2, 3)) / scale_factor).clamp(min=1.0)
    return _joined(_iterated(begin, mixtures, iterations, eps, unit), mixture.dtype)


def _times(factors: Tensor, numbers: Tensor) -> _Planes:
    """Return the planes of ``[B, S, C or 1, n, F]`` times complex ``[B, C, n, F]``."""
    real, imaginary = _planes(numbers.unsqueeze(1))  # C times [B, 1, n, F]
    each = factors.expand(-1, -1, len(real), -1, -1).unbind(dim=2)  # C times [B, S, n, F]
    return (
        [factor * part for factor, part in zip(each, real, strict=True)],
        [factor * part for factor, part in zip(each, imaginary, strict=True)],
    )


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
    frames = _frames_at_once(images)
    # Frames come before bins from here on, as they stand in memory.
    begin = map(_planes, torch.split(images.mT, frames, dim=-2))  # [B, S, C, n, F] each
    mixtures = torch.split(mixture.mT, frames, dim=-2)  # [B, C, n, F] each
    if unit is None:
        unit = mixture.real.new_ones(1)
    return _joined(_iterated(begin, mixtures, iterations, eps, unit), images.dtype)


def _frames_at_once(images: Tensor) -> int:
    batch, sources, _, bins, _ = images.shape
    return max(_LEAST_FRAMES, _PLANE // (batch * sources * bins))


def _iterated(
    pieces: Iterator[_Planes],
    mixtures: Sequence[Tensor],
    iterations: int,
    eps: float,
    unit: Tensor,
) -> Iterator[_Planes]:
    """Run EM; nothing but powers and covariances is held from one iteration to the next."""
    energy = unit.double().square()[:, None, None]  # [B, 1, 1]
    for _ in range(iterations):
        powers, matrices = _local_gaussian_model(pieces, eps * energy)
        spatial = _entries(matrices)
        pieces = map(
            functools.partial(_filter, spatial=spatial, noise=eps**0.5 * energy.unsqueeze(-1)),
            mixtures,
            powers,
        )
    return pieces


def _joined(pieces: Iterator[_Planes], dtype: torch.dtype) -> Tensor:
    """Return a complex ``[B, S, C, F, N]`` from planes ``[B, S, n, F]``."""
    real = dtype.to_real()
    by_piece = [
        [torch.complex(re.to(real), im.to(real)) for re, im in zip(*planes, strict=True)]
        for planes in pieces
    ]
    by_channel = list(zip(*by_piece, strict=True))
    # All at once: every number is copied one time only.
    joined = torch.cat(list(itertools.chain.from_iterable(by_channel)), dim=-2)  # [B, S, C * N, F]
    batch, sources, rows, bins = joined.shape
    channels = len(by_channel)
    return joined.reshape(batch, sources, channels, rows // channels, bins).mT


def multichannel_wiener(mixture: Tensor, powers: Tensor, spatial: Tensor, noise: Tensor) -> Tensor:
    r"""Filter a mixture with given powers and spatial covariances of its sources.

    Equation 14 of [1]_: :math:`v_j R_j (\sum_i v_i R_i + σ² I)^{-1} x`.

    Parameters
    ----------
    mixture : Tensor, complex ``[batch, channels, bins, frames]``
    powers : Tensor ``[batch, sources, bins, frames]``
    spatial : Tensor, complex ``[batch, sources, channels, channels, bins]``
    noise : Tensor, broadcast to ``[batch, sources, bins, frames]``
        The power σ² of white noise in the mixture.

    Returns
    -------
    Tensor, complex ``[batch, sources, channels, bins, frames]``
        In the mixture's precision; sums are in double precision.
    """
    images = _filter(mixture.mT, powers.mT.double(), _entries(spatial), noise)
    return _joined(iter([images]), mixture.dtype)


def _local_gaussian_model(
    pieces: Iterator[_Planes], floor: Tensor
) -> tuple[Sequence[Tensor], Tensor]:
    """Return ``[B, S, n, F]`` for each piece, and spatial covariances ``[B, S, C, C, F]``."""
    powers, covariances = zip(*map(_power_and_covariance, pieces), strict=True)
    weight = floor + sum(power.sum(dim=-2) for power in powers)  # [B, S, F]
    return powers, sum(covariances) / weight[:, :, None, None]


def _power_and_covariance(images: _Planes) -> tuple[Tensor, Tensor]:
    """Return ``[B, S, n, F]`` and, summed over frames, ``[B, S, C, C, F]``."""
    real, imaginary = images
    channels = range(len(real))
    squares = [re.square().addcmul_(im, im) for re, im in zip(real, imaginary, strict=True)]
    entries: dict[tuple[int, int], Tensor] = {}
    for c in channels:
        own = squares[c].sum(dim=-2)  # [B, S, F]
        entries[c, c] = torch.complex(own, torch.zeros_like(own))
    for c, d in itertools.combinations(channels, 2):
        cosine = (real[c] * real[d]).addcmul_(imaginary[c], imaginary[d])
        sine = (imaginary[c] * real[d]).addcmul_(real[c], imaginary[d], value=-1)
        entries[c, d] = torch.complex(cosine.sum(dim=-2), sine.sum(dim=-2))
        entries[d, c] = entries[c, d].conj()
    rows = [torch.stack([entries[c, d] for d in channels], dim=2) for c in channels]
    return functools.reduce(torch.add, squares) / len(squares), torch.stack(rows, dim=2)


def _entries(spatial: Tensor) -> _Matrices:
    """Take complex ``[B, S, C, C, F]`` apart."""
    # Contiguous: real parts as they stand in complex numbers are read one by one.
    parts = (spatial.real.double().contiguous(), spatial.imag.double().contiguous())
    real, imaginary = (
        [list(row.unbind(dim=2)) for row in part.unsqueeze(-2).unbind(dim=2)] for part in parts
    )
    return real, imaginary


def _filter(mixture: Tensor, powers: Tensor, spatial: _Matrices, noise: Tensor) -> _Planes:
    """Return images ``[B, S, n, F]`` from ``[B, C, n, F]``, ``[B, S, n, F]`` and the matrices."""
    channels = range(mixture.shape[1])
    solve = {1: _solve_one, 2: _solve_two}.get(len(channels), _solve_many)
    # Unknowns come with an axis for the sources: C times [B, 1, n, F].
    real, imaginary = solve(powers, spatial, _planes(mixture.unsqueeze(1)), noise)
    images: tuple[list[Tensor], list[Tensor]] = [], []
    for c in channels:
        own = spatial[0][c][c]
        re, im = own * real[c], own * imaginary[c]
        for d in channels:
            if d != c:
                cosine, sine = spatial[0][c][d], spatial[1][c][d]
                re = re.addcmul_(cosine, real[d]).addcmul_(sine, imaginary[d], value=-1)
                im = im.addcmul_(cosine, imaginary[d]).addcmul_(sine, real[d])
        images[0].append(powers * re)
        images[1].append(powers * im)
    return images


def _planes(numbers: Tensor) -> _Planes:
    """Split complex ``[B, S, C, n, F]`` by channel, into real and imaginary parts."""
    return numbers.real.double().unbind(dim=2), numbers.imag.double().unbind(dim=2)


def _weighted(powers: Tensor, entry: Tensor) -> Tensor:
    """Return the sum over sources ``[B, 1, n, F]`` of one entry of their covariances."""
    terms = zip(powers.unbind(dim=1), entry.unbind(dim=1), strict=True)
    power, factor = next(terms)  # [B, n, F], [B, 1, F]
    total = power * factor
    for power, factor in terms:
        total = total.addcmul_(power, factor)
    return total.unsqueeze(1)


def _solve_one(powers: Tensor, spatial: _Matrices, mixture: _Planes, noise: Tensor) -> _Planes:
    total = _weighted(powers, spatial[0][0][0]) + noise
    return [mixture[0][0] / total], [mixture[1][0] / total]


def _solve_two(powers: Tensor, spatial: _Matrices, mixture: _Planes, noise: Tensor) -> _Planes:
    """Solve in closed form: the adjugate over the determinant."""
    first, second = (_weighted(powers, spatial[0][c][c]) for c in (0, 1))
    cosine, sine = (_weighted(powers, part[0][1]) for part in spatial)
    ridge = (first + second) * _RIDGE + noise
    first, second = first + ridge, second + ridge
    scale = (first * second - cosine.square().addcmul_(sine, sine)).reciprocal()
    first, second, cosine, sine = first * scale, second * scale, cosine * scale, sine * scale
    (re0, re1), (im0, im1) = mixture
    real = [
        (second * re0).addcmul_(cosine, re1, value=-1).addcmul_(sine, im1),
        (first * re1).addcmul_(cosine, re0, value=-1).addcmul_(sine, im0, value=-1),
    ]
    imaginary = [
        (second * im0).addcmul_(cosine, im1, value=-1).addcmul_(sine, re1, value=-1),
        (first * im1).addcmul_(cosine, im0, value=-1).addcmul_(sine, re0),
    ]
    return real, imaginary


def _solve_many(powers: Tensor, spatial: _Matrices, mixture: _Planes, noise: Tensor) -> _Planes:
    channels = len(mixture[0])
    parts = [torch.stack([torch.stack(row, dim=-1) for row in part], dim=-2) for part in spatial]
    weighted = powers[..., None, None] * torch.complex(parts[0], parts[1])  # [B, S, n, F, C, C]
    total = weighted.sum(dim=1, keepdim=True)  # [B, 1, n, F, C, C]
    trace = total.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1)
    identity = torch.eye(channels, dtype=total.dtype, device=total.device)
    total = total + (trace * _RIDGE + noise)[..., None, None] * identity
    known = torch.complex(*(torch.stack(list(part), dim=-1) for part in mixture))
    solution = torch.linalg.solve(total, known)  # [B, 1, n, F, C]
    return _planes(solution.movedim(-1, 2))
