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

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from partita.devices import intra_op_threads, worker_pool
from partita.dsp.wiener_model import (
    Images,
    Scratch,
    Statistics,
    empty_in_large_pages,
    filtered,
    fit,
    planes_of,
    spatial_of,
    squared,
    statistics_of,
    statistics_of_magnitudes,
)
from partita.threads import map_awake

#: Default of what is added to divisors: the smallest step of float64.
_EPS = torch.finfo(torch.float64).eps
#: Numbers in one channel of one source of a tile: with them, intermediate results take 2 MB. Below
#: the 32768 from which torch uses more threads in each operation.
_PLANE = 16_384
#: Tiles are larger by this factor where several threads share Python's lock: fewer calls.
_FACTOR_OF_THREADS = 4
_BINS = 512  # of a tile, at least: memory is read a row of them at a time

_Result = TypeVar("_Result")
#: From frames and bins of a tile and planes of the mixture to statistics of its images.
_Start = Callable[[slice, slice, Tensor, Scratch], Statistics]
#: From bins to the images of each tile, with its frames.
_Block = Callable[[slice, Scratch], Iterator[tuple[slice, Images]]]


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
    if softmask:
        magnitudes = magnitudes * mixture.abs().unsqueeze(1)
    energy = (_peak_energy(mixture) / scale_factor**2).clamp(min=1.0)

    def start(frames: slice, bins: slice, planes: Tensor, scratch: Scratch) -> Statistics:
        return statistics_of_magnitudes(magnitudes[..., bins, frames].mT, planes, scratch)

    block = _iterated(start, mixture, iterations, eps, energy)
    return _assembled(block, mixture, magnitudes, mixture.dtype)


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

    def start(frames: slice, bins: slice, _: Tensor, scratch: Scratch) -> Statistics:
        sources = images[..., bins, frames].mT.unbind(dim=1)  # [B, C, n, F] each
        return statistics_of(map(planes_of, sources), scratch)

    block = _iterated(start, mixture, iterations, eps, energy)
    return _assembled(block, mixture, images, images.dtype)


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
    spread = noise.expand(len(mixture), 1, *mixture.shape[2:])[:, 0]  # [B, F, N]

    def block(bins: slice, scratch: Scratch) -> Iterator[tuple[slice, Images]]:
        matrices = spatial_of(spatial[..., bins])
        for frames in _pieces(mixture, bins, scratch):
            x, v, floor = (numbers[..., bins, frames].mT for numbers in (mixture, powers, spread))
            own = v.double().unbind(dim=1)
            yield frames, filtered(planes_of(x), own, matrices, floor.double(), scratch)

    return _assembled(block, mixture, powers, mixture.dtype)


