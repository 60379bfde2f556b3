"""Fitting a recording into another song."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from partita.datasets.audio_checks import SILENT_PEAK
from partita_synthesis.recordings.alignment import can_follow, tempo_ratio, transposition
from partita_synthesis.recordings.analysis import BEATS_IN_BAR
from partita_synthesis.recordings.drum_loops import drum_along
from partita_synthesis.recordings.excerpts import MAX_CHANNELS
from partita_synthesis.recordings.recording import DRUMS, Recording
from partita_synthesis.recordings.vocal_lines import sing_along
from partita_synthesis.score import Score

Samples = npt.NDArray[np.float32]

_FADE_S = 0.005  # at the end of the song


@dataclass(frozen=True, eq=False)
class Take:
    """A recording, fitted to a song.

    Attributes
    ----------
    recording : Recording
    samples : float32 ``[1 or 2, samples]``
        As long as the song, as loud as recorded.
    semitones : int
        By how many it was transposed.
    tempo_ratio : float
        How much faster it is than it was.
    """

    recording: Recording
    samples: Samples
    semitones: int
    tempo_ratio: float


def fit(
    recording: Recording,
    score: Score,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    beats_in_bar: int = BEATS_IN_BAR,
) -> Take | None:
    """Fit a recording into another song.

    It plays where the score's singers or drummers are (if it has none: in all sections
    but the quietest). Sections of one name begin with the same part.

    Phrases of vocals start with bars, or a pickup before. Pitch changes by 4 semitones at most and
    tempo by 20 %: keys that are further apart than that become neighbours on the circle of fifths,
    and a tempo that cannot be met, nor its half or double, is met as nearly as possible.

    Drums come bar for bar, in tempo.

    Parameters
    ----------
    recording : Recording
    score : Score
    sample_rate : int
        Of what is returned, in hertz.
    rng : numpy.random.Generator
    beats_in_bar : int
        Of the song.

    Returns
    -------
    Take or None
        None: nothing of it would fit; drums that cannot follow the song's tempo or bars.

    Raises
    ------
    AudioReadError
        The recording cannot be read.
    """
    channels = recording.file.header.channels
    out = np.zeros(
        (channels if channels <= MAX_CHANNELS else 1, round(score.duration_s * sample_rate)),
        np.float32,
    )
    fade = min(out.shape[1], round(_FADE_S * sample_rate))
    if recording.stem == DRUMS:
        if beats_in_bar != BEATS_IN_BAR or not can_follow(recording, score.tempo_bpm):
            return None
        semitones = 0
        drum_along(recording, score, sample_rate, rng, out)
    else:
        semitones = transposition(recording, score)
        sing_along(recording, score, sample_rate, rng, out, beats_in_bar)
    out[:, out.shape[1] - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    if np.abs(out).max(initial=0) < SILENT_PEAK:
        return None
    return Take(recording, out, semitones, tempo_ratio(recording, score.tempo_bpm))
