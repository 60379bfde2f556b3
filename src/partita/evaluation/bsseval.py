"""BSS Eval: SDR, ISR, SIR and SAR with multichannel distortion filters, versions 3 and 4.

Vincent, Gribonval & Févotte, "Performance measurement in blind audio source separation", IEEE
TASLP 2006; Vincent et al., "The signal separation evaluation campaign (2007–2010)", Signal
Processing 2012 (images version); Stöter, Liutkus & Ito, "The 2018 signal separation evaluation
campaign", LVA/ICA 2018 (version 4). Defined as museval 0.4.1 computes it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.errors import UsageError

_FIGURES = ("sdr", "isr", "sir", "sar")
_BLOCK_FFT = 1 << 15
_CHUNK_BYTES = 1 << 27  # of the spectra that are held at once


@dataclass(frozen=True)
class BssScores:
    """Figures for each source and window.

    Attributes
    ----------
    sdr, isr, sir, sar : Tensor ``[sources, windows]``
        In dB; NaN where a reference or an estimate is silent throughout the window (see
        `bss_eval`). ISR is NaN in the sources version, which does not define it.
    permutation : Tensor ``[sources, windows]`` of int
        Which estimate was taken for each source; counts up unless a search was asked for.
    """

    sdr: Tensor
    isr: Tensor
    sir: Tensor
    sar: Tensor
    permutation: Tensor


def bss_eval(
    references: Tensor,
    estimates: Tensor,
    *,
    window: int | None = 44100,
    hop: int | None = None,
    filter_samples: int = 512,
    framewise_filters: bool = False,
    sources_version: bool = False,
    search_permutation: bool = False,
) -> BssScores:
    """Score estimates against references.

    Each estimate is the sum of its true source, spatial distortion, interference and artifacts;
    distortion and interference are what filters of `filter_samples` taps can make of the source,
    and of all sources (2012, equations 1 to 4). Ratios of their energies are the figures.

    Parameters
    ----------
    references, estimates : Tensor ``[sources, channels, samples]``
        Of the same shape; computed with in float64 on the references' device.
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

    Departures from museval: it refuses references that are silent throughout; here they are taken
    out of the mixture model, the other sources are scored, and theirs are NaN. The normal
    equations are solved by Cholesky instead of LU factors, one for all estimates; energies are
    taken in the frequency domain (Parseval).
    """
    references, estimates = _check(references), _check(estimates)
    if references.shape != estimates.shape:
        shapes = f"{list(references.shape)} and {list(estimates.shape)}"
        raise UsageError(f"references and estimates differ in shape: {shapes}")
    estimates = estimates.to(references.device)
    sources = references.shape[0]
    sounding = [index for index in range(sources) if not _is_silent(references[index])]
    windows = _windows(references.shape[-1], window, hop)
    figures = torch.full(
        (4, sources, sources, len(windows)),
        torch.nan,
        dtype=torch.float64,
        device=references.device,
    )
    if sounding:
        kept = references[sounding]
        pairs = [
            (true, estimated)
            for true in range(len(sounding))
            for estimated in (range(sources) if search_permutation else [sounding[true]])
        ]
        scored = _score(
            kept, estimates, windows, pairs, filter_samples, framewise_filters, sources_version
        )
        for (true, estimated), values in zip(pairs, scored, strict=True):
            figures[:, sounding[true], estimated] = values
    return _choose(figures, search_permutation, framewise_filters)


def _check(signals: Tensor) -> Tensor:
    if signals.ndim != 3 or 0 in signals.shape:
        raise UsageError(
            f"signals to score are [sources, channels, samples], not {list(signals.shape)}"
        )
    # A sum is NaN or infinite as soon as one of its terms is.
    if not math.isfinite(float(signals.sum(dtype=torch.float64))):
        raise UsageError("signals to score hold NaN or infinite samples")
    return signals.double()


def _is_silent(signal: Tensor) -> bool:
    return not bool(signal.sum(dim=-2).any())


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
    """Pick the estimate of each source: ``[4, true, estimated, windows]`` to `BssScores`."""
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
    index = best[None, :, None].expand(4, -1, -1, -1)  # [4, sources, 1, windows]
    chosen = figures.gather(2, index).squeeze(2)
    return BssScores(**dict(zip(_FIGURES, chosen, strict=True)), permutation=best)


def _score(
    references: Tensor,
    estimates: Tensor,
    windows: list[slice],
    pairs: list[tuple[int, int]],
    taps: int,
    framewise: bool,
    sources_version: bool,
) -> Tensor:
    """Return ``[pairs, 4, windows]`` for pairs of (reference, estimate)."""
    filters = None if framewise else _Filters(references, estimates, pairs, taps)
    results = torch.full(
        (len(pairs), 4, len(windows)), torch.nan, dtype=torch.float64, device=references.device
    )
    length = windows[0].stop - windows[0].start
    for group in _groups(len(windows), 1 if framewise else _windows_at_once(references, length)):
        here = [windows[index] for index in group]
        true = torch.stack([references[..., w] for w in here])  # [windows, sources, C, T]
        guess = torch.stack([estimates[..., w] for w in here])
        audible = ~(_silent_windows(true) | _silent_windows(guess))
        if not audible.any():
            continue
        if framewise:
            filters = _Filters(true[0], guess[0], pairs, taps)
        assert filters is not None
        values = filters.figures(true, guess, sources_version)  # [pairs, 4, windows]
        results[..., group] = torch.where(audible, values, torch.nan)
    return results


def _groups(count: int, size: int) -> Iterator[list[int]]:
    for start in range(0, count, size):
        yield list(range(start, min(start + size, count)))


def _windows_at_once(references: Tensor, length: int) -> int:
    channels = references.shape[0] * references.shape[1]
    return max(1, _CHUNK_BYTES // (16 * length * 4 * channels))


def _silent_windows(signals: Tensor) -> Tensor:
    """Tell which of ``[windows, sources, channels, samples]`` hold a silent source."""
    return ~signals.sum(dim=2).bool().any(dim=-1).all(dim=-1)


class _Filters:
    """Least-squares filters from references to estimates, and what they leave.

    Shapes: R references, E estimates, C channels, L taps; channels of all references together are
    numbered 0 … R C - 1.
    """

    def __init__(
        self, references: Tensor, estimates: Tensor, pairs: list[tuple[int, int]], taps: int
    ) -> None:
        count, channels, _ = references.shape
        self.pairs, self.taps = pairs, taps
        used = sorted({estimated for _, estimated in pairs})
        self._column = {estimated: index for index, estimated in enumerate(used)}
        inputs = references.flatten(0, 1)  # [R C, T]
        outputs = estimates[used].flatten(0, 1)  # [E C, T]
        correlations = _correlate(inputs, torch.cat([inputs, outputs]), taps)  # [R C, R C + E C, L]
        among, towards = correlations[:, : len(inputs)], correlations[:, len(inputs) :]
        gram = _toeplitz_blocks(among)  # [R C L, R C L]
        right = towards.permute(0, 2, 1)  # [R C, L, E C]
        self.all = self._as_filters(_solve(gram, right.flatten(0, 1)), channels)
        own = []
        size = channels * taps
        for true in range(count):
            block = gram[true * size : (true + 1) * size, true * size : (true + 1) * size]
            right_own = right[true * channels : (true + 1) * channels].flatten(0, 1)
            own.append(self._as_filters(_solve(block, right_own), channels))  # [E, C, C, L]
        self.own = torch.stack(own)  # [R, E, C, C, L]

    def _as_filters(self, solution: Tensor, channels: int) -> Tensor:
        """Rearrange ``[inputs L, E C]`` to ``[E, C, inputs, L]``."""
        estimates = solution.shape[1] // channels
        return solution.reshape(-1, self.taps, estimates, channels).permute(2, 3, 0, 1)

    def figures(self, true: Tensor, guess: Tensor, sources_version: bool) -> Tensor:
        """Return ``[pairs, 4, windows]`` for ``[windows, sources, channels, samples]``."""
        samples = true.shape[-1]
        size = _fast_length(samples + self.taps - 1)
        spectra = torch.fft.rfft(true, size)  # [W, R, C, F]
        guesses = torch.fft.rfft(guess, size)
        everything = _filter(torch.fft.rfft(self.all, size), spectra.flatten(1, 2))  # [E, W, C, F]
        results = []
        for reference, estimated in self.pairs:
            column = self._column[estimated]
            kernel = torch.fft.rfft(self.own[reference, column], size)
            target = spectra[:, reference]
            image = _filter(kernel[None], target)[0]  # [W, C, F]
            explained = everything[column]
            artifacts = _energy(guesses[:, estimated] - explained, size)
            interference = _energy(explained - image, size)
            sar = _ratio_db(_energy(explained, size), artifacts)
            sir = _ratio_db(_energy(image, size), interference)
            if sources_version:
                rest = _energy(guesses[:, estimated] - image, size)
                sdr = _ratio_db(_energy(image, size), rest)
                isr = torch.full_like(sdr, torch.nan)
            else:
                energy = true[:, reference].square().sum(dim=(1, 2))
                error = (guess[:, estimated] - true[:, reference]).square().sum(dim=(1, 2))
                sdr = _ratio_db(energy, error)
                isr = _ratio_db(energy, _energy(image - target, size))
            results.append(torch.stack([sdr, isr, sir, sar]))
        return torch.stack(results)


def _correlate(inputs: Tensor, others: Tensor, taps: int) -> Tensor:
    """Return ``[inputs, others, taps]``: the sum over t of ``input[t] * other[t + lag]``.

    Blocks of the input, each against the same block of the other and what follows it; their cross
    spectra add up, so one inverse transform is enough.
    """
    size = min(_BLOCK_FFT, _fast_length(inputs.shape[-1] + taps))
    block = size - taps + 1
    count = -(-inputs.shape[-1] // block)
    padded = torch.nn.functional.pad(inputs, (0, count * block - inputs.shape[-1]))
    others = torch.nn.functional.pad(others, (0, count * block + taps - 1 - others.shape[-1]))
    starts = padded.reshape(-1, count, block)  # [inputs, blocks, block]
    longer = others.unfold(-1, size, block)  # [others, blocks, size]
    cross = inputs.new_zeros(size // 2 + 1, len(inputs), len(others), dtype=torch.complex128)
    at_once = max(1, _CHUNK_BYTES // (16 * size * len(others)))
    for group in _groups(count, at_once):
        chosen = slice(group[0], group[-1] + 1)
        first = torch.fft.rfft(starts[:, chosen], size).permute(2, 0, 1).conj()  # [F, inputs, b]
        second = torch.fft.rfft(longer[:, chosen]).permute(2, 1, 0)  # [F, b, others]
        cross += first @ second
    correlations: Tensor = torch.fft.irfft(cross.permute(1, 2, 0), size)[..., :taps]
    return correlations


def _toeplitz_blocks(correlations: Tensor) -> Tensor:
    """Return the Gram matrix ``[n L, n L]`` of all delays from correlations ``[n, n, L]``.

    Row (i, a), column (j, b) holds the correlation of i and j at lag a - b; negative lags are the
    positive ones of j and i.
    """
    count, _, taps = correlations.shape
    negative = correlations.transpose(0, 1)[..., 1:].flip(-1)
    lags = torch.cat([negative, correlations], dim=-1)  # [n, n, 2 L - 1], lag -L + 1 first
    # Falling lags unfold to rows that rise by one: a Hankel matrix, upside down.
    blocks = lags.flip(-1).unfold(-1, taps, 1).flip(-2)  # [n, n, L, L]
    return blocks.transpose(1, 2).reshape(count * taps, count * taps)


def _solve(gram: Tensor, right: Tensor) -> Tensor:
    """Solve the normal equations, with museval's tiny ridge."""
    ridged = gram.clone()
    ridged.diagonal().add_(torch.finfo(torch.float64).eps)
    factor, info = torch.linalg.cholesky_ex(ridged)
    if not info.any():
        return torch.cholesky_solve(right, factor)
    solution: Tensor  # singular to rounding: do what museval does
    try:
        solution = torch.linalg.solve(ridged, right)
    except RuntimeError:
        solution = torch.linalg.lstsq(gram, right).solution
    return solution


