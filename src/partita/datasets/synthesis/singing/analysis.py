"""What a recording tells: where somebody sings, in which key, and how fast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.floating[Any]]

_FRAME_S = 0.05
_QUIET_DB = -35.0  # below what is loud in the song
_SILENT = 1e-4
_JOINED_S = 0.35  # shorter pauses are part of a phrase
_MIN_PHRASE_S = 1.5

_FLUX_S = 0.01
_SLOWEST_BPM, _FASTEST_BPM, _USUAL_BPM = 50.0, 210.0, 115.0
_MULTIPLES = (1, 2, 3, 4, 6, 8)  # of the beat, in which bands play

# How well each degree fits a key: Krumhansl and Kessler 1982.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def find_phrases(voice: Samples, sample_rate: int) -> list[tuple[float, float]]:
    """Return start and length in seconds of what is sung in ``[samples]`` without a pause."""
    frame = max(1, round(_FRAME_S * sample_rate))
    count = len(voice) // frame
    if not count:
        return []
    power = np.square(voice[: count * frame].reshape(count, frame)).mean(axis=1)
    loud = float(np.percentile(power, 98))
    heard = power > max(loud * 10 ** (_QUIET_DB / 10), _SILENT**2)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], heard.astype(np.int8), [0]])))
    spans: list[list[float]] = []
    for start, end in edges.reshape(-1, 2) * (frame / sample_rate):
        if spans and start - spans[-1][1] < _JOINED_S:
            spans[-1][1] = end
        else:
            spans.append([start, end])
    return [
        (float(start), float(end - start)) for start, end in spans if end - start >= _MIN_PHRASE_S
    ]


def find_tempo(song: Samples, sample_rate: int) -> tuple[float, float]:
    """Return beats in a minute, and where in ``[samples]`` the first beat is, in seconds.

    Where onsets repeat themselves (autocorrelation) tells the tempo roughly; of tempi near it,
    that is right whose multiples are strongest among the frequencies of the onsets.
    """
    onsets = _onsets(song, sample_rate)
    times = np.arange(len(onsets)) * _FLUX_S
    bpm = _sharpened(onsets, _repetition_bpm(onsets))
    period = 60 / bpm
    places = np.linspace(0, period, 64, endpoint=False)
    beats = np.arange(0, max(times[-1] - period, period), period)
    smooth = np.convolve(onsets, np.hanning(7), "same")
    weights = np.interp(places[:, None] + beats, times, smooth).sum(axis=1)
    return bpm, float(places[int(np.argmax(weights))])


def _onsets(song: Samples, sample_rate: int) -> Curve:
    """Return how much louder any part of the spectrum becomes, every `_FLUX_S`; mean 0."""
    hop = round(_FLUX_S * sample_rate)
    size = 4 * hop
    # In the middle of each frame lies the time that it stands for.
    padded = np.pad(song, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(song) + 1 : hop]
    window = np.hanning(size).astype(np.float32)
    flux = []
    before = None
    for begin in range(0, len(frames), 1000):  # memory does not grow with the song
        levels = np.log1p(1000 / size * np.abs(np.fft.rfft(frames[begin : begin + 1000] * window)))
        previous = levels[:1] if before is None else before
        rise = np.diff(levels, axis=0, prepend=previous)
        flux.append(np.maximum(rise, 0).mean(axis=1))
        before = levels[-1:]
    onsets = np.concatenate(flux)
    return np.asarray(onsets - onsets.mean(), np.float64)


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


def find_key(song: Samples, sample_rate: int) -> tuple[int, str]:
    """Return the tonic's pitch class and the mode that explain ``[samples]`` best."""
    chroma = _chroma(song, sample_rate)
    profiles = {"major": np.array(_MAJOR), "minor": np.array(_MINOR)}
    best = max(
        (float(np.roll(_standard(profile), key) @ chroma), key, mode)
        for mode, profile in profiles.items()
        for key in range(12)
    )
    return best[1], best[2]


def _standard(profile: Curve) -> Curve:
    return np.asarray((profile - profile.mean()) / profile.std())


def _chroma(song: Samples, sample_rate: int) -> Curve:
    """Return how strong each pitch class is."""
    size = 2 ** math.ceil(math.log2(0.3 * sample_rate))
    hertz = np.fft.rfftfreq(size, 1 / sample_rate)
    used = np.flatnonzero((hertz > 100) & (hertz < 2000))
    classes = np.round(69 + 12 * np.log2(hertz[used] / 440)).astype(np.int64) % 12
    # Overtones of low notes are not notes: a third harmonic would make for a fifth.
    weights = 1 / np.square(1 + hertz[used] / 400)
    padded = np.pad(song, (0, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2]
    window = np.hanning(size).astype(np.float32)
    chroma = np.full(12, 1e-12)
    for begin in range(0, len(frames), 100):
        spectra = np.abs(np.fft.rfft(frames[begin : begin + 100] * window))
        here = spectra[:, used]
        peaks = (here > spectra[:, used - 1]) & (here >= spectra[:, used + 1])
        chroma += np.bincount(classes, weights * (here * peaks).sum(axis=0), minlength=12)
    return chroma
