"""Figures of a separation without references.

They find faults, not quality: clipping, a missing top octave, stems that stay silent, and stems
that bleed into other stems.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from partita.dsp.levels import power_ratio_db
from partita.dsp.stft import Stft
from partita.errors import UsageError

_FULL_SCALE = 1 - 2**-15  # the largest sample of a 16-bit file
_WINDOW_S = 0.1
_SILENCE_POWER = 1e-6  # -60 dBFS
_SPECTRUM = Stft(4096, 2048)
_LOWEST_HZ = 20.0
_BANDWIDTH_RATIO = 1e-8  # -80 dB
_ACTIVE_RATIO = 0.1  # -10 dB: what bleeds into the other stem itself is not to count
_LEAST_FRAMES = 40
_BLOCK_SAMPLES = 1 << 20


@dataclass(frozen=True)
class StemFigures:
    """Figures of an estimate without its reference.

    Full scale is 1; powers are mean squares over all channels, so that a sinusoid of full scale
    has -3 dBFS. Windows last 100 ms; what is left behind the last whole one is not looked at,
    unless nothing else is there.

    Attributes
    ----------
    peak_db : float
        Largest sample, in dBFS; ``-inf`` for silence.
    clipped_share : float
        Share of samples in flat tops: three or more equal successive samples of a channel, at or
        beyond the full scale of 16 bits. Larger float samples that are not equal are not clipped
        yet; `peak_db` shows them.
    bandwidth_hz : float
        Highest frequency at which the long-term average power spectrum is within 80 dB of its
        peak, both above 20 Hz: the cut-off of a lossy codec or of a model of low sample rate.
        Music falls by less than that, noise of 16-bit files by more unless a stem is very quiet.
        A steep cut-off reads up to 150 Hz too high (at 44.1 kHz: side lobes of the window).
        NaN for silence and for less than one frame of 4096 samples.
    silent_share : float
        Share of windows whose power is below -60 dBFS.
    energy_share_db : float
        Energy over the energy of the mixture, in dB.
    correlations : dict of str to float
        For each other stem: the normalised inner product of the two signals, in [-1, 1]; NaN
        where one is silent. True sources are near 0.
    envelope_correlations : dict of str to float
        For each other stem: Pearson correlation of the root mean squares of the windows, in
        [-1, 1]; NaN where one is silent. Instruments that play together correlate without any
        fault: a figure to compare models by.
    bleed_db : dict of str to float
        For each other stem: how loud it is in this one, relative to itself, in dB (see Notes of
        `blind_figures`); at most 0. ``-inf`` where nothing of it is there, NaN where that cannot be
        judged.
    """

    peak_db: float
    clipped_share: float
    bandwidth_hz: float
    silent_share: float
    energy_share_db: float
    correlations: dict[str, float]
    envelope_correlations: dict[str, float]
    bleed_db: dict[str, float]


def blind_figures(
    mixture: Tensor, estimates: Mapping[str, Tensor], sample_rate: int
) -> dict[str, StemFigures]:
    """Compute figures of stems from the mixture alone.

    Parameters
    ----------
    mixture : Tensor ``[channels, samples]``
    estimates : mapping of str to Tensor ``[channels, samples]``
        By name of the stem; shaped like the mixture.
    sample_rate : int
        In Hz, of all signals.

    Returns
    -------
    dict of str to StemFigures
        In the order of the estimates.

    Raises
    ------
    UsageError
        No estimates, no samples, shapes that differ, or NaN or infinite samples.

    Notes
    -----
    Bleed follows the model of bleed between microphones of Prätzlich, Bittner, Liutkus & Müller,
    "Kernel additive modeling for interference reduction in multi-channel music recordings", ICASSP
    2015: powers add up, and a gain says how much of a voice is in another's channel. Here each
    third of an octave has its own gain. Each frame in which the other stem is active bounds that
    gain from above, by the ratio of the powers of the two stems, and the bound is tight where the
    stem itself pauses; as in minimum statistics (Martin, "Noise power spectral density estimation
    based on optimal smoothing and minimum statistics", IEEE TSAP 2001), the lowest bounds are
    taken: the energy ratio over the tenth of the frames where it is lowest, at most 1. The result
    is the mean of the gains, weighted with the energy of the other stem in its active frames.

    A stem is active in a band where it has more than -60 dBFS in all and is within 10 dB of the
    95th percentile of such frames. Bands with fewer than 40 active frames (2 s) do not count.

    The result is near the truth where, in each band, the stem pauses for a tenth of the frames in
    which the other one is active; too high where it does not (the true sources of 7 s of a pop
    song have -7 to -35 dB), and too low where bleed comes and goes. Compare models by it.
    """
    _check(mixture, estimates)
    names, signals = list(estimates), list(estimates.values())
    power = torch.stack([_window_powers(signal, sample_rate) for signal in signals])
    spectra = [_spectra(signal) for signal in signals]
    bands = [stem_bands for _, stem_bands in spectra]
    mixture_energy, gram = float(_gram([mixture])), _gram(signals)
    level = power.sqrt() - power.sqrt().mean(dim=-1, keepdim=True)
    tables = {
        "correlations": _normalise(gram),
        "envelope_correlations": _normalise(level @ level.T),
        "bleed_db": _bleed_table(bands),
    }
    return {
        name: StemFigures(
            peak_db=power_ratio_db(_peak(signal) ** 2, 1.0),
            clipped_share=float(clipped_samples(signal).double().mean()),
            bandwidth_hz=_bandwidth_hz(spectra[row][0], sample_rate),
            silent_share=float((power[row] < _SILENCE_POWER).double().mean()),
            energy_share_db=power_ratio_db(float(gram[row, row]), mixture_energy),
            **{key: _others(names, table[row], row) for key, table in tables.items()},
        )
        for row, (name, signal) in enumerate(zip(names, signals, strict=True))
    }


def _check(mixture: Tensor, estimates: Mapping[str, Tensor]) -> None:
    if not estimates:
        raise UsageError("no estimates to examine")
    if mixture.ndim != 2 or 0 in mixture.shape:
        raise UsageError(f"a mixture is [channels, samples], not {list(mixture.shape)}")
    for name, signal in {"mixture": mixture, **estimates}.items():
        if signal.shape != mixture.shape:
            shapes = f"{list(signal.shape)} and {list(mixture.shape)}"
            raise UsageError(f"{name} and mixture differ in shape: {shapes}")
        # A sum is NaN or infinite as soon as one of its terms is.
        if not math.isfinite(float(signal.sum(dtype=torch.float64))):
            raise UsageError(f"{name} holds NaN or infinite samples")


def _others(names: list[str], values: list[float], own: int) -> dict[str, float]:
    pairs = enumerate(zip(names, values, strict=True))
    return {name: value for index, (name, value) in pairs if index != own}


def _peak(signal: Tensor) -> float:
    low, high = torch.aminmax(signal)
    return max(-float(low), float(high))


def clipped_samples(signal: Tensor) -> Tensor:
    """Return which samples of ``[channels, samples]`` lie in flat tops: see `StemFigures`."""
    full = signal.abs() >= _FULL_SCALE
    flat = (signal[:, 1:] == signal[:, :-1]) & full[:, 1:]  # like the sample before
    starts = flat[:, 1:] & flat[:, :-1]  # three in a row from here
    if not starts.any():
        return torch.zeros_like(full)
    clipped = functional.pad(starts, (0, 2))
    for delay in (1, 2):
        clipped = clipped | functional.pad(starts, (delay, 2 - delay))
    return clipped


def _spectra(signal: Tensor) -> tuple[Tensor, Tensor]:
    """Return spectra of the frames that lie within blocks of the signal, all channels together.

    Returns
    -------
    tuple of Tensor ``[bins]`` and Tensor ``[bands, frames]``
        The mean over frames, and thirds of octaves, whose sum is the mean square of a frame.
    """
    mean, bands = torch.zeros(_SPECTRUM.bins, dtype=torch.float64), []
    scale = 16 / 3 / _SPECTRUM.fft_samples**2 / signal.shape[0]  # the window's mean square is 3/8
    for block in torch.split(signal, _BLOCK_SAMPLES, -1):
        inside = _SPECTRUM.analyse(block)[..., 1 : block.shape[-1] // _SPECTRUM.hop_samples]
        power = inside.abs().square().sum(dim=0).cpu().double() * scale  # [bins, frames]
        mean += power.sum(dim=-1)
        bands.append(torch.stack([band.sum(dim=0) for band in _thirds(power)]))
    frames = torch.cat(bands, dim=-1)
    return mean / max(frames.shape[-1], 1), frames


def _thirds(power: Tensor) -> tuple[Tensor, ...]:
    """Cut ``[bins, ...]`` into thirds of octaves, or single bins where those are wider."""
    octaves = math.log2(len(power) - 1)
    edges = {math.ceil(2 ** (third / 3)) for third in range(round(3 * octaves))}
    return torch.tensor_split(power, sorted(edges))[1:]


def _bandwidth_hz(spectrum: Tensor, sample_rate: int) -> float:
    bin_hz = sample_rate / _SPECTRUM.fft_samples
    audible = spectrum.clone()
    audible[: math.ceil(_LOWEST_HZ / bin_hz)] = 0
    if not audible.any():
        return math.nan
    return float((audible >= _BANDWIDTH_RATIO * audible.max()).nonzero().max()) * bin_hz


def _window_powers(signal: Tensor, sample_rate: int) -> Tensor:
    """Return the mean square of each window: ``[windows]``."""
    channels, samples = signal.shape
    length = min(round(_WINDOW_S * sample_rate), samples)
    windows = samples // length
    cut = signal[:, : windows * length].reshape(channels, windows, length)
    norms: Tensor = torch.linalg.vector_norm(cut, dim=(0, 2), dtype=torch.float64)
    return norms.square().cpu() / (channels * length)


def _gram(signals: list[Tensor]) -> Tensor:
    """Return the inner products of all pairs of signals, all channels together."""
    gram = torch.zeros(len(signals), len(signals), dtype=torch.float64)
    for blocks in zip(
        *(torch.split(signal, _BLOCK_SAMPLES, -1) for signal in signals), strict=True
    ):
        stacked = torch.stack([block.flatten() for block in blocks]).double()
        gram += (stacked @ stacked.T).cpu()
    return gram


def _normalise(gram: Tensor) -> list[list[float]]:
    norms = gram.diagonal().sqrt()
    table: list[list[float]] = (gram / norms / norms.unsqueeze(-1)).clamp(-1, 1).tolist()
    return table


def _bleed_table(bands: list[Tensor]) -> list[list[float]]:
    """Return how loud each stem is in each stem (rows), from their powers ``[bands, frames]``."""
    active = [_active(powers) for powers in bands]
    return [
        [_bleed_db(stem, other, frames) for other, frames in zip(bands, active, strict=True)]
        for stem in bands
    ]


def _active(powers: Tensor) -> Tensor:
    """Return in which of ``[bands, frames]`` a stem is loud enough to bleed into others."""
    sounding = powers.sum(dim=0) >= _SILENCE_POWER
    if not sounding.any():
        return torch.zeros_like(powers, dtype=torch.bool)
    loud = powers[:, sounding].quantile(0.95, dim=-1, keepdim=True)
    return sounding & (powers > 0) & (powers >= _ACTIVE_RATIO * loud)


def _bleed_db(stem: Tensor, other: Tensor, active: Tensor) -> float:
    bled = total = 0.0
    for band, frames in enumerate(active):
        own, theirs = stem[band, frames], other[band, frames]
        if len(theirs) < _LEAST_FRAMES:
            continue
        lowest = (own / theirs).argsort()[: len(theirs) // 10]
        gain = min(1.0, float(own[lowest].sum() / theirs[lowest].sum()))
        energy = float(theirs.sum())
        bled += gain * energy
        total += energy
    return power_ratio_db(bled, total) if total else math.nan
