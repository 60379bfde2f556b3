"""Singing from recordings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from partita_synthesis.recordings.alignment import (
    bars_of,
    played_sections,
    tempo_ratio,
    transposition,
)
from partita_synthesis.recordings.excerpts import add_faded, read_excerpt
from partita_synthesis.recordings.recording import Recording, Span
from partita_synthesis.score import Score

Samples = npt.NDArray[np.float32]

_MARGIN_S = 0.08  # before and after a phrase
_FADE_S = 0.03
_OVERHANG_S = 1.0  # of a phrase, beyond the section it is sung in
_PAUSES = 0.25  # probability that a singer waits for another bar


def sing_along(
    recording: Recording,
    score: Score,
    sample_rate: int,
    rng: np.random.Generator,
    out: Samples,
    beats_in_bar: int,
) -> None:
    """Add vocals to `out`, phrase after phrase."""
    tempo = tempo_ratio(recording, score.tempo_bpm)
    semitones = transposition(recording, score)
    for bar_s, phrase, length_s in _phrases(recording, score, tempo, rng, beats_in_bar):
        begin_s = phrase.start_s - _MARGIN_S
        end_s = phrase.start_s + length_s * tempo + _MARGIN_S
        sung = read_excerpt(recording.file, begin_s, end_s, sample_rate, semitones, tempo)
        start_s = bar_s - (_beat_near(recording, phrase.start_s) - begin_s) / tempo
        fade = round(_FADE_S * sample_rate)
        add_faded(out, sung, round(start_s * sample_rate), fade, fade)


def _phrases(
    recording: Recording,
    score: Score,
    tempo: float,
    rng: np.random.Generator,
    beats_in_bar: int,
) -> Iterator[tuple[float, Span, float]]:
    """Yield the bar in which a phrase is sung, the phrase, and how long it may last."""
    phrases = recording.spans
    firsts: dict[str, int] = {}
    free_s = 0.0
    for section in played_sections(recording, score):
        index = firsts.setdefault(section.name, int(rng.integers(len(phrases))))
        end_s = section.start_s + section.duration_s
        for bar_s in bars_of(score, section, beats_in_bar):
            phrase = phrases[index % len(phrases)]
            pickup_s = (_beat_near(recording, phrase.start_s) - phrase.start_s) / tempo
            start_s = bar_s - pickup_s
            if start_s < free_s or rng.random() < _PAUSES:
                continue
            length_s = min(phrase.duration_s / tempo, end_s + _OVERHANG_S - start_s)
            yield bar_s, phrase, length_s
            free_s = start_s + length_s
            index += 1


def _beat_near(recording: Recording, time_s: float) -> float:
    return min(recording.beats_s, key=lambda beat: abs(beat - time_s))
