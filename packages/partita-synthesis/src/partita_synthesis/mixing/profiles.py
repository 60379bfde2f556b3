"""Ranges of mixing settings by role and style: levels, positions, loudness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partita_synthesis.instruments import instruments

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


def is_guitar(instrument: str) -> bool:
    """Return whether an instrument is a guitar."""
    known = instruments().get(instrument)
    return known is not None and "guitar" in known.words


@dataclass(frozen=True)
class StyleProfile:
    """How records of a style are mixed.

    Attributes
    ----------
    loudness_lufs : tuple of float
        Integrated, of the master.
    levels_db : mapping of str to float
        Role → what is added to its level.
    """

    loudness_lufs: Range
    levels_db: Mapping[str, float]


_POP = StyleProfile((-13.0, -8.5), {"vocals": 0.5})
#: Words that names of styles hold, the more telling ones first.
_STYLES: tuple[tuple[tuple[str, ...], StyleProfile], ...] = (
    (
        ("classic", "orchestra", "ambient", "chamber", "cinematic"),
        StyleProfile((-16.0, -13.0), {"drums": -5, "bass": -2, "pad": 3}),
    ),
    (
        ("electro", "edm", "house", "techno", "trance", "dance", "club", "dubstep", "synth"),
        StyleProfile((-11.5, -7.0), {"drums": 2, "bass": 1, "vocals": -1}),
    ),
    (
        ("hip", "trap", "rap", "rnb", "r&b", "drill", "lofi", "lo_fi"),
        StyleProfile((-12.5, -8.0), {"drums": 2, "bass": 2, "pad": -1}),
    ),
    (
        ("metal", "punk", "rock", "grunge", "indie"),
        StyleProfile((-11.5, -7.0), {"riff": 1.5, "chords": 1.5, "vocals": -0.5}),
    ),
    (
        ("jazz", "bossa", "swing", "latin", "samba", "blues"),
        StyleProfile((-16.0, -11.0), {"drums": -3, "lead": 1.5, "bass": 0.5}),
    ),
    (
        ("folk", "acoustic", "country", "ballad", "singer", "waltz"),
        StyleProfile((-15.0, -10.0), {"drums": -2.5, "bass": -1, "vocals": 2}),
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
