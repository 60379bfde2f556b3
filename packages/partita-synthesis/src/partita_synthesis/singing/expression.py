"""How a singer sings notes: from the score to curves over time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import bilinear, lfilter, lfilter_zi

from partita_synthesis.score import Note
from partita_synthesis.singing.phonemes import (
    NOISES,
    VOWELS,
    Formants,
    Phoneme,
    Syllable,
    parse_syllable,
)
from partita_synthesis.singing.singer import Singer

Curve = npt.NDArray[np.floating[Any]]

#: From one value of the pitch curve to the next.
CONTROL_S = 0.005
_REST_S = 0.12  # shorter gaps between notes are sung over
_TOGETHER_S = 0.02  # notes that start closer than this are a chord
_MAX_LATE_S = 0.02
_MAX_OFF_CENTS = 25.0
_FORMANT_GLIDE_S = 0.035
_FORMANT_SPREAD = 0.04  # no two vowels are alike
_CODA_SHARE, _ONSET_SHARE = 0.4, 0.5  # of a note, at most
_BREATH_GAP_S = 0.5
_RELEASE_S = 0.03
_DRIFT_S = 0.13  # the pitch wanders in steps of this length
_CONTINUED = "-"


@dataclass(frozen=True)
class Performance:
    """Curves of a voice; those with times of their own are linear in between.

    Attributes
    ----------
    pitch : float64 ``[steps]``
        MIDI key, not rounded, every `CONTROL_S`.
    times_s : float64 ``[points]``
        Of `amplitudes`.
    amplitudes : float64 ``[points, 2 + noises]``
        Voicing, aspiration, and noise of each of `NOISES`.
    shape_times_s : float64 ``[shape_points]``
        Of `formants`, `nasality` and `effort`.
    formants : float64 ``[shape_points, 5]``
        Hertz in the table of phonemes.
    nasality : float64 ``[shape_points, 2]``
        How open the nose is, 0 to 1, and its anti-resonance in hertz.
    effort : float64 ``[shape_points]``
        0 to 1.
    """

    pitch: Curve
    times_s: Curve
    amplitudes: Curve
    shape_times_s: Curve
    formants: Curve
    nasality: Curve
    effort: Curve


@dataclass(frozen=True, slots=True)
class _Sung:
    """A note as this singer takes it."""

    start_s: float
    end_s: float
    pitch: float
    velocity: int
    syllable: Syllable
    begins_phrase: bool
    ends_phrase: bool


@dataclass(frozen=True, slots=True)
class _Segment:
    """A time in which the mouth keeps one shape."""

    start_s: float
    end_s: float
    phoneme: Phoneme
    formants: Formants
    loudness: float
    effort: float


def perform(
    notes: Iterable[Note],
    singer: Singer,
    duration_s: float,
    rng: np.random.Generator,
    tuning: float = 0.0,
) -> Performance | None:
    """Sing notes, one at a time: of a chord the highest, and each until the next begins.

    Parameters
    ----------
    notes : iterable of Note
    singer : Singer
    duration_s : float
        Notes that start later are not sung.
    rng : numpy.random.Generator
    tuning : float
        Semitones by which all is higher than 440 Hz.

    Returns
    -------
    Performance or None
        None: there is nothing to sing.
    """
    line = _melody(notes, duration_s)
    if not line:
        return None
    sung = _take(line, singer, rng)
    segments = _segments(sung, singer, rng)
    steps = math.ceil(duration_s / CONTROL_S) + 2
    return replace(_curves(segments, rng), pitch=_pitch(sung, singer, steps, rng) + tuning)


def _melody(notes: Iterable[Note], duration_s: float) -> list[Note]:
    line: list[Note] = []
    for note in sorted(notes, key=lambda note: (note.start_s, note.pitch)):
        if not 0 <= note.start_s < duration_s or note.duration_s <= 0:
            continue
        if line and note.start_s - line[-1].start_s < _TOGETHER_S:
            line.pop()
        line.append(note)
    return line


def _take(line: Sequence[Note], singer: Singer, rng: np.random.Generator) -> list[_Sung]:
    """Give notes the singer's timing and intonation, and gather them in phrases."""
    late = singer.lateness_s + singer.looseness_s * rng.standard_normal(len(line))
    late = np.clip(late, -_MAX_LATE_S, _MAX_LATE_S)
    off = singer.intonation_cents * rng.standard_normal(len(line))
    off = np.clip(off, -_MAX_OFF_CENTS, _MAX_OFF_CENTS) / 100
    starts = np.maximum.accumulate(
        [max(0.0, n.start_s + d) for n, d in zip(line, late, strict=True)]
    )
    ends = [n.start_s + n.duration_s for n in line]
    if singer.speaks:
        ends = [n.start_s + min(n.duration_s, 0.08 + 0.5 * n.duration_s) for n in line]
    sung: list[_Sung] = []
    begins = True
    syllable = parse_syllable("")
    for index, note in enumerate(line):
        start = float(starts[index])
        end = max(float(ends[index]), start + 0.02)
        rests = index + 1 == len(line) or line[index + 1].start_s - end > _REST_S
        if index + 1 < len(line):
            end = min(end, float(starts[index + 1])) if rests else float(starts[index + 1])
        if note.syllable == _CONTINUED:
            syllable = Syllable((), syllable.vowels[-1:], ())
        else:
            syllable = parse_syllable(note.syllable)
        sung.append(
            _Sung(start, end, note.pitch + off[index], note.velocity, syllable, begins, rests)
        )
        begins = rests
    return sung


