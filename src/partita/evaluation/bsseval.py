"""BSS Eval: SDR, ISR, SIR and SAR with multichannel distortion filters, versions 3 and 4.

Vincent, Gribonval & Févotte, "Performance measurement in blind audio source separation", IEEE
TASLP 2006; Vincent et al., "The signal separation evaluation campaign (2007–2010)", Signal
Processing 2012 (images version); Stöter, Liutkus & Ito, "The 2018 signal separation evaluation
campaign", LVA/ICA 2018 (version 4). Defined as museval 0.4.1 computes it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.errors import UsageError
from partita.evaluation._decomposition import FIGURES, Signals, is_silent, score
from partita.progress import Progress


@dataclass(frozen=True)
class BssScores:
    """Figures for each source and window.

    Attributes
    ----------
    sdr, isr, sir, sar : Tensor ``[sources, windows]``
        In dB; NaN where a reference or an estimate is silent throughout the window (see
        `bss_eval`). ISR is NaN in the sources version, which does not define it.
    snr : Tensor ``[sources, windows]``
        In dB, equation 20 of 2006 (7 of Goel et al.); ``inf`` where no noises were given.
    permutation : Tensor ``[sources, windows]`` of int
        Which estimate was taken for each source; counts up unless a search was asked for.
    """

    sdr: Tensor
    isr: Tensor
    sir: Tensor
    sar: Tensor
    snr: Tensor
    permutation: Tensor


def bss_eval(
    references: Tensor,
    estimates: Tensor,
    *,
    noises: Tensor | None = None,
    window: int | None = 44100,
    hop: int | None = None,
    filter_samples: int = 512,
    framewise_filters: bool = False,
    sources_version: bool = False,
    search_permutation: bool = False,
    progress: Progress | None = None,
) -> BssScores:
    """Score estimates against references.

    Each estimate is the sum of its true source, spatial distortion, interference and artifacts;
    distortion and interference are what filters of `filter_samples` taps can make of the source,
    and of all sources (2012, equations 1 to 4). Ratios of their energies are the figures.

    Parameters
    ----------
    references, estimates : Tensor ``[sources, channels, samples]``
        Of the same shape; computed with in float64 on the references' device.
    noises : Tensor ``[noises, channels, samples]``, optional
        Noise that was mixed in (2006, section III-A): what filters can make of an estimate from it
        counts as noise, in the SNR, and not as artifacts.
    window, hop : int
        In samples; hop defaults to the window, and a window of None is the whole track. What is
        left behind the last whole window is not scored, but version 4's filters fit it too.
    filter_samples : int
        Length of the distortion filters.
    framewise_filters : bool
        False: one filter for the whole track (version 4). True: one for each window (version 3).
    sources_version : bool
        Compare filtered sources instead of images (2006): the SDR forgives spatial distortion.
    search_permutation : bool
        Try every assignment of estimates to sources and keep the one with the best mean SIR, for
        the whole track in version 4, for each window in version 3.
    progress : callable, optional
        Called with samples, instead of seconds.

    Returns
    -------
    BssScores

    Raises
    ------
    UsageError
        Shapes differ, nothing to score, or NaN or infinite samples.

    Notes
    -----
    A window in which any reference or any estimate is silent (its channels add up to zero in every
    sample, which is museval's test) is NaN for all sources.

    Departures from museval: it refuses references and estimates that are silent throughout; here
    such references are taken out of the mixture model, the other sources are scored, and theirs
    are NaN. The normal
    equations are solved by the Schur algorithm for block Toeplitz matrices instead of LU factors,
    one for all estimates; energies come from the correlations of signals and filters, so no signal
    is ever filtered. Ratios beyond 120 dB are rounding errors.
    """
    references, estimates = _check(references), _check(estimates)
    if references.shape != estimates.shape:
        shapes = f"{list(references.shape)} and {list(estimates.shape)}"
        raise UsageError(f"references and estimates differ in shape: {shapes}")
    estimates = estimates.to(references.device)
    if noises is not None:
        noises = _check(noises).to(references.device)
        if noises.shape[1:] != references.shape[1:]:
            shapes = f"{list(noises.shape)} and {list(references.shape)}"
            raise UsageError(f"noises and references differ in channels or samples: {shapes}")
    sources = references.shape[0]
    ours, theirs = (
        [index for index in range(sources) if not is_silent(signals[index])]
        for signals in (references, estimates)
    )
    windows = _windows(references.shape[-1], window, hop)
    figures = torch.full(
        (len(FIGURES), sources, sources, len(windows)),
        torch.nan,
        dtype=torch.float64,
        device=references.device,
    )
    pairs = [
        (true, estimated)
        for true in ours
        for estimated in (theirs if search_permutation else [true])
        if estimated in theirs
    ]
    if pairs:
        scored = score(
            Signals(_chosen(references, ours), noises, _chosen(estimates, theirs)),
            windows,
            [(ours.index(true), theirs.index(estimated)) for true, estimated in pairs],
            taps=filter_samples,
            framewise=framewise_filters,
            sources_version=sources_version,
            progress=progress,
        )
        for (true, estimated), values in zip(pairs, scored, strict=True):
            figures[:, true, estimated] = values
    return _choose(figures, search_permutation, framewise_filters)


def _check(signals: Tensor) -> Tensor:
    if signals.ndim != 3 or 0 in signals.shape:
        raise UsageError(
            f"signals to score are [sources, channels, samples], not {list(signals.shape)}"
        )
    # A sum is NaN or infinite as soon as one of its terms is.
    if not math.isfinite(float(signals.sum(dtype=torch.float64))):
        raise UsageError("signals to score hold NaN or infinite samples")
    return signals


def _chosen(signals: Tensor, indices: list[int]) -> Tensor:
    """Return some of the signals; all of them are not copied."""
    return signals if len(indices) == len(signals) else signals[indices]


def _windows(samples: int, window: int | None, hop: int | None) -> list[slice]:
    """Cut as museval's Framing does: whole windows only, unless the track is shorter than one."""
    if window is None or window >= samples:
        return [slice(0, samples)]
    hop = hop or window
    if window < 1 or hop < 1:
        raise UsageError(f"a window of {window} samples cannot hop by {hop}")
    count = (samples - window + hop) // hop
    return [slice(index * hop, index * hop + window) for index in range(count)]


def _choose(figures: Tensor, search: bool, framewise: bool) -> BssScores:
    """Pick the estimate of each source: ``[figures, true, estimated, windows]`` to `BssScores`."""
    _, sources, _, windows = figures.shape
    best = torch.arange(sources, device=figures.device)[:, None].repeat(1, windows)
    if search:
        candidates = torch.tensor(
            list(itertools.permutations(range(sources))), device=figures.device
        )
        true = torch.arange(sources, device=figures.device)
        sir = figures[2, true, candidates]  # [candidates, sources, windows]
        mean_sir = sir.mean(dim=1) if framewise else sir.mean(dim=(1, 2))[:, None]
        best = candidates[mean_sir.nan_to_num(-torch.inf).argmax(dim=0)].T.expand(-1, windows)
    index = best[None, :, None].expand(len(FIGURES), -1, -1, -1)  # [figures, sources, 1, windows]
    chosen = figures.gather(2, index).squeeze(2)
    return BssScores(**dict(zip(FIGURES, chosen, strict=True)), permutation=best)