def _filter(kernels: Tensor, spectra: Tensor) -> Tensor:
    """Apply ``[E, C, inputs, F]`` to ``[W, inputs, F]``; return ``[E, W, C, F]``."""
    count, channels = kernels.shape[:2]
    stacked = kernels.flatten(0, 1).permute(2, 0, 1)  # [F, E C, inputs]
    outputs = stacked @ spectra.permute(2, 1, 0)  # [F, E C, W]
    return outputs.reshape(-1, count, channels, len(spectra)).permute(1, 3, 2, 0)


def _energy(spectrum: Tensor, size: int) -> Tensor:
    """Return the energies ``[W]`` of real signals from half spectra ``[W, C, F]`` (Parseval)."""
    values = torch.view_as_real(spectrum).reshape(len(spectrum), -1)  # [W, C F 2]
    total = torch.einsum("wn,wn->w", values, values)  # no squares in memory
    edges = spectrum[:, :, 0].real.square().sum(dim=1)
    if size % 2 == 0:
        edges = edges + spectrum[:, :, -1].real.square().sum(dim=1)
    return (2 * total - edges) / size


def _ratio_db(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return dB, ``inf`` where the denominator is zero."""
    ratio = 10 * (numerator / denominator).log10()
    return torch.where(denominator == 0, torch.inf, ratio)


def _fast_length(least: int) -> int:
    """Return the smallest even length from `least` up whose only factors are 2, 3 and 5."""
    length = least + least % 2
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 2