def _segments(sung: Sequence[_Sung], singer: Singer, rng: np.random.Generator) -> list[_Segment]:
    segments: list[_Segment] = []
    now = 0.0
    swells = rng.uniform(0.75, 1.1, (len(sung), 3))
    hastes = rng.uniform(0.8, 1.2, len(sung))
    for index, note in enumerate(sung):
        if note.begins_phrase:
            free = note.start_s - now
        else:
            free = (note.start_s - sung[index - 1].start_s) * _ONSET_SHARE
        onset = _fit(note.syllable.onset, hastes[index], free)
        onset_s = sum(phoneme.duration_s for phoneme in onset)
        if note.begins_phrase:
            segments += _rest(now, note.start_s - onset_s, note, singer, hastes[index])
        segments += _consonants(onset, note.start_s - onset_s, note, singer)
        stop = note.end_s
        if not note.ends_phrase:
            after = sung[index + 1]
            free = (after.start_s - note.start_s) * _ONSET_SHARE
            following = _fit(after.syllable.onset, hastes[index + 1], free)
            stop = after.start_s - sum(phoneme.duration_s for phoneme in following)
        coda = _fit(note.syllable.coda, 1.0, (stop - note.start_s) * _CODA_SHARE)
        coda_start = stop - sum(phoneme.duration_s for phoneme in coda)
        segments += _vowels(note, coda_start, swells[index], singer)
        segments += _consonants(coda, coda_start, note, singer)
        now = stop
    last = sung[-1]
    segments += _rest(now, now + 1.0, last, singer, 0.0)
    return segments


def _fit(phonemes: Sequence[Phoneme], haste: float, free_s: float) -> list[Phoneme]:
    """Shorten phonemes until they fit; what would be too short to hear is left out."""
    whole = sum(phoneme.duration_s for phoneme in phonemes)
    if not phonemes or free_s < 0.25 * whole:
        return []
    factor = min(haste, free_s / whole)
    return [replace(phoneme, duration_s=factor * phoneme.duration_s) for phoneme in phonemes]


def _loudness(note: _Sung) -> float:
    return float((note.velocity / 100) ** 1.3)


def _effort(note: _Sung) -> float:
    return note.velocity / 127


def _consonants(
    phonemes: Sequence[Phoneme], start_s: float, note: _Sung, singer: Singer
) -> list[_Segment]:
    segments = []
    vowel = note.syllable.vowels[0].formants
    assert vowel is not None
    for phoneme in phonemes:
        end_s = start_s + phoneme.duration_s
        heard = replace(
            phoneme,
            voicing=phoneme.voicing * singer.voicing,
            frication=phoneme.frication * singer.sibilance,
        )
        formants = phoneme.formants or vowel
        segments.append(
            _Segment(start_s, end_s, heard, formants, _loudness(note), 0.8 * _effort(note))
        )
        start_s = end_s
    return segments


