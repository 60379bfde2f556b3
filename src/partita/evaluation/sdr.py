"""Figures that compare signals sample by sample or bin by bin, without distortion filters.

All are computed in float64. A NaN sample makes the figures that depend on it NaN; ratios of
energies follow `power_ratio_db`: nothing over anything is ``-inf``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from partita.dsp.levels import NullMeter, power_ratio_db
from partita.dsp.stft import Stft

_MDX_EPSILON = 1e-7
_BLOCK_SAMPLES = 1 << 15  # fits caches, which long blocks do not
_BLOCK_FRAMES = 256
_RANK_TOLERANCE = 1e-10  # of eigenvalues: references of unit energy that differ by less are one


@dataclass(frozen=True)
class ScaleInvariantScores:
    """Scale-invariant figures of each source.

    Attributes
    ----------
    sdr, sir, sar : Tensor ``[sources]``
        In dB, float64.
    """

    sdr: Tensor
    sir: Tensor
    sar: Tensor


@dataclass(frozen=True)
class SpectralDistances:
    """How far the magnitudes of two spectrograms are apart, on average over all bins.

    Attributes
    ----------
    l1 : float
        Mean absolute difference, in sample units.
    l2 : float
        Mean squared difference, in sample units squared.
    """

    l1: float
    l2: float


def sdr_db(reference: Tensor, estimate: Tensor) -> float:
    """Return the signal-to-distortion ratio of a whole track.

    The definition of the Music Demixing Challenges (Mitsufuji et al., "Music Demixing Challenge
    2021", Frontiers in Signal Processing 2022, equation 1), without their epsilon: energy of the
    reference over the energy of the error, all channels together. Papers on speech call this
    figure SNR.

    Parameters
    ----------
    reference, estimate : Tensor ``[channels, samples]``
        Of the same shape.

    Returns
    -------
    float
        In dB; ``inf`` for a perfect estimate, ``-inf`` for a silent reference.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    return power_ratio_db(*_energies(reference, estimate))


def mdx_sdr_db(reference: Tensor, estimate: Tensor) -> float:
    """Return the signal-to-distortion ratio as the Music Demixing Challenges compute it.

    `sdr_db` with 1e-7 added to both energies, as the challenges' starter kits do (Mitsufuji et
    al. 2022, equation 1): silent references and perfect estimates get finite scores.

    Parameters
    ----------
    reference, estimate : Tensor ``[channels, samples]``
        Of the same shape; full scale is 1.

    Returns
    -------
    float
        In dB, finite for all finite samples; 0 for a silent estimate of silence.

    Raises
    ------
    ValueError
        The shapes differ.

    Notes
    -----
    Departure from the starter kit: float64 instead of the files' precision.
    """
    reference_energy, error_energy = _energies(reference, estimate)
    return power_ratio_db(reference_energy + _MDX_EPSILON, error_energy + _MDX_EPSILON)


def si_sdr_db(reference: Tensor, estimate: Tensor) -> float:
    """Return the scale-invariant SDR of one source: see `scale_invariant_db`.

    Parameters
    ----------
    reference, estimate : Tensor ``[channels, samples]``
        Of the same shape.

    Returns
    -------
    float
        In dB.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check_shapes(reference, estimate)
    return float(scale_invariant_db(reference.unsqueeze(0), estimate.unsqueeze(0)).sdr)


def scale_invariant_db(references: Tensor, estimates: Tensor) -> ScaleInvariantScores:
    """Return SI-SDR, SI-SIR and SI-SAR of each source.

    Le Roux, Wisdom, Erdogan & Hershey, "SDR – half-baked or well done?", ICASSP 2019, sections 2
    and 3. An estimate is the sum of three parts: the target, its projection onto the true source;
    interference, what its projection onto the span of all references has besides; and artifacts,
    the rest. SI-SDR, SI-SIR and SI-SAR are the energy of the target over that of both errors, of
    interference and of artifacts, so that ``10^(-SDR/10) = 10^(-SIR/10) + 10^(-SAR/10)`` (BSS
    Eval's SAR counts interference as signal and does not obey this).

    Parameters
    ----------
    references, estimates : Tensor ``[sources, channels, samples]``
        Of the same shape. The channels of a source count as one long signal with one gain.

    Returns
    -------
    ScaleInvariantScores
        ``-inf`` for a silent reference, a silent estimate and an estimate that is orthogonal to
        its reference. Errors that are zero on paper show as rounding, some 300 dB down.

    Raises
    ------
    ValueError
        The shapes differ or are not those of several sources.

    Notes
    -----
    Departures from the paper: no epsilon; the span is that of any number of references instead
    of one source and noise, and silent or linearly dependent ones do no harm to it.
    """
    _check_shapes(references, estimates)
    if references.ndim != 3:
        raise ValueError(f"sources are [sources, channels, samples], not {list(references.shape)}")
    pairs = references.flatten(1), estimates.flatten(1)  # [sources, channels * samples]
    sources = references.shape[0]
    gram = references.new_zeros(2 * sources, 2 * sources, dtype=torch.float64)
    for block in map(torch.cat, _blocks(*pairs)):
        gram += block @ block.T
    products = gram[sources:, :sources]  # of estimates and references
    gains = _own_gains(gram[:sources, :sources], products)
    mixing = _projection(gram[:sources, :sources], products)
    energies = gram.new_zeros(4, sources)
    for true, found in _blocks(*pairs):
        target, explained = gains.unsqueeze(-1) * true, mixing @ true
        parts = torch.stack([target, found - target, explained - target, found - explained])
        energies += parts.square().sum(dim=-1)
    targets, *errors = energies.tolist()
    ratios = [list(map(power_ratio_db, targets, error)) for error in errors]
    return ScaleInvariantScores(*torch.tensor(ratios, dtype=torch.float64))


def spectral_distances(
    reference: Tensor, estimate: Tensor, *, fft_samples: int = 4096, hop_samples: int = 1024
) -> SpectralDistances:
    """Return the mean distances between the magnitudes of two spectrograms.

    The L1 and L2 reconstruction losses of Défossez, Usunier, Bottou & Bach, "Music source
    separation in the waveform domain" (2019), taken of magnitudes; L2 of magnitudes is what
    Open-Unmix is trained with (Stöter, Uhlich, Liutkus & Mitsufuji, JOSS 2019).

    Parameters
    ----------
    reference, estimate : Tensor ``[channels, samples]``
        Of the same shape.
    fft_samples, hop_samples : int
        Frames of `Stft`; the defaults are Open-Unmix's.

    Returns
    -------
    SpectralDistances
        Both 0 for a perfect estimate and for silence estimated as silence.

    Raises
    ------
    ValueError
        The shapes differ, or frames cannot hop like that.

    Notes
    -----
    Departure from the losses above: magnitudes are divided by the sum of the window, so that they
    do not depend on its length and a sinusoid of amplitude A has a peak of A/2.
    """
    _check_shapes(reference, estimate)
    stft = Stft(fft_samples, hop_samples)
    absolute = squared = 0.0
    for true, found in zip(_magnitudes(reference, stft), _magnitudes(estimate, stft), strict=True):
        difference = true - found
        absolute += float(difference.abs().sum())
        squared += float(difference.square().sum())
    cells = reference.shape[0] * stft.bins * stft.frames(reference.shape[-1])
    return SpectralDistances(absolute / cells, squared / cells)


def null_depth_db(mixture: Tensor, estimates: Tensor) -> float:
    """Return the energy of the residual over the energy of the mixture.

    Parameters
    ----------
    mixture : Tensor ``[channels, samples]``
    estimates : Tensor ``[sources, channels, samples]``

    Returns
    -------
    float
        In dB, the lower the better; ``-inf`` for an exact sum, ``inf`` for a silent mixture of
        estimates that do not cancel. Estimates are added in their own precision: float32 stems
        that were made to add up end in float32.

    Raises
    ------
    ValueError
        The estimates are not shaped like the mixture.
    """
    _check_shapes(mixture, estimates[0] if len(estimates) else estimates)
    meter = NullMeter()
    blocks = [torch.split(signals, _BLOCK_SAMPLES, -1) for signals in (mixture, estimates)]
    for mixed, found in zip(*blocks, strict=True):
        meter.add(mixed, found)
    return meter.null_depth_db


def _check_shapes(reference: Tensor, estimate: Tensor) -> None:
    if reference.shape != estimate.shape:
        raise ValueError(f"shapes differ: {list(reference.shape)} and {list(estimate.shape)}")


def _energies(reference: Tensor, estimate: Tensor) -> tuple[float, float]:
    """Return the energies of the reference and of the error."""
    _check_shapes(reference, estimate)
    energies = torch.zeros(2, dtype=torch.float64, device=reference.device)
    for true, found in _blocks(reference, estimate):
        energies += torch.stack([true.square().sum(), (true - found).square().sum()])
    energy, error = energies.tolist()
    return energy, error


def _blocks(*signals: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield excerpts in float64: a whole song of several sources would take gigabytes."""
    blocks = [torch.split(signal, _BLOCK_SAMPLES, -1) for signal in signals]
    for block in zip(*blocks, strict=True):
        yield tuple(excerpt.double() for excerpt in block)


def _own_gains(gram: Tensor, products: Tensor) -> Tensor:
    """Return by how much each reference is to be multiplied to be nearest to its estimate."""
    energy, product = gram.diagonal(), products.diagonal()
    return torch.where(energy == 0, product, product / energy)  # 0, or NaN, of a silent reference


def _projection(gram: Tensor, products: Tensor) -> Tensor:
    """Return the gains ``[estimates, references]`` of estimates projected onto the references."""
    if not math.isfinite(float(gram.sum())):
        return torch.full_like(products, torch.nan)
    energy = gram.diagonal()
    scale = torch.where(energy > 0, energy.rsqrt(), 0)
    inverse: Tensor = torch.linalg.pinv(
        gram * scale * scale.unsqueeze(-1), rtol=_RANK_TOLERANCE, hermitian=True
    )
    return (products * scale) @ inverse * scale


def _magnitudes(signal: Tensor, stft: Stft) -> Iterator[Tensor]:
    """Yield the magnitudes of the spectrogram ``[channels, bins, frames]``, some frames at once."""
    samples, reach, hop = signal.shape[-1], stft.fft_samples, stft.hop_samples
    window_sum = reach / 2  # of a periodic Hann window
    for first in range(0, stft.frames(samples), _BLOCK_FRAMES):
        count = min(_BLOCK_FRAMES, stft.frames(samples) - first)
        start, end = first * hop - reach, (first + count) * hop + reach
        excerpt = signal[:, max(start, 0) : end].double()
        padded = functional.pad(excerpt, (max(-start, 0), max(end - samples, 0)))
        before = reach // hop  # frames that reach out of the excerpt
        yield stft.analyse(padded)[..., before : before + count].abs() / window_sum
