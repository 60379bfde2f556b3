"""Who sings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

#: Formants of a voice relative to the table of phonemes: the shorter the tract, the higher.
_TRACTS: Mapping[str, float] = MappingProxyType(
    {"soprano": 1.18, "alto": 1.12, "tenor": 1.0, "baritone": 0.94}
)
_FORMANTS = 5


@dataclass(frozen=True)
class Singer:
    """A voice and its habits.

    Attributes
    ----------
    tract : tuple of float
        Factors of the formants, F1 first.
    ring : float
        0 to 1: how far F3 to F5 gather into the singer's formant.
    open_quotient : float
        Share of a cycle in which the vocal folds are open.
    brightness_hz : float
        Where the source's spectrum bends down, of a note of medium effort.
    presence_db : float
        By how much the range of consonants is louder than in nature.
    breathiness : float
        Aspiration beside a vowel's voicing.
    voicing : float
        0 (whispers) to 1.
    roughness : float
        Amplitude of every other cycle's difference.
    jitter, shimmer : float
        Relative, from cycle to cycle.
    sibilance : float
        Amplitude of noise made in the mouth.
    breath : float
        Amplitude of breathing in; 0: breathes silently, or they cut it out.
    vibrato_hz, vibrato_cents, vibrato_delay_s : float
        Rate, depth at its deepest, and when it begins.
    intonation_cents, drift_cents : float
        Standard deviation of notes, and of the slow wandering within them.
    glide_hz, overshoot : float
        How fast the pitch goes from note to note, and by what part of the step too far.
    scoop : float
        Probability that a note is reached from below.
    looseness_s, lateness_s : float
        Standard deviation and mean of how late notes are.
    speaks : bool
        Raps rather than sings: notes are short and fall.
    """

    tract: tuple[float, ...]
    ring: float
    open_quotient: float
    brightness_hz: float
    presence_db: float
    breathiness: float
    voicing: float
    roughness: float
    jitter: float
    shimmer: float
    sibilance: float
    breath: float
    vibrato_hz: float
    vibrato_cents: float
    vibrato_delay_s: float
    intonation_cents: float
    drift_cents: float
    glide_hz: float
    overshoot: float
    scoop: float
    looseness_s: float
    lateness_s: float
    speaks: bool


def draw_singer(voice: str, rng: np.random.Generator) -> Singer:
    """Draw a singer.

    Parameters
    ----------
    voice : str
        ``soprano``, ``alto``, ``tenor`` or ``baritone``; anything else is of medium size.
    rng : numpy.random.Generator
    """
    size = _TRACTS.get(voice, 1.05) * rng.uniform(0.94, 1.06)
    tuned = rng.random() < 0.12  # by a machine, as much of pop is
    whispers, rough = rng.random(2) < (0.06, 0.2)
    return Singer(
        tract=tuple(size * rng.uniform(0.96, 1.04, _FORMANTS)),
        ring=float(rng.uniform(0, 0.35) if rng.random() < 0.75 else rng.uniform(0.5, 0.9)),
        open_quotient=float(rng.uniform(0.45, 0.75)),
        brightness_hz=float(np.exp(rng.uniform(np.log(2000), np.log(8000)))),
        presence_db=float(rng.uniform(0, 14)),
        breathiness=float(0.5 if whispers else np.exp(rng.uniform(np.log(0.015), np.log(0.15)))),
        voicing=float(rng.uniform(0.0, 0.25)) if whispers else 1.0,
        roughness=float(rng.uniform(0.1, 0.5)) if rough else 0.0,
        jitter=float(rng.uniform(0.001, 0.005) * (2 if rough else 1)),
        shimmer=float(rng.uniform(0.02, 0.08) * (2 if rough else 1)),
        sibilance=float(np.exp(rng.uniform(np.log(0.5), np.log(1.6)))),
        breath=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.8 else 0.0,
        vibrato_hz=float(rng.uniform(4.5, 6.5)),
        vibrato_cents=float(rng.uniform(5, 25) if tuned else rng.uniform(25, 60)),
        vibrato_delay_s=float(rng.uniform(0.15, 0.5)),
        intonation_cents=float(0 if tuned else rng.uniform(3, 14)),
        drift_cents=float(rng.uniform(4, 8) if tuned else rng.uniform(8, 20)),
        glide_hz=float(12 if tuned else rng.uniform(3.5, 9)),
        overshoot=float(0 if tuned else rng.uniform(0.0, 0.12)),
        scoop=float(0.2 if tuned else rng.uniform(0.3, 0.9)),
        looseness_s=float(rng.uniform(0.002, 0.009)),
        lateness_s=float(rng.normal(0, 0.004)),
        speaks=bool(rng.random() < 0.06),
    )
