"""Ranges of mixing settings by role and style: levels, panning, sends, equalisers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partita_synthesis.instruments import instruments
from partita_synthesis.mixing.equaliser import Kind

Range = tuple[float, float]

#: Level while playing, in dB, and how far it varies (standard deviation); the mean energies of the
#: stems of pop records are about alike, bass a little lower.
LEVELS_DB: Mapping[str, tuple[float, float]] = {
    "vocals": (0.5, 3.0),
    "drums": (2.5, 3.0),
    "bass": (1.0, 3.5),
    "lead": (-0.5, 3.0),
    "riff": (-0.5, 3.0),
    "chords": (-1.0, 3.0),
    "arpeggio": (-3.0, 3.0),
    "pad": (-3.5, 3.0),
    "backing_vocals": (-7.0, 3.0),
    "percussion": (-9.0, 3.5),
}
#: Roles that share one space in the mix: the more of them, the softer each.
CROWD = ("lead", "riff", "chords", "arpeggio", "pad")
CROWD_DB_PER_DECADE = 7.0
FARTHEST_LEVEL_DB = 8.0  # from the mean, after the style's own

#: How far off the middle a part may be, 0 to 1.
PLACES: Mapping[str, Range] = {
    "vocals": (0.0, 0.06),
    "drums": (0.0, 0.05),
    "bass": (0.0, 0.05),
    "lead": (0.0, 0.4),
    "riff": (0.15, 0.9),
    "chords": (0.1, 0.8),
    "arpeggio": (0.15, 0.9),
    "pad": (0.0, 0.4),
    "backing_vocals": (0.2, 0.9),
    "percussion": (0.1, 0.8),
}
#: Factor of the difference between left and right.
WIDTHS: Mapping[str, Range] = {
    "vocals": (0.4, 1.0),
    "drums": (0.6, 1.2),
    "bass": (0.0, 0.4),
    "pad": (1.0, 1.6),
}
OTHER_WIDTH: Range = (0.5, 1.3)

#: Share of the energy that goes to the reverb, in dB (little is none); below, to the delay.
REVERB_DB: Mapping[str, Range] = {
    "vocals": (-21, -10),
    "backing_vocals": (-18, -8),
    "drums": (-28, -14),
    "percussion": (-22, -10),
    "lead": (-20, -9),
    "pad": (-20, -8),
    "bass": (-45, -24),
}
OTHER_REVERB_DB: Range = (-24, -11)
LEAST_REVERB_DB = -32.0
DELAY_PROBABILITY: Mapping[str, float] = {
    "vocals": 0.6,
    "lead": 0.6,
    "arpeggio": 0.4,
    "riff": 0.25,
    "backing_vocals": 0.3,
}
DELAY_DB: Range = (-22, -11)

#: Probability of a compressor; of saturation.
COMPRESSED: Mapping[str, float] = {
    "vocals": 0.95,
    "bass": 0.8,
    "drums": 0.75,
    "backing_vocals": 0.7,
    "lead": 0.5,
    "percussion": 0.4,
}
OTHER_COMPRESSED = 0.3
SATURATED: Mapping[str, float] = {"bass": 0.4, "drums": 0.35, "vocals": 0.25}
OTHER_SATURATED = 0.15
GATED: Mapping[str, float] = {"drums": 0.08, "riff": 0.05}


@dataclass(frozen=True)
class BandRange:
    """Where a band of an equaliser may be, and how often there is one."""

    kind: Kind
    frequency_hz: Range
    gain_db: Range = (0.0, 0.0)
    q: Range = (0.7, 0.7)
    probability: float = 0.75


EQUALISERS: Mapping[str, tuple[BandRange, ...]] = {
    "drums": (
        BandRange("highpass", (22, 40)),
        BandRange("peak", (55, 100), (-1, 4), (0.8, 1.6)),
        BandRange("peak", (250, 550), (-6, 0), (0.7, 1.6)),
        BandRange("peak", (2500, 5500), (-2, 4), (0.7, 1.5)),
        BandRange("high_shelf", (6000, 10000), (-2, 5)),
    ),
    "percussion": (
        BandRange("highpass", (100, 300), probability=0.9),
        BandRange("high_shelf", (5000, 9000), (-3, 4)),
    ),
    "bass": (
        BandRange("highpass", (24, 40)),
        BandRange("peak", (60, 120), (-2, 3), (0.8, 1.4)),
        BandRange("peak", (180, 400), (-5, 1), (0.7, 1.4)),
        BandRange("peak", (700, 2000), (-2, 5), (0.7, 1.4)),
        BandRange("lowpass", (3000, 9000), probability=0.4),
    ),
    "voice": (
        BandRange("highpass", (70, 130), probability=0.95),
        BandRange("peak", (200, 450), (-5, 0), (0.8, 1.6)),
        BandRange("peak", (2200, 5000), (-1, 5), (0.7, 1.5)),
        BandRange("high_shelf", (7500, 12000), (-2, 5)),
    ),
    "guitar": (
        BandRange("highpass", (65, 140), probability=0.9),
        BandRange("peak", (200, 450), (-5, 0), (0.8, 1.6)),
        BandRange("peak", (1500, 4000), (-3, 4), (0.7, 1.5)),
        BandRange("high_shelf", (5000, 9000), (-4, 4)),
    ),
    "pad": (
        BandRange("highpass", (90, 260), probability=0.9),
        BandRange("peak", (250, 600), (-5, 1), (0.6, 1.4)),
        BandRange("high_shelf", (4000, 9000), (-5, 3)),
    ),
    "other": (
        BandRange("highpass", (40, 150), probability=0.85),
        BandRange("peak", (220, 500), (-5, 0), (0.7, 1.6)),
        BandRange("peak", (1500, 5000), (-3, 4), (0.7, 1.5)),
        BandRange("high_shelf", (5000, 10000), (-3, 4)),
    ),
}
_FAMILIES = {
    "drums": "drums",
    "percussion": "percussion",
    "bass": "bass",
    "vocals": "voice",
    "backing_vocals": "voice",
    "pad": "pad",
}


def family_of(role: str, instrument: str) -> str:
    """Return which of `EQUALISERS` suits a part."""
    return _FAMILIES.get(role, "guitar" if is_guitar(instrument) else "other")


def is_guitar(instrument: str) -> bool:
    """Return whether an instrument is a guitar."""
    return "guitar" in _words(instrument)


def is_electric(instrument: str) -> bool:
    """Tell whether an instrument usually goes through pedals: guitars, electric keys, organs."""
    return bool(_words(instrument) & {"electric_guitar", "electric_piano", "organ", "synth"})


def _words(instrument: str) -> set[str]:
    known = instruments().get(instrument)
    return set(known.words) if known else {instrument}


@dataclass(frozen=True)
class StyleProfile:
    """How records of a style are mixed.

    Attributes
    ----------
    loudness_lufs : tuple of float
        Integrated, of the master.
    levels_db : mapping of str to float
        Role → what is added to its level.
    wet_db : float
        Added to what goes to the reverb.
    pumping : float
        Probability that the bass drum ducks bass and pads.
    """

    loudness_lufs: Range
    levels_db: Mapping[str, float]
    wet_db: float = 0.0
    pumping: float = 0.0


_POP = StyleProfile((-13.0, -8.5), {"vocals": 0.5}, pumping=0.1)
#: Words that names of styles hold, the more telling ones first.
_STYLES: tuple[tuple[tuple[str, ...], StyleProfile], ...] = (
    (
        ("classic", "orchestra", "ambient", "chamber", "cinematic"),
        StyleProfile((-16.0, -13.0), {"drums": -5, "bass": -2, "pad": 3}, wet_db=5),
    ),
    (
        ("electro", "edm", "house", "techno", "trance", "dance", "club", "dubstep", "synth"),
        StyleProfile((-11.5, -7.0), {"drums": 2, "bass": 1, "vocals": -1}, pumping=0.7),
    ),
    (
        ("hip", "trap", "rap", "rnb", "r&b", "drill", "lofi", "lo_fi"),
        StyleProfile((-12.5, -8.0), {"drums": 2, "bass": 2, "pad": -1}, pumping=0.25),
    ),
    (
        ("metal", "punk", "rock", "grunge", "indie"),
        StyleProfile((-11.5, -7.0), {"riff": 1.5, "chords": 1.5, "vocals": -0.5}, wet_db=-2),
    ),
    (
        ("jazz", "bossa", "swing", "latin", "samba", "blues"),
        StyleProfile((-16.0, -11.0), {"drums": -3, "lead": 1.5, "bass": 0.5}, wet_db=1),
    ),
    (
        ("folk", "acoustic", "country", "ballad", "singer", "waltz"),
        StyleProfile((-15.0, -10.0), {"drums": -2.5, "bass": -1, "vocals": 2}, wet_db=1),
    ),
    (("reggae", "dub", "funk", "disco"), StyleProfile((-13.0, -9.0), {"bass": 2, "drums": 1})),
)


def profile_of(style: str) -> StyleProfile:
    """Return how a style is mixed; an unknown one is mixed like pop."""
    name = style.lower()
    for words, profile in _STYLES:
        if any(word in name for word in words):
            return profile
    return _POP
