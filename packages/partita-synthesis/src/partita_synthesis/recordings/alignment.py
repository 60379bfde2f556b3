"""Where in a song a recording plays, at which tempo and transposition."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from partita_synthesis.instruments import instruments
from partita_synthesis.recordings.recording import Recording
from partita_synthesis.score import Score, Section

Curve = npt.NDArray[np.float64]

_MAX_SEMITONES = 4
_MAX_TEMPO = 1.2


def transposition(recording: Recording, score: Score) -> int:
    """Return by how many semitones vocals are moved: at most 4 up or down.

    Relative keys, such as C major and A minor, count as one.
    """
    tonics = (
        key + (3 if mode == "minor" else 0)
        for key, mode in ((recording.key, recording.mode), (score.key, score.mode))
    )
    source, target = tonics
    exact, *near = ((target + fifth - source + 6) % 12 - 6 for fifth in (0, 7, 5))
    return exact if abs(exact) <= _MAX_SEMITONES else min(near, key=abs)


def tempo_ratio(recording: Recording, tempo_bpm: float) -> float:
    """Return how much faster a recording is played: within 20 %, octaves of tempo aside."""
    nearest = tempo_bpm * octave_of(recording, tempo_bpm) / recording.tempo_bpm
    return min(max(nearest, 2 - _MAX_TEMPO), _MAX_TEMPO)


def can_follow(recording: Recording, tempo_bpm: float) -> bool:
    """Whether a recording can be played at a tempo, its half or its double."""
    ratio = tempo_bpm * octave_of(recording, tempo_bpm) / recording.tempo_bpm
    return 2 - _MAX_TEMPO <= ratio <= _MAX_TEMPO


def octave_of(recording: Recording, tempo_bpm: float) -> float:
    """Return how many beats of a recording there are to a beat of the song: ½, 1 or 2."""
    ratio = tempo_bpm / recording.tempo_bpm
    return min((0.5, 1.0, 2.0), key=lambda octave: abs(math.log(ratio * octave)))


def played_sections(recording: Recording, score: Score) -> Sequence[Section]:
    """Return the sections in which a recording plays."""
    if not score.sections:
        return [Section("", 0.0, score.duration_s, 1.0)]
    starts_s = starts_of(recording, score)
    played = [section for section in score.sections if any_within(starts_s, section)]
    quietest = min(section.energy for section in score.sections)
    louder = [section for section in score.sections if section.energy > quietest]
    return played or louder or score.sections


def starts_of(recording: Recording, score: Score) -> Curve:
    """Return when notes start that the recording takes the place of."""
    return np.array(
        [
            note.start_s
            for part in score.parts
            if recording.stem in instruments()[part.player.instrument].words
            for note in part.notes
        ],
        np.float64,
    )


def any_within(times_s: Curve, section: Section) -> bool:
    """Whether any of some times lies within a section."""
    end_s = section.start_s + section.duration_s
    return bool(((times_s >= section.start_s) & (times_s < end_s)).any())


def bars_of(score: Score, section: Section, beats_in_bar: int) -> Sequence[float]:
    """Return where the bars of a section start; at least one."""
    end_s = section.start_s + section.duration_s
    beats = [beat for beat in score.beats_s if section.start_s - 0.01 <= beat < end_s]
    return beats[::beats_in_bar] or [section.start_s]
