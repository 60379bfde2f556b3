"""Mistakes in estimates: a constant shift, inverted polarity, swapped channels or names.

Such estimates are scored as they are, but their scores say little about the separation. The shift
is the peak of the generalised cross-correlation with phase transform (Knapp & Carter, "The
generalized correlation method for estimation of time delay", IEEE TASSP 1976): as all frequencies
count alike, the peak is one sample wide and stands far above those of beats and periods.
Departures: weak bins count less (see `_WEAK`), and cross spectra of several excerpts and of all
targets are added up first.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from partita.evaluation._decomposition import is_silent

_EXCERPT_SAMPLES = 1 << 17  # 3 s at 44.1 kHz
_MOST_EXCERPTS = 8
_LONGEST_SHIFT_S = 1.0
_WEAK = 1e-4  # of the mean cross power: what is weaker hardly counts in the phase transform
_CLEAR_PEAK = 10.0  # in standard deviations of the whole correlation
_PLAIN_SHARE = 0.5  # of the highest peak that there could be: no doubt is left
_OTHER_PEAKS, _MOST_PEAKS = 0.3, 20  # tried besides the highest one; height relative to it
_NEAR_SAMPLES, _NEAR_HEIGHT = 64, 0.9
_ONE_DB = 10**0.1
_FAIR, _FAR_BETTER = 0.25, 2.0  # of scale-invariant SDRs as ratios: -6 dB, 3 dB
_LESS_ERROR = 0.5  # of the energy, with channels swapped
_ALIKE, _UNLIKE, _UNRELATED = 0.7, 0.3, 0.02  # correlation coefficients


@dataclass(frozen=True)
class Shift:
    """The shift between two signals.

    Attributes
    ----------
    samples : int
        Positive: it is late.
    inverted : bool
        Whether its polarity is opposite.
    is_plain : bool
        Whether most phases agree: there is hardly anything but a shift.
    """

    samples: int
    inverted: bool
    is_plain: bool


def find_shift(references: Tensor, estimates: Tensor, sample_rate: int) -> Shift | None:
    """Find the constant shift of estimates, at most one second.

    Parameters
    ----------
    references, estimates : Tensor ``[signals, samples]``
        Mono, of the same shape; all estimates are shifted alike.
    sample_rate : int
        In hertz.

    Returns
    -------
    Shift or None
        None: no peak is clear, as where the estimates are of another song.
    """
    samples = references.shape[-1]
    reach = min(round(_LONGEST_SHIFT_S * sample_rate), _EXCERPT_SAMPLES // 2, samples // 2)
    size = min(_EXCERPT_SAMPLES, samples)
    if reach < 1:
        return None
    pairs = [
        (
            references[:, start : start + size].float(),
            _excerpt(estimates, start - reach, size + 2 * reach).float(),
        )
        for start in _loudest(references, estimates, size)
    ]
    cross = _cross_spectrum(pairs)
    power = cross.abs()
    level = float(power.mean())
    if not level > 0:
        return None
    weights = power + _WEAK * level
    lags = torch.fft.irfft(cross / weights)[: 2 * reach + 1]
    heights = lags.abs()
    if not heights.max() > _CLEAR_PEAK * lags.std():
        return None
    plain = torch.fft.irfft(cross)[: 2 * reach + 1].abs()  # in which loops have clear peaks
    places = {reach, *_peaks(heights), *_peaks(plain)}
    ratios = {lag: _si_ratio(pairs, lag) for lag in places}
    found = _least_shift(ratios, heights, reach)
    is_plain = float(heights[found]) > _PLAIN_SHARE * float((power / weights).mean())
    needed = _FAIR if found == reach else max(_FAIR, _FAR_BETTER * ratios[reach])
    if not is_plain and ratios[found] < needed:
        return None
    return Shift(found - reach, bool(lags[found] < 0), is_plain)


def _cross_spectrum(pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Add up the cross spectra of all signals and excerpts.

    Without windows, the excerpts' own ends would be what they have most in common.
    """
    size, longer = (each.shape[-1] for each in pairs[0])
    fft_samples = 1 << (longer - 1).bit_length()
    windows = torch.hann_window(size), torch.hann_window(longer)
    cross = torch.zeros(fft_samples // 2 + 1, dtype=torch.complex64)
    for pair in pairs:
        true, found = (  # [signals, F]
            torch.fft.rfft(signals * window, fft_samples)
            for signals, window in zip(pair, windows, strict=True)
        )
        cross += (true.conj() * found).sum(dim=0)
    return cross


def _peaks(heights: Tensor) -> list[int]:
    """Return the highest of the peaks, among which the shift is."""
    neighbours = functional.max_pool1d(heights[None], 3, 1, 1)[0]
    is_peak = (heights == neighbours) & (heights >= _OTHER_PEAKS * heights.max())
    places = torch.nonzero(is_peak).flatten()
    highest = heights[places].topk(min(_MOST_PEAKS, len(places))).indices
    found: list[int] = places[highest].tolist()
    return found


def _least_shift(ratios: Mapping[int, float], heights: Tensor, reach: int) -> int:
    """Return the shift with the best ratio; in exact loops, the smallest of these."""
    best = max(ratios, key=lambda lag: (ratios[lag], -abs(lag - reach)))
    alike = [
        lag
        for lag, ratio in ratios.items()
        if _ONE_DB * ratio >= ratios[best] and abs(lag - best) > _NEAR_SAMPLES
    ]
    if float(heights[reach]) >= _NEAR_HEIGHT * float(heights[best]):
        return reach  # a fraction of a sample, or none
    alike.append(best)
    return min(alike, key=lambda lag: abs(lag - reach))


def _si_ratio(pairs: Sequence[tuple[Tensor, Tensor]], lag: int) -> float:
    """Return the scale-invariant SDR, as a ratio, of all signals with a shift undone."""
    product = true_energy = found_energy = 0.0
    for true, longer in pairs:
        found = longer[:, lag : lag + true.shape[-1]]
        product += float((true * found).sum())
        true_energy += float(true.square().sum())
        found_energy += float(found.square().sum())
    common = product**2
    return common / max(true_energy * found_energy - common, 1e-9 * common, sys.float_info.min)


def _loudest(references: Tensor, estimates: Tensor, size: int) -> list[int]:
    """Return where the excerpts begin in which both sides have the most energy."""
    starts = list(range(0, references.shape[-1] - size + 1, size))
    if len(starts) <= 1:
        return starts

    def energies(signals: Tensor) -> Tensor:
        whole = signals[:, : len(starts) * size].reshape(len(signals), len(starts), size)
        levels: Tensor = torch.linalg.vector_norm(whole, dim=(0, 2))
        return levels

    both = energies(references) * energies(estimates)
    best: list[int] = both.topk(min(_MOST_EXCERPTS, len(starts))).indices.tolist()
    return [starts[index] for index in best]


def _excerpt(signals: Tensor, start: int, length: int) -> Tensor:
    """Return ``[signals, length]``, silence beyond the ends."""
    end = start + length
    inside = signals[:, max(start, 0) : end]
    padding = max(-start, 0), max(end - signals.shape[-1], 0)
    excerpt: Tensor = functional.pad(inside, padding)
    return excerpt


def find_doubts(
    references: Mapping[str, Tensor], estimates: Mapping[str, Tensor], sample_rate: int
) -> list[str]:
    """Return what looks wrong with estimates, a line each.

    Parameters
    ----------
    references, estimates : mapping of str to Tensor ``[channels, samples]``
        Of the same names and shapes.
    sample_rate : int
        In hertz.
    """
    names = [n for n in references if not (is_silent(references[n]) or is_silent(estimates[n]))]
    if not names:
        return []
    true, found = (  # [targets, samples]
        torch.stack([signals[name].cpu().mean(dim=0) for name in names])
        for signals in (references, estimates)
    )
    doubts = _same_signal({name: estimates[name] for name in names})
    joint = find_shift(true, found, sample_rate)
    rows = {name: slice(row, row + 1) for row, name in enumerate(names)}
    shifts = {name: find_shift(true[row], found[row], sample_rate) for name, row in rows.items()}
    clear = {name: shift for name, shift in shifts.items() if shift is not None}
    doubts += _shift_doubts(joint, clear, sample_rate)
    if not doubts:
        doubts += _other_names(names, true, found, related=joint is not None or bool(clear))
    if not doubts:
        doubts += _swapped_channels(references, estimates, names)
    return doubts


def _shift_doubts(joint: Shift | None, clear: Mapping[str, Shift], sample_rate: int) -> list[str]:
    if joint is not None and all(_agree(shift, joint) for shift in clear.values()):
        return _sentence("estimates are", "estimates have", joint, sample_rate)
    return [
        line
        for name, shift in clear.items()
        if shift.is_plain or joint is None
        for line in _sentence(
            f"the estimate of {name} is", f"the estimate of {name} has", shift, sample_rate
        )
    ]


def _agree(one: Shift, joint: Shift) -> bool:
    if joint.is_plain and not one.is_plain:
        return True  # what a single stem has in common with its reference may be too little
    return abs(one.samples - joint.samples) <= 1 and one.inverted == joint.inverted


def _sentence(are: str, have: str, shift: Shift, sample_rate: int) -> list[str]:
    lines = []
    if shift.samples:
        late = "late" if shift.samples > 0 else "early"
        count = abs(shift.samples)
        plural = "" if count == 1 else "s"
        milliseconds = 1000 * count / sample_rate
        lines.append(
            f"{are} {count} sample{plural} ({milliseconds:.3g} ms) {late}: scores suffer; "
            "shift them and score again"
        )
    if shift.inverted:
        lines.append(f"{have} the opposite polarity: scores suffer; invert them and score again")
    return lines


def _same_signal(estimates: Mapping[str, Tensor]) -> list[str]:
    groups: list[list[str]] = []
    for name, signal in estimates.items():
        for group in groups:
            if torch.equal(estimates[group[0]], signal):
                group.append(name)
                break
        else:
            groups.append([name])
    return [
        f"the estimates of {', '.join(group[:-1])} and {group[-1]} are one and the same signal"
        for group in groups
        if len(group) > 1
    ]


def _other_names(names: Sequence[str], true: Tensor, found: Tensor, *, related: bool) -> list[str]:
    """Return a warning where estimates have each other's names or are of another song."""
    alike = _correlations(true, found)  # [estimates, references]
    mixtures = _correlations(true.sum(dim=0, keepdim=True), found.sum(dim=0, keepdim=True))
    # A single stem may be missed altogether by a separator; all of them never are.
    limit = _UNLIKE if len(names) > 1 else _UNRELATED
    if not related and max(float(alike.max()), float(mixtures.max())) < limit:
        return ["estimates have nothing in common with the references: is it the same song?"]
    own = alike.diagonal()
    lines = []
    for row, name in enumerate(names):
        other = int(alike[row].argmax())
        if (
            other != row
            and float(alike[row, other]) > _ALIKE
            and float(own[row]) < _UNLIKE
            and float(own[other]) < _UNLIKE
        ):
            lines.append(f"the estimate of {name} sounds like the reference {names[other]}")
    return [f"{'; '.join(lines)}: check the names"] if lines else []


def _correlations(true: Tensor, found: Tensor) -> Tensor:
    """Return correlation coefficients ``[estimates, references]``, without signs."""
    products = torch.zeros(len(found), len(true), dtype=torch.float64)
    true_energy, found_energy = products.new_zeros(len(true)), products.new_zeros(len(found))
    for ours, theirs in _pieces(true, found):
        products += theirs @ ours.T
        true_energy += ours.square().sum(dim=1)
        found_energy += theirs.square().sum(dim=1)
    levels = torch.outer(found_energy, true_energy).sqrt()
    return (products / levels.clamp(min=math.ulp(0.0))).abs()


def _pieces(*signals: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield pieces in float64: a whole song of several stems would take gigabytes."""
    for pieces in zip(*(torch.split(each, _EXCERPT_SAMPLES, -1) for each in signals), strict=True):
        yield tuple(piece.double() for piece in pieces)


def _swapped_channels(
    references: Mapping[str, Tensor], estimates: Mapping[str, Tensor], names: Sequence[str]
) -> list[str]:
    if references[names[0]].shape[0] != 2:
        return []
    straight = swapped = 0.0
    for name in names:
        for true, found in _pieces(references[name].cpu(), estimates[name].cpu()):
            straight += float((true - found).square().sum())
            swapped += float((true - found.flip(0)).square().sum())
    if swapped < _LESS_ERROR * straight:
        return ["left and right of the estimates are swapped: scores suffer"]
    return []