def _vowels(note: _Sung, end_s: float, swell: Curve, singer: Singer) -> list[_Segment]:
    """Cut the vowel of a note in three, which differ in loudness."""
    first, last = note.syllable.vowels[0], note.syllable.vowels[-1]
    span = end_s - note.start_s
    cuts = [note.start_s, note.start_s + 0.3 * span, note.start_s + 0.7 * span, end_s]
    segments = []
    for index, vowel in enumerate((first, first, last)):
        formants = vowel.formants
        assert formants is not None
        if span < 0.25:
            formants = _undershoot(formants, math.exp(-span / 0.08))
        heard = replace(
            vowel,
            voicing=singer.voicing,
            aspiration=singer.breathiness,
            ramp_s=vowel.ramp_s if index in (0, 2) else 0.2 * span,
        )
        loudness = (
            _loudness(note) * float(swell[index]) * (0.8 if note.ends_phrase and index == 2 else 1)
        )
        segments.append(
            _Segment(
                cuts[index],
                cuts[index + 1],
                heard,
                formants,
                loudness,
                _effort(note) * float(swell[index]),
            )
        )
    return segments


def _undershoot(formants: Formants, share: float) -> Formants:
    """Return what becomes of a vowel that is too short to be reached."""
    neutral = VOWELS["ʌ"].formants
    assert neutral is not None
    f1, f2, f3, f4, f5 = (
        (1 - share) * a + share * b for a, b in zip(formants, neutral, strict=True)
    )
    return (f1, f2, f3, f4, f5)


def _rest(
    start_s: float, end_s: float, note: _Sung, singer: Singer, haste: float
) -> list[_Segment]:
    """Return the silence before a phrase, with a breath in it where there is time for one."""
    if end_s <= start_s:
        return []
    open_mouth = VOWELS["ʌ"].formants
    assert open_mouth is not None
    silence = Phoneme(0.0, open_mouth, ramp_s=_RELEASE_S)
    gap = end_s - start_s
    if not singer.breath or gap < _BREATH_GAP_S or not haste:
        return [_Segment(start_s, end_s, silence, open_mouth, 0.0, _effort(note))]
    breath_s = haste * min(0.4, 0.4 * gap)
    begin, stop = end_s - breath_s - 0.05, end_s - 0.05
    breath = Phoneme(breath_s, open_mouth, aspiration=0.15 * singer.breath, ramp_s=0.1)
    return [
        _Segment(start_s, begin, silence, open_mouth, 0.0, 0.5),
        _Segment(begin, stop, breath, open_mouth, 1.0, 0.5),
        _Segment(stop, end_s, silence, open_mouth, 0.0, _effort(note)),
    ]


def _curves(segments: Sequence[_Segment], rng: np.random.Generator) -> Performance:
    """Turn segments into curves: each holds its values but for ramps at its ends."""
    starts = np.array([segment.start_s for segment in segments])
    ends = np.array([segment.end_s for segment in segments])
    ramps = np.array([segment.phoneme.ramp_s for segment in segments])
    amplitudes = np.zeros((len(segments), 2 + len(NOISES)))
    for row, segment in zip(amplitudes, segments, strict=True):
        row[0] = segment.phoneme.voicing * segment.loudness
        row[1] = segment.phoneme.aspiration * segment.loudness
        row[2 + NOISES.index(segment.phoneme.noise)] = (
            segment.phoneme.frication * segment.loudness**0.5
        )
    zeros = np.array([segment.phoneme.zero_hz for segment in segments])
    shapes = np.column_stack(
        [
            np.array([segment.formants for segment in segments])
            * np.exp(_FORMANT_SPREAD * rng.standard_normal((len(segments), 5))),
            (zeros > 0).astype(float),
            np.where(zeros > 0, zeros, 1000.0),
            np.array([segment.effort for segment in segments]),
        ]
    )
    times, levels = _ramped(starts, ends, ramps, amplitudes)
    shape_times, shapes = _ramped(starts, ends, np.full(len(starts), _FORMANT_GLIDE_S), shapes)
    return Performance(
        pitch=np.zeros(0),
        times_s=times,
        amplitudes=levels,
        shape_times_s=shape_times,
        formants=shapes[:, :5],
        nasality=shapes[:, 5:7],
        effort=shapes[:, 7],
    )


def _ramped(starts: Curve, ends: Curve, ramps: Curve, values: Curve) -> tuple[Curve, Curve]:
    """Return two points for each segment: its value once it is reached, and before it is left."""
    edges = np.minimum(ramps / 2, 0.45 * (ends - starts))
    times = np.column_stack([starts + edges, ends - edges]).reshape(-1)
    return times, np.repeat(values, 2, axis=0)


