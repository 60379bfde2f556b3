"""Singing voices: source and filter, no recordings."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from partita_synthesis.instruments import Instrument
from partita_synthesis.score import Part
from partita_synthesis.singing.expression import perform
from partita_synthesis.singing.singer import draw_singer
from partita_synthesis.singing.voice import sound

__all__ = ["sing"]

Samples = npt.NDArray[np.float32]

_LEVEL = 0.1  # of what is sung, root mean square
_MAX_PEAK = 0.9


def sing(
    part: Part,
    instrument: Instrument,
    duration_s: float,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    tuning_cents: float = 0.0,
) -> Samples:
    """Sing a part, without recordings.

    Every call draws one singer: the same part sung twice is a doubled voice.

    Parameters
    ----------
    part : Part
        Vowels start on the notes, consonants before them. One note at a time: of chords the
        highest, and each until the next begins. ``-`` sings on with the vowel of the note before.
    instrument : Instrument
        ``soprano``, ``alto``, ``tenor`` or ``baritone``: how long the vocal tract is.
    duration_s : float
        Of the song; notes that start later are not sung.
    sample_rate : int
        In hertz.
    rng : numpy.random.Generator
    tuning_cents : float
        What the song is tuned above 440 Hz.

    Returns
    -------
    float32 ``[1, round(duration_s * sample_rate)]``
    """
    samples = round(duration_s * sample_rate)
    singer = draw_singer(instrument.name, rng)
    performance = perform(part.notes, singer, duration_s, rng, tuning_cents / 100)
    if performance is None or not samples:
        return np.zeros((1, samples), np.float32)
    return _levelled(sound(performance, singer, samples, sample_rate, rng))[None]


def _levelled(voice: Samples) -> Samples:
    power = np.square(voice)
    loud = power[power > 1e-4 * power.max()]  # what is silent tells nothing about a voice
    if not len(loud):
        return voice
    factor = _LEVEL / math.sqrt(float(loud.mean()))
    peak = factor * math.sqrt(float(power.max()))
    return voice * np.float32(factor * min(1.0, _MAX_PEAK / peak))