def _with_residual(magnitudes: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """Return ``[B, S + 1, C, F, N]``: fitted magnitudes and the residual of ``[B, C, F, N]``."""
    mixture = mixture.clamp(min=eps)
    total = magnitudes.sum(dim=1)  # [B, C, F, N]
    gain = (mixture * total).sum(dim=-1) / (eps + total.square().sum(dim=-1))  # [B, C, F]
    residual = (mixture - total).clamp(min=0)
    return torch.cat([magnitudes * gain[:, None, ..., None], residual.unsqueeze(1)], dim=1)


def _peak_energy(mixture: Tensor) -> Tensor:
    """Return the peak of squared magnitudes ``[B, 1, 1]``."""

    def peak(bins: slice, scratch: Scratch) -> Tensor:
        peaks = []
        for frames in _pieces(mixture, bins, scratch):
            planes = _planes(mixture[..., bins, frames].mT, scratch)
            channels, _, *shape = planes.shape
            squares = squared(planes, scratch("squares", channels, *shape))
            peaks.append(squares.amax(dim=(0, 2, 3)))  # [B]
        return torch.stack(peaks).amax(dim=0)

    peaks = _for_each_block(peak, mixture, _has_gradients(mixture))
    return torch.stack(peaks).amax(dim=0)[:, None, None]


def _planes(mixture: Tensor, scratch: Scratch) -> Tensor:
    """Return planes of a tile ``[B, C, n, F]``."""
    batch, channels, *shape = mixture.shape
    return planes_of(mixture, scratch("mixture", channels, 2, batch, *shape))


def _blocks(mixture: Tensor) -> list[slice]:
    """Divide the bins into blocks of about `_BINS`, more if there are few frames."""
    batch, _, bins, frames = mixture.shape
    count = max(1, bins // max(_BINS, _PLANE // (batch * frames)))
    width = -(-bins // count)
    return [slice(start, min(start + width, bins)) for start in range(0, bins, width)]


def _pieces(mixture: Tensor, bins: slice, scratch: Scratch) -> list[slice]:
    """Divide the frames so that a tile has at most as many numbers as the scratch memory is for."""
    batch, frames = len(mixture), mixture.shape[-1]
    length = max(1, scratch.numbers // (batch * (bins.stop - bins.start)))
    return [slice(start, start + length) for start in range(0, frames, length)]


def _iterated(
    start: _Start, mixture: Tensor, iterations: int, eps: float, energy: Tensor
) -> _Block:
    """Return a function that runs EM for a block of bins.

    Only powers and covariances of the block are stored between iterations.
    """
    floor, noise = eps * energy[:, 0], eps**0.5 * energy

    def block(bins: slice, scratch: Scratch) -> Iterator[tuple[slice, Images]]:
        def planes(frames: slice) -> Tensor:
            return _planes(mixture[..., bins, frames].mT, scratch)

        def images(frames: slice, own: Statistics) -> Images:
            return filtered(planes(frames), own.powers, spatial, noise, scratch)

        pieces = _pieces(mixture, bins, scratch)
        statistics = [start(frames, bins, planes(frames), scratch) for frames in pieces]
        spatial = fit(statistics, floor)
        for _ in range(iterations - 1):
            for index, frames in enumerate(pieces):
                statistics[index] = statistics_of(images(frames, statistics[index]), scratch)
            spatial = fit(statistics, floor)
        for frames, own in zip(pieces, statistics, strict=True):
            yield frames, images(frames, own)

    return block


def _assembled(block: _Block, mixture: Tensor, sources: Tensor, dtype: torch.dtype) -> Tensor:
    """Return all images, complex ``[B, S, C, F, N]``.

    Parameters
    ----------
    block : callable
    mixture : Tensor ``[batch, channels, bins, frames]``
    sources : Tensor ``[batch, sources, …]``
    dtype : torch.dtype
    """
    if _has_gradients(mixture, sources):

        def row(bins: slice, scratch: Scratch) -> Tensor:
            return torch.cat([_complex(images) for _, images in block(bins, scratch)], dim=-2)

        rows = _for_each_block(row, mixture, has_gradients=True)
        return torch.cat(rows, dim=-1).to(dtype).mT
    batch, channels, bins, frames = mixture.shape
    shape = (batch, sources.shape[1], channels, frames, bins)
    whole = empty_in_large_pages(shape, dtype, mixture.device)

    def fill(bins: slice, scratch: Scratch) -> None:
        for frames, images in block(bins, scratch):
            place = whole[..., frames, bins].transpose(0, 2)  # [C, S, B, n, F]
            real, imaginary = place.real, place.imag
            for source, image in enumerate(images):
                real[:, source], imaginary[:, source] = image.unbind(dim=1)

    _for_each_block(fill, mixture, has_gradients=False)
    return whole.mT


def _has_gradients(*inputs: Tensor) -> bool:
    return torch.is_grad_enabled() and any(each.requires_grad for each in inputs)


def _for_each_block(
    function: Callable[[slice, Scratch], _Result], mixture: Tensor, has_gradients: bool
) -> list[_Result]:
    """Call a function for each block of bins, several at a time if PyTorch may use threads.

    Threads with blocks of their own need not wait for each other in every operation, which takes
    long beside other programs.
    """
    blocks, device = _blocks(mixture), mixture.device
    workers = min(torch.get_num_threads(), len(blocks)) if device.type == "cpu" else 1
    numbers = _PLANE * (_FACTOR_OF_THREADS if workers > 1 else 1)
    has_inference_mode = torch.is_inference_mode_enabled()  # of this thread only

    def call(bins: slice) -> _Result:
        with torch.inference_mode(has_inference_mode), torch.no_grad():
            return function(bins, Scratch(device, numbers, is_used=True))

    if workers > 1 and not has_gradients:
        with worker_pool(workers, threads=workers) as pool:
            return list(map_awake(pool, call, blocks))
    with intra_op_threads(1):
        if has_gradients:
            return [function(bins, Scratch(device, numbers, is_used=False)) for bins in blocks]
        return [call(bins) for bins in blocks]


def _complex(images: Images) -> Tensor:
    """Return ``[B, S, C, n, F]``."""
    sources = [torch.complex(image[:, 0], image[:, 1]).transpose(0, 1) for image in images]
    return torch.stack(sources, dim=1)
