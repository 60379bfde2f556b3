"""REPET: separation of a repeating background."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK_ELEMENTS = 1 << 22  # of the spectrogram that are sorted at a time
_DEVIATION = 2  # frames by which a repetition may come early or late (δ of the paper)


def repet(magnitudes: Tensor, shortest: int, longest: int) -> Tensor:
    """Return the mask of the background that repeats with one period.

    Parameters
    ----------
    magnitudes : Tensor ``[..., bins, frames]``
        Not negative. The leading axes are channels of one song, which have one period.
    shortest, longest : int
        Shortest and longest period in frames. Rafii & Pardo use 0.8 and 8 seconds.

    Returns
    -------
    Tensor of the same shape
        The background's mask, 0 to 1; the foreground's is one minus it. In silence it is 1.

    Raises
    ------
    ValueError
        Periods that are not 1 ≤ shortest ≤ longest.

    Notes
    -----
    Rafii & Pardo 2013, sections II-A to II-C; see `beat_spectrum`, `repeating_period` and
    `repeating_mask`.
    """
    return repeating_mask(magnitudes, repeating_period(magnitudes, shortest, longest))


def beat_spectrum(magnitudes: Tensor) -> Tensor:
    """Return the beat spectrum ``[frames]``, normalised to 1 at lag 0.

    The mean over channels and bins of the unbiased autocorrelation of powers along time (Rafii &
    Pardo 2013, equation 1). Zero for silence.

    Parameters
    ----------
    magnitudes : Tensor ``[..., bins, frames]``
    """
    frames = magnitudes.shape[-1]
    # Scaled, so that powers do not overflow; spectra are summed, so that one inverse FFT is enough.
    loudest = magnitudes.amax() if magnitudes.numel() else magnitudes.new_ones(())
    powers = (magnitudes / loudest.clamp_min(torch.finfo(loudest.dtype).tiny)).square()
    rows = powers.reshape(-1, frames)
    energy = magnitudes.new_zeros(frames + 1, dtype=torch.float64)
    step = max(1, _BLOCK_ELEMENTS // max(frames, 1))
    for begin in range(0, len(rows), step):
        spectra = torch.fft.rfft(rows[begin : begin + step], 2 * frames)
        energy += spectra.abs().square().sum(dim=0, dtype=torch.float64)
    correlation = torch.fft.irfft(energy, 2 * frames)[:frames]
    overlaps = torch.arange(frames, 0, -1, device=energy.device)
    similarity: Tensor = correlation / overlaps
    return similarity / similarity[0] if bool(similarity[0] > 0) else torch.zeros_like(similarity)


def repeating_period(magnitudes: Tensor, shortest: int, longest: int) -> int:
    """Return the period of a song in frames.

    Of all candidates the one with the most prominent peaks of the beat spectrum at its multiples
    (Rafii & Pardo 2013, algorithm 1). The last quarter of the lags is unreliable and not used, and
    a period must fit three times into the rest.

    Parameters
    ----------
    magnitudes, shortest, longest
        As in `repet`. In songs too short for these, shorter periods are searched.

    Raises
    ------
    ValueError
        Periods that are not 1 ≤ shortest ≤ longest.
    """
    if not 1 <= shortest <= longest:
        raise ValueError(f"periods must be 1 ≤ shortest ≤ longest, not {shortest} and {longest}")
    beat = beat_spectrum(magnitudes)
    beat = beat[: max(1, beat.shape[0] * 3 // 4)]
    greatest = max(1, min(longest, len(beat) // 3))
    candidates = range(min(shortest, greatest), greatest + 1)
    return max(candidates, key=lambda period: _prominence(beat, period))


def _prominence(beat: Tensor, period: int) -> float:
    """Return by how much peaks near the multiples of a period exceed their surroundings."""
    around = max(_DEVIATION + 1, 3 * period // 4)
    centres = torch.arange(period, len(beat), period, device=beat.device)
    if not len(centres):
        return 0.0
    offsets = torch.arange(-around, around + 1, device=beat.device)
    places = centres[:, None] + offsets  # [multiples, 2 around + 1]
    inside = (places >= 0) & (places < len(beat))
    nearby = torch.where(inside, beat[places.clamp(0, len(beat) - 1)], -torch.inf)
    peaks, where = nearby.max(dim=1)
    means = nearby.masked_fill(~inside, 0).sum(dim=1) / inside.sum(dim=1)
    counts = offsets[where].abs() <= _DEVIATION  # the highest peak is at the multiple
    return float(torch.where(counts, peaks - means, 0).sum() / len(centres))


def repeating_mask(magnitudes: Tensor, period: int) -> Tensor:
    """Return the mask of the median over all repetitions.

    Parameters
    ----------
    magnitudes : Tensor ``[..., bins, frames]``
    period : int
        In frames, at least 1.

    Returns
    -------
    Tensor of the same shape
        Rafii & Pardo 2013, equations 2 to 4; in silence 1.
    """
    frames = magnitudes.shape[-1]
    rows = magnitudes.reshape(-1, frames)
    mask = torch.empty_like(rows)
    step = max(1, _BLOCK_ELEMENTS // max(frames, 1))
    for begin in range(0, len(rows), step):
        part = rows[begin : begin + step]
        model = torch.minimum(part, _repeating_segment(part, period))
        mask[begin : begin + step] = torch.where(part > 0, model / part, 1.0)
    return mask.reshape(magnitudes.shape)


def _repeating_segment(rows: Tensor, period: int) -> Tensor:
    """Return the median over all repetitions, repeated to the length of the song, [n, frames]."""
    frames = rows.shape[-1]
    whole, rest = divmod(frames, period)
    pieces = []
    # The last repetition may be incomplete: then later frames have one value less.
    for begin, end, count in ((0, rest, whole + 1), (rest, min(period, frames), whole)):
        if end > begin:
            columns = rows[:, : (count - 1) * period + end]
            padded = torch.nn.functional.pad(columns, (0, count * period - columns.shape[-1]))
            segments = padded.reshape(len(rows), count, period)[:, :, begin:end]
            ordered = segments.sort(dim=1).values
            pieces.append((ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2)
    segment = torch.cat(pieces, dim=-1)
    return segment.repeat(1, whole + 1)[:, :frames]
