"""The settings of a style of music."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SECTION_KINDS = (
    "intro", "verse", "prechorus", "chorus", "bridge", "solo", "breakdown", "outro",
)  # fmt: skip
MODES = ("major", "minor")
COLOURS = ("triad", "seventh", "ninth", "power")
FILLS = ("toms", "snare", "roll", "light", "none")
SWING_UNITS = {"eighth": 0.5, "sixteenth": 0.25}
#: Kinds of bass line that are worked out rather than written as a pattern.
WORKED_OUT = ("walking", "kick", "long")


@dataclass(frozen=True)
class Pattern:
    """A rhythm, one letter for each sixteenth; ``style_files/common.toml`` explains the letters.

    Attributes
    ----------
    text : str
        Of whole bars; or, of bass lines, one of `WORKED_OUT`.
    energy : tuple of float
        The least and most energy of sections that it suits.
    weight : float
        Relative probability among patterns that fit.
    """

    text: str
    energy: tuple[float, float] = (0.0, 1.0)
    weight: float = 1.0


@dataclass(frozen=True)
class Groove:
    """What the pieces of a kit play together.

    Attributes
    ----------
    steps : int
        Sixteenths after which it repeats.
    hits : tuple of (int, int, float, float)
        Step, General MIDI key, velocity from 0 to 1, probability.
    energy : tuple of float
        The least and most energy of sections that it suits.
    weight : float
        Relative probability among patterns that fit.
    """

    steps: int
    hits: tuple[tuple[int, int, float, float], ...]
    energy: tuple[float, float] = (0.0, 1.0)
    weight: float = 1.0


@dataclass(frozen=True)
class Swing:
    """How late every second note of a unit comes.

    Attributes
    ----------
    unit_beats : float
        0.5: eighths are swung; 0.25: sixteenths.
    ratio : tuple of float
        Least and most of a pair's time that its first note takes: 0.5 is straight, 2/3 triplets.
    """

    unit_beats: float
    ratio: tuple[float, float]


@dataclass(frozen=True)
class Feel:
    """Deviations of timing, velocity and tempo from the score.

    Attributes
    ----------
    timing_ms : float
        Standard deviation of a note's start.
    velocity : float
        Standard deviation of a note's velocity, of 127.
    drift_percent : float
        By how much at most the tempo wanders.
    strum_ms : float
        Time between two notes of a strummed chord.
    """

    timing_ms: float
    velocity: float
    drift_percent: float
    strum_ms: float


@dataclass(frozen=True)
class Tune:
    """What melodies are like, each from 0 to 1.

    Attributes
    ----------
    density : float
        How many notes.
    syncopation : float
        How many of them off the beat.
    pentatonic : float
        Probability that a song's melodies keep to five notes.
    """

    density: float
    syncopation: float
    pentatonic: float


@dataclass(frozen=True)
class BandSeat:
    """The players of a role in a band.

    Attributes
    ----------
    probability : float
        That the role is taken.
    most : int
        How many at most.
    instruments : mapping of str to float
        Name → weight.
    """

    probability: float
    most: int
    instruments: Mapping[str, float]


@dataclass(frozen=True)
class Style:
    """A style of music.

    Attributes
    ----------
    name : str
    weight : float
        How likely it is among the styles.
    tempo_bpm : tuple of float
        Least and most.
    beats_per_bar : int
    swing : Swing
    energy : tuple of float
        Of its calmest and its most excited sections.
    modes, colours, fills : mapping of str to float
        Weights.
    progressions : mapping of str to mapping of str to tuple of str
        Mode → kind of section → Roman numerals, one word a bar.
    surprises : float
        Probability of a secondary dominant or borrowed chord where one could be.
    key_change : float
        Probability that the last chorus is in a higher key.
    forms : tuple of tuple of str
        Kinds of section, in order.
    grooves, percussion : tuple of Groove
    bass, comping, riffs, arpeggios : tuple of Pattern
    tune : Tune
    feel : Feel
    band : mapping of str to BandSeat
        By role.
    """

    name: str
    weight: float
    tempo_bpm: tuple[float, float]
    beats_per_bar: int
    swing: Swing
    energy: tuple[float, float]
    modes: Mapping[str, float]
    colours: Mapping[str, float]
    progressions: Mapping[str, Mapping[str, tuple[str, ...]]]
    surprises: float
    key_change: float
    forms: tuple[tuple[str, ...], ...]
    grooves: tuple[Groove, ...]
    percussion: tuple[Groove, ...]
    fills: Mapping[str, float]
    bass: tuple[Pattern, ...]
    comping: tuple[Pattern, ...]
    riffs: tuple[Pattern, ...]
    arpeggios: tuple[Pattern, ...]
    tune: Tune
    feel: Feel
    band: Mapping[str, BandSeat]
