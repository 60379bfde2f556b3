"""What the pieces of drum kits are called, and which General MIDI keys play them."""

from __future__ import annotations

import re

KICK, SNARE, CLOSED_HAT, PEDAL_HAT, OPEN_HAT = 36, 38, 42, 44, 46
HATS = (CLOSED_HAT, PEDAL_HAT, OPEN_HAT)
#: Low to high.
TOMS = (41, 43, 45, 47, 48, 50)

# Rolls are not single hits.
_EFFECTS = re.compile(r"roll|swish|choke|flink|flam|brush")
# The first one found in a name decides.
_NAMES = (
    (r"rim ?shot", 40),
    (r"stick|rim", 37),
    (r"clap", 39),
    (r"kick|bass ?drum|\bbd|cajon thump", KICK),
    (r"snare|\bsn\b|\bsd\b|cajon slap", SNARE),
    (r"(hat|\bhh).*(ped|\bpd\b|foot)|(ped|foot).*(hat|\bhh)", PEDAL_HAT),
    (r"(hat|\bhh).*(open|\bop\b|free)|(open|side).*(hat|o?hh)|\bohh", OPEN_HAT),
    (r"hat|hh\b", CLOSED_HAT),
    (r"(ride|paiste).*(bell|cup)", 53),
    (r"crash ?ride.*bow|ride", 51),
    (r"splash", 55),
    (r"china", 52),
    (r"crash|cymbal", 49),
    (r"tom.*(floor|low|lo\b)|(floor|low) ?tom", 41),
    (r"tom.*mid|mid\w* ?tom", 47),
    (r"tom.*hi|hi\w* ?tom", 50),
    (r"tom.*1", 50),
    (r"tom.*2", 47),
    (r"tom", 45),
    (r"cow ?bell", 56),
    (r"tambourine", 54),
    (r"shaker|maraca", 70),
    (r"conga.*(lo|2)|djembe.*bass", 64),
    (r"conga|djembe.*tone", 63),
    (r"bongo.*lo", 61),
    (r"bongo|djembe.*slap", 60),
    (r"agogo.*lo", 68),
    (r"agogo", 67),
    (r"clave", 75),
    (r"wood ?block.*lo", 77),
    (r"wood ?block", 76),
    (r"triangle", 81),
)
_PATTERNS = tuple((re.compile(pattern), key) for pattern, key in _NAMES)

# What stands in for a missing piece, nearest first. A ride keeps playing, a crash does not.
_RELATIVES = {
    35: (36,),
    36: (35,),
    37: (40, 38),
    38: (40,),
    39: (40, 38),
    40: (38,),
    42: (44,),
    44: (42,),
    46: (42,),
    49: (57, 55, 52),
    51: (59, 53),
    52: (49, 57),
    53: (51,),
    55: (49, 57),
    57: (49, 52),
    59: (51, 53),
    60: (61, 62, 63),
    61: (60, 64),
    62: (63, 60),
    63: (62, 64, 60),
    64: (63, 61),
    67: (68, 56),
    68: (67, 56),
    69: (70, 82),
    70: (82, 69),
    75: (76, 77),
    76: (77, 75),
    77: (76, 75),
    80: (81,),
    81: (80,),
    82: (70, 69),
}
_TOM_STEP_SEMITONES = 2.0


def key_of(name: str) -> int | None:
    """Return the General MIDI key of a piece by its name, None if unknown."""
    plain = re.sub(r"[^a-z0-9]+", " ", name.lower())
    if _EFFECTS.search(plain):
        return None
    return next((key for pattern, key in _PATTERNS if pattern.search(plain)), None)


def stand_in(key: int, present: frozenset[int]) -> tuple[int, float] | None:
    """Return the key to play for `key` and by how many semitones to shift it; None: silence."""
    if key in present:
        return key, 0.0
    if key in TOMS:
        place = TOMS.index(key)
        others = [tom for tom in TOMS if tom in present]
        if not others:
            return None
        nearest = min(others, key=lambda tom: abs(TOMS.index(tom) - place))
        return nearest, _TOM_STEP_SEMITONES * (place - TOMS.index(nearest))
    for relative in _RELATIVES.get(key, ()):
        if relative in present:
            return relative, 0.0
    return None
