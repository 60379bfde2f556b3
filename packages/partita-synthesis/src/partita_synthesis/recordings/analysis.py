"""Analysis of recordings: active spans, key, beats and bars."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import savgol_filter

from partita.datasets.audio_checks import SILENT_PEAK
from partita_synthesis.keys import fit_key

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.floating[Any]]

#: All functions here take sound at this rate: whole samples of `_FLUX_S` and of `_ATTACK_S`.
RATE = 12000
BEATS_IN_BAR = 4

_FRAME_S = 0.05
_MIN_SPAN_S = 1.5

_FLUX_S = 0.01
_SLOWEST_BPM, _FASTEST_BPM, _USUAL_BPM = 50.0, 210.0, 115.0
_MULTIPLES = (1, 2, 3, 4, 6, 8)  # of the beat, in which bands play
_STEADINESS = 1000.0  # how much a beat that comes early or late costs
_SMOOTHED_BEATS = 17
_FEWEST = 3
_ON_CLICK_S, _CLICKS = 0.025, 0.6  # so many beats are so near to equal steps: that is a click
_ATTACK_S, _ATTACK_REACH_S = 0.0025, 0.06
_KICK_HZ, _SNARE_HZ, _BASS_HZ = (30.0, 130.0), (350.0, 4000.0), (30.0, 200.0)
_HIT_S = (-0.02, 0.05)  # around a beat


def find_spans(sound: Samples, *, joined_s: float, quiet_db: float) -> list[tuple[float, float]]:
    """Return start and length in seconds of the active spans of ``[samples]``.

    Pauses shorter than `joined_s` are part of it; what is so many decibels below its loudest parts
    counts as a pause.
    """
    frame = round(_FRAME_S * RATE)
    count = len(sound) // frame
    if not count:
        return []
    power = np.square(sound[: count * frame].reshape(count, frame)).mean(axis=1)
    loud = float(np.percentile(power, 98))
    heard = power > max(loud * 10 ** (quiet_db / 10), SILENT_PEAK**2)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], heard.astype(np.int8), [0]])))
    spans: list[list[float]] = []
    for start, end in (edges.reshape(-1, 2) * _FRAME_S).tolist():
        if spans and start - spans[-1][1] < joined_s:
            spans[-1][1] = end
        else:
            spans.append([start, end])
    return [(start, end - start) for start, end in spans if end - start >= _MIN_SPAN_S]


def find_beats(song: Samples) -> Curve:
    """Return where the beats of ``[samples]`` are, in seconds; none in what is very short.

    Where onsets repeat themselves (autocorrelation) tells the tempo roughly; of tempi near it,
    that is right whose multiples are strongest among the frequencies of the onsets. Beats are then
    a path through the onsets in nearly equal steps (dynamic programming, after Ellis 2007), made
    smooth, and moved to where most attacks are.
    """
    onsets = _flux(song).mean(axis=1)
    onsets = onsets - onsets.mean()
    if len(onsets) * _FLUX_S < 2 * 60 / _SLOWEST_BPM or not onsets.any():
        return np.zeros(0)
    bpm = _sharpened(onsets, _repetition_bpm(onsets))
    frames = _track(onsets, 60 / bpm / _FLUX_S)
    heard = np.convolve(onsets, np.hanning(7), "same")[frames] > 0
    beats_s = _click(frames[heard] * _FLUX_S, 60 / bpm)
    if beats_s is None:
        beats_s = _smooth(frames * _FLUX_S)
    return _on_attacks(song, beats_s)


def _flux(song: Samples) -> Curve:
    """Return how much louder each frequency becomes, every `_FLUX_S`: ``[frames, frequencies]``."""
    hop = round(_FLUX_S * RATE)
    size = 4 * hop
    # In the middle of each frame lies the time that it stands for.
    padded = np.pad(song, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(song) + 1 : hop]
    levels = np.log1p(1000 / size * np.abs(np.fft.rfft(frames * _window(size)))).astype(np.float32)
    return np.maximum(np.diff(levels, axis=0, prepend=levels[:1]), 0)


def _window(size: int) -> Samples:
    return np.hanning(size).astype(np.float32)


def _repetition_bpm(onsets: Curve) -> float:
    size = 2 ** math.ceil(math.log2(2 * len(onsets)))
    alike = np.fft.irfft(np.square(np.abs(np.fft.rfft(onsets, size))))[: len(onsets)]
    candidates = np.exp(np.linspace(math.log(_SLOWEST_BPM), math.log(_FASTEST_BPM), 600))
    lags = 60 / candidates / _FLUX_S
    lag_axis = np.arange(len(alike))
    score = sum(np.interp(multiple * lags, lag_axis, alike, right=0) for multiple in (1, 2, 4))
    usual = np.exp(-0.5 * np.square(np.log2(candidates / _USUAL_BPM) / 0.9))
    return float(candidates[int(np.argmax(np.maximum(score, 0) * usual))])


def _sharpened(onsets: Curve, rough_bpm: float) -> float:
    size = 2 ** math.ceil(math.log2(8 * len(onsets)))
    strengths = np.abs(np.fft.rfft(onsets * np.hanning(len(onsets)), size))
    strengths_bpm = np.fft.rfftfreq(size, _FLUX_S / 60)
    around = rough_bpm * np.linspace(0.985, 1.015, 301)
    score = sum(np.interp(multiple * around, strengths_bpm, strengths) for multiple in _MULTIPLES)
    return float(around[int(np.argmax(score))])


def _track(onsets: Curve, period: float) -> npt.NDArray[np.intp]:
    """Return the frames of the path with the strongest onsets and the steadiest steps."""
    strength = np.convolve(onsets / onsets.std(), np.hanning(7), "same")
    longest, shortest = round(2 * period), round(period / 2)
    steps = np.arange(-longest, -shortest + 1)
    costs = -_STEADINESS * np.square(np.log(-steps / period))
    best, before = np.full(longest + len(strength), -np.inf), np.full(len(strength), -1)
    for frame, here in enumerate(strength):
        scores = best[frame : frame + len(steps)] + costs
        step = int(scores.argmax())
        if frame < longest or scores[step] <= 0:  # a path may begin here
            best[longest + frame] = here
        if scores[step] > 0:
            best[longest + frame] = here + scores[step]
            before[frame] = frame + steps[step]
    last = len(strength) - longest + int(best[-longest:].argmax())
    path = []
    while last >= 0:
        path.append(last)
        last = int(before[last])
    return np.array(path[::-1])


def _click(beats_s: Curve, period_s: float) -> Curve | None:
    """Return beats in equal steps; None without a constant tempo."""
    if len(beats_s) < _FEWEST:
        return None
    places = np.rint((beats_s - beats_s[0]) / period_s * 2) / 2  # off-beats may be taken for beats
    phases_s = beats_s - places * period_s
    alike = np.abs(phases_s[:, None] - phases_s) < 2 * _ON_CLICK_S
    line = np.array([period_s, phases_s[int(alike.sum(axis=0).argmax())]])
    for within_s in (2 * _ON_CLICK_S, _ON_CLICK_S, _ON_CLICK_S):
        places = np.rint((beats_s - line[1]) / line[0] * 2) / 2
        near = np.abs(beats_s - np.polyval(line, places)) < within_s
        if near.sum() < max(_FEWEST, _CLICKS * len(beats_s)):
            return None
        line = np.polyfit(places[near], beats_s[near], 1)
    first = 0.5 * (np.mean(places[near] % 1) > 0.25)
    return np.asarray(np.polyval(line, np.arange(first, places[-1] + 0.1)))


def _smooth(beats_s: Curve) -> Curve:
    """Return beats in similar steps."""
    if len(beats_s) < _SMOOTHED_BEATS:
        return beats_s
    return np.asarray(savgol_filter(beats_s, _SMOOTHED_BEATS, 1))


def extend_beats(beats_s: Curve, begin_s: float, end_s: float) -> Curve:
    """Return beats that go on before the first bar and after the last one, as steadily as before.

    Whole bars are added at the beginning: the first beat still begins a bar.
    """
    period_s = 60 / tempo_of(beats_s)
    bars = max(0, math.ceil((beats_s[0] - begin_s) / (BEATS_IN_BAR * period_s)))
    more = max(0, math.floor((end_s - beats_s[-1]) / period_s))
    before = beats_s[0] + period_s * np.arange(-BEATS_IN_BAR * bars, 0)
    return np.concatenate([before, beats_s, beats_s[-1] + period_s * np.arange(1, more + 1)])


def _on_attacks(song: Samples, beats_s: Curve) -> Curve:
    """Move all beats alike, to where most attacks are."""
    hop = round(_ATTACK_S * RATE)
    count = len(song) // hop
    power = np.square(song[: count * hop].reshape(count, hop)).mean(axis=1)
    floor = 1e-3 * float(np.percentile(power, 98)) + 1e-12
    rises = np.maximum(np.diff(np.log(power + floor), prepend=0), 0)
    rises[0] = 0
    reach = round(_ATTACK_REACH_S / _ATTACK_S)
    lags = np.arange(-reach, reach + 1)
    places = np.rint(beats_s / _ATTACK_S).astype(np.intp)[:, None] + lags
    profile = np.where((places >= 0) & (places < count), rises[np.clip(places, 0, count - 1)], 0)
    smooth = np.convolve(profile.sum(axis=0), (0.5, 1, 0.5), "same")
    return np.asarray(beats_s + lags[int(smooth.argmax())] * _ATTACK_S)


def find_downbeat(beats_s: Curve, drums: Samples | None, band: Samples, band_start_s: float) -> int:
    """Return which of the first four beats begins a bar.

    Bass drums are heard on the first beat and the third, snares on the others; chords change, and
    low notes start, with bars.

    Parameters
    ----------
    beats_s : ndarray ``[beats]``
        In seconds of the drums.
    drums : ndarray ``[samples]`` or None
    band : ndarray ``[samples]``
        Whoever plays chords.
    band_start_s : float
        Where it starts, in seconds of the drums.
    """
    clues = _per_place(_harmonic_changes(band, beats_s - band_start_s))
    inside = (beats_s >= band_start_s) & (beats_s < band_start_s + len(band) / RATE)
    bass = _hits(_flux(band), beats_s - band_start_s, *_BASS_HZ)
    clues += _per_place(np.where(inside, bass, np.nan))
    if drums is not None:
        flux = _flux(drums)
        kick, snare = (_per_place(_hits(flux, beats_s, *hertz)) for hertz in (_KICK_HZ, _SNARE_HZ))
        clues += kick + np.roll(kick, -2) / 2  # the third beat is like the first
        clues -= snare / 2 + np.roll(snare, -2) / 4
    return int(clues.argmax())


def _hits(flux: Curve, beats_s: Curve, low_hz: float, high_hz: float) -> Curve:
    hertz = np.linspace(0, RATE / 2, flux.shape[1])
    band = flux[:, (hertz >= low_hz) & (hertz <= high_hz)].mean(axis=1)
    around = np.arange(round(_HIT_S[0] / _FLUX_S), round(_HIT_S[1] / _FLUX_S) + 1)
    places = np.rint(beats_s / _FLUX_S).astype(np.intp)[:, None] + around
    return np.asarray(band[np.clip(places, 0, len(band) - 1)].max(axis=1))


def _harmonic_changes(band: Samples, beats_s: Curve) -> Curve:
    """Return how much the pitch classes change at each beat; NaN where nothing is known."""
    changes = np.full(len(beats_s), np.nan)
    chroma = []
    inside = np.flatnonzero((beats_s >= 0) & (beats_s < len(band) / RATE))
    for first, second in itertools.pairwise(inside):
        begin, end = round(beats_s[first] * RATE), round(beats_s[second] * RATE)
        heard = _chroma(band[begin:end])
        chroma.append(heard / np.linalg.norm(heard))
    if len(chroma) > 1:
        steps = np.square(np.diff(np.array(chroma), axis=0)).sum(axis=1)
        changes[inside[1:-1]] = steps
    return changes


def _per_place(values: Curve) -> Curve:
    """Return the mean for each place in a bar, in standard deviations."""
    means = np.zeros(BEATS_IN_BAR)
    for place in range(BEATS_IN_BAR):
        known = values[place::BEATS_IN_BAR]
        known = known[np.isfinite(known)]
        means[place] = known.mean() if len(known) else np.nan
    if not np.isfinite(means).all():
        return np.zeros(BEATS_IN_BAR)
    spread = float(np.nanstd(values))
    return (means - means.mean()) / spread if spread > 0 else np.zeros(BEATS_IN_BAR)


def find_key(song: Samples) -> tuple[int, str]:
    """Return the tonic's pitch class and the mode that explain ``[samples]`` best."""
    return fit_key(_chroma(song))


def _chroma(song: Samples) -> Curve:
    """Return how strong each pitch class is."""
    size = 2 ** math.ceil(math.log2(0.3 * RATE))
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    used = np.flatnonzero((hertz > 100) & (hertz < 2000))
    classes = np.round(69 + 12 * np.log2(hertz[used] / 440)).astype(np.int64) % 12
    # Overtones of low notes are not notes: a third harmonic would make for a fifth.
    weights = 1 / np.square(1 + hertz[used] / 400)
    padded = np.pad(song, (0, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2]
    spectra = np.abs(np.fft.rfft(frames * _window(size)))
    here = spectra[:, used]
    peaks = (here > spectra[:, used - 1]) & (here >= spectra[:, used + 1])
    heard = weights * (here * peaks).sum(axis=0)
    return np.bincount(classes, heard, minlength=12) + 1e-12


def tempo_of(beats_s: Sequence[float] | Curve) -> float:
    """Return beats in a minute."""
    return 60 / float(np.median(np.diff(beats_s)))