def _pitch(sung: Sequence[_Sung], singer: Singer, steps: int, rng: np.random.Generator) -> Curve:
    """Return MIDI keys ``[steps]``."""
    times = np.arange(steps) * CONTROL_S
    speed = 2 * math.pi * singer.glide_hz
    curve = _written_pitch(sung, times, lead_s=1.5 / speed)
    curve += _scoops(sung, singer, times, rng)
    curve = _glide(curve, speed, singer.overshoot)
    slow = np.arange(0, steps * CONTROL_S + 2 * _DRIFT_S, _DRIFT_S)
    drift, rate = np.clip(rng.standard_normal((2, len(slow))), -2, 2)
    curve += singer.drift_cents / 100 * np.interp(times, slow, drift)
    phase = np.cumsum(singer.vibrato_hz * CONTROL_S * (1 + 0.06 * np.interp(times, slow, rate)))
    curve += _vibrato_depth(sung, singer, times, rng) * np.sin(2 * math.pi * phase)
    return curve


def _written_pitch(sung: Sequence[_Sung], times: Curve, lead_s: float) -> Curve:
    """Return steps from note to note; in rests the pitch is that of the note to come."""
    changes = [
        (after.start_s + before.end_s) / 2 if after.begins_phrase else after.start_s - lead_s
        for before, after in itertools.pairwise(sung)
    ]
    pitches = np.array([note.pitch for note in sung])
    # Changes may overtake each other where notes are very short.
    return pitches[np.searchsorted(np.maximum.accumulate([0.0, *changes])[1:], times, "right")]


def _scoops(sung: Sequence[_Sung], singer: Singer, times: Curve, rng: np.random.Generator) -> Curve:
    """Return how far below the notes the pitch is, as they are reached and left."""
    curve = np.zeros(len(times))
    draws = rng.random((len(sung), 4))
    for note, (scoops, depth, speed, falls) in zip(sung, draws, strict=True):
        span = note.end_s - note.start_s
        begin, end = np.searchsorted(times, [note.start_s - 0.1, note.end_s])
        local = times[begin:end] - note.start_s
        if singer.speaks:
            curve[begin:end] -= 3.0 * depth * np.maximum(0, local) / span
        elif scoops < singer.scoop * (1.0 if note.begins_phrase else 0.4) and span > 0.15:
            tau = 0.03 + 0.05 * speed
            curve[begin:end] -= (0.3 + 1.4 * depth) * np.exp(-np.maximum(0, local) / tau)
        if note.ends_phrase and falls < 0.5 * singer.scoop and span > 0.3:
            curve[begin:end] -= 2.0 * depth * np.clip((local - span) / 0.12 + 1, 0, None)
    return curve


def _glide(curve: Curve, speed: float, overshoot: float) -> Curve:
    """Smooth steps with a low-pass of second order, whose damping sets how far it overshoots."""
    fall = math.log(max(overshoot, 1e-3))
    damping = -fall / math.hypot(math.pi, fall)
    b, a = bilinear([speed**2], [1, 2 * damping * speed, speed**2], fs=1 / CONTROL_S)
    smooth, _ = lfilter(b, a, curve, zi=lfilter_zi(b, a) * curve[0])
    return np.asarray(smooth, np.float64)


def _vibrato_depth(
    sung: Sequence[_Sung], singer: Singer, times: Curve, rng: np.random.Generator
) -> Curve:
    """Return semitones: vibrato begins late in a note and grows; short notes have none."""
    points: list[tuple[float, float]] = []
    draws = rng.uniform(0.6, 1.0, (len(sung), 2))
    for note, (depth, delay) in zip(sung, draws, strict=True):
        begin = note.start_s + singer.vibrato_delay_s * delay
        full = min(begin + 0.35, note.end_s)
        cents = singer.vibrato_cents * depth * max(0.0, full - begin) / 0.35
        points += [
            (note.start_s, 0.0),
            (min(begin, note.end_s), 0.0),
            (full, cents),
            (note.end_s, cents),
        ]
    at, cents_at = np.array(points).T
    return np.asarray(np.interp(times, at, cents_at) / 100, np.float64)
