"""Drums from recordings.

They are cut into sixteenths that are moved to where the song wants them. Cuts lie between hits, at
the place where the two sides are most alike, so that hits stay as they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from partita_synthesis.recordings.alignment import (
    any_within,
    bars_of,
    octave_of,
    played_sections,
    starts_of,
)
from partita_synthesis.recordings.analysis import BEATS_IN_BAR
from partita_synthesis.recordings.excerpts import add_faded, read_excerpt
from partita_synthesis.recordings.recording import Recording
from partita_synthesis.score import Score, Section

Samples = npt.NDArray[np.float32]

_JOIN_S = 0.01
_CUTS = np.linspace(0.3, 0.8, 11)  # between two sixteenths
_PER_BEAT = 4
_BEFORE_BEAT_S = 0.02  # takes begin before the drums are struck, which may be early
_RING_S = 0.08  # of drums, fading where they cease to play


def drum_along(
    recording: Recording,
    score: Score,
    sample_rate: int,
    rng: np.random.Generator,
    out: Samples,
) -> None:
    """Add drums to `out`, wherever the song's play."""
    takes = list(_takes(recording, score, rng))
    for number, take in enumerate(takes):
        after = takes[number + 1].bars_s[0] if number + 1 < len(takes) else math.inf
        goes_on = after < take.bars_s[-1] + _JOIN_S
        _play(recording, take, sample_rate, out, rings=not goes_on)


@dataclass(frozen=True)
class _Take:
    """Bars in which a recording plays on.

    Attributes
    ----------
    bars_s : list of float
        Where they begin in the song; and where the last one ends.
    beats : list of float
        The same in beats of the recording.
    """

    bars_s: list[float]
    beats: list[float]


def _takes(recording: Recording, score: Score, rng: np.random.Generator) -> Iterator[_Take]:
    runs = _runs(recording)
    if not runs:
        return
    step = BEATS_IN_BAR * octave_of(recording, score.tempo_bpm)
    firsts: dict[str, tuple[range, int]] = {}
    starts_s = starts_of(recording, score)
    for section in played_sections(recording, score):
        edges_s = _edges(score, section)
        bars = len(edges_s) - 1
        if section.name not in firsts:
            firsts[section.name] = _draw_run(runs, math.ceil(bars * step), rng)
        run, offset = firsts[section.name]
        room = len(run) // step * step
        beats = [run.start + (offset + step * bar) % room for bar in range(bars)]
        plays = [
            not starts_s.size or any_within(starts_s, Section("", begin - 0.05, end - begin, 0.0))
            for begin, end in itertools.pairwise(edges_s)
        ]
        begin = 0
        for bar in range(1, bars + 1):
            if bar < bars and plays[bar] == plays[begin] and beats[bar] > beats[bar - 1]:
                continue
            if plays[begin]:
                yield _Take(edges_s[begin : bar + 1], [*beats[begin:bar], beats[bar - 1] + step])
            begin = bar


def _edges(score: Score, section: Section) -> list[float]:
    """Return where the bars of a section begin, and where the last one ends, as if it were whole.

    What would be left of a bar at the end of a section belongs to the bar before.
    """
    bars_s = [*bars_of(score, section, BEATS_IN_BAR)]
    bar_s = BEATS_IN_BAR * 60 / score.tempo_bpm
    end_s = section.start_s + section.duration_s
    is_whole = abs(end_s - bars_s[-1] - bar_s) < 0.1 * bar_s
    return [*bars_s, end_s if is_whole else bars_s[-1] + bar_s]


def _runs(recording: Recording) -> list[range]:
    """Return ranges of beats in which drums play without a pause, in whole bars."""
    runs = []
    beats = np.array(recording.beats_s)
    for span in recording.spans:
        inside = np.flatnonzero((beats > span.start_s - 0.1) & (beats < span.end_s + 0.1))
        if not len(inside):
            continue
        first = math.ceil(inside[0] / BEATS_IN_BAR) * BEATS_IN_BAR
        last = int(inside[-1]) // BEATS_IN_BAR * BEATS_IN_BAR
        if last - first >= 2 * BEATS_IN_BAR:  # at double tempo, a bar is made of two
            runs.append(range(first, last))
    return runs


def _draw_run(runs: Sequence[range], beats: int, rng: np.random.Generator) -> tuple[range, int]:
    """Draw a run that is long enough, if there is any, and a bar of it to begin with."""
    enough = [run for run in runs if len(run) >= beats]
    if not enough:
        return max(runs, key=len), 0
    choices = [
        (run, offset) for run in enough for offset in range(0, len(run) - beats + 1, BEATS_IN_BAR)
    ]
    return choices[rng.integers(len(choices))]


def _play(
    recording: Recording, take: _Take, sample_rate: int, out: Samples, *, rings: bool
) -> None:
    """Add a take in the song's tempo."""
    beats = np.arange(take.beats[0], take.beats[-1] + 0.5 / _PER_BEAT, 1 / _PER_BEAT)
    recorded_s = np.interp(beats, np.arange(len(recording.beats_s)), recording.beats_s)
    begin_s = recorded_s[0] - _BEFORE_BEAT_S
    longest_s = float(np.diff(recorded_s).max()) + _JOIN_S
    played = read_excerpt(recording.file, begin_s, recorded_s[-1] + longest_s, sample_rate)
    sources = np.rint((recorded_s - begin_s) * sample_rate).astype(np.intp)
    due = np.interp(beats, take.beats, take.bars_s) * sample_rate
    delays = np.rint(due).astype(np.intp) - sources
    join = round(_JOIN_S * sample_rate)
    before = round(_BEFORE_BEAT_S * sample_rate)
    cuts = _cuts(played.mean(axis=0), sources, delays, join)
    starts = [sources[0] + delays[0] - before, *cuts]
    ends = [*(cut + join for cut in cuts), sources[-1] + delays[-1] - before]
    fades = [join] * len(starts)
    if rings:
        fades[-1] = round(_RING_S * sample_rate)
    else:
        ends[-1] += join  # there the next take begins
    for start, end, delay, fade in zip(starts, ends, delays, fades, strict=False):
        add_faded(out, played[:, start - delay : end - delay], start, join, fade)


def _cuts(
    mono: Samples, sources: npt.NDArray[np.intp], delays: npt.NDArray[np.intp], join: int
) -> list[int]:
    """Return where each sixteenth but the first one takes over, in samples of the song."""
    cuts = []
    width = np.arange(join)
    for number in range(1, len(sources) - 1):
        old, new = delays[number - 1], delays[number]
        start, end = sources[number - 1] + old, sources[number] + new
        places = (start + _CUTS * (end - start)).astype(np.intp)[:, None] + width
        unlike = mono[places - old] - mono[places - new]
        cuts.append(int(places[int(np.square(unlike).sum(axis=1).argmin()), 0]))
    return cuts
