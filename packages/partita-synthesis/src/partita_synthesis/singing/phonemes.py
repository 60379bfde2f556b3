"""What syllables are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Formants in hertz of a vocal tract of medium length.
Formants = tuple[float, float, float, float, float]

#: Noise that is made in the mouth, by where; its spectra are in `voice.py`.
NOISES = ("s", "sh", "f", "t", "k", "p")


@dataclass(frozen=True, slots=True)
class Phoneme:
    """A piece of a syllable.

    Attributes
    ----------
    duration_s : float
        As it is sung without haste; 0 of vowels, which last as long as their note.
    formants : tuple of float or None
        In hertz; None: those of the vowel.
    voicing, aspiration, frication : float
        Amplitudes of the vocal folds and of noise made at them and in the mouth; a vowel's
        voicing is 1.
    noise : str
        Of `NOISES`.
    zero_hz : float
        The nose's anti-resonance; 0 where the nose is shut.
    ramp_s : float
        How fast amplitudes change on the way in and out.
    """

    duration_s: float
    formants: Formants | None = None
    voicing: float = 0.0
    aspiration: float = 0.0
    frication: float = 0.0
    noise: str = "s"
    zero_hz: float = 0.0
    ramp_s: float = 0.012


def _vowel(*formants: float) -> Phoneme:
    f1, f2, f3, f4, f5 = formants
    return Phoneme(0.0, (f1, f2, f3, f4, f5), voicing=1.0, ramp_s=0.02)


VOWELS: Mapping[str, Phoneme] = MappingProxyType(
    {
        "a": _vowel(720, 1180, 2520, 3350, 4350),
        "æ": _vowel(680, 1650, 2480, 3400, 4400),
        "e": _vowel(570, 1750, 2530, 3450, 4400),
        "i": _vowel(400, 2120, 2800, 3550, 4500),
        "o": _vowel(530, 920, 2500, 3300, 4250),
        "u": _vowel(410, 900, 2350, 3250, 4200),
        "ʌ": _vowel(610, 1230, 2480, 3350, 4350),
        "r": _vowel(470, 1300, 1700, 3100, 4200),
    }
)

_LIPS: Formants = (330, 850, 2300, 3250, 4250)
_TEETH: Formants = (320, 1750, 2650, 3450, 4400)
_BACK: Formants = (310, 1900, 2250, 3350, 4350)
_PALATE: Formants = (300, 1900, 2600, 3400, 4350)


def _stop(formants: Formants, noise: str, *, voiced: bool) -> tuple[Phoneme, ...]:
    """Return the gap, the burst and the breath of a stop."""
    if voiced:
        return (
            Phoneme(0.045, formants, voicing=0.12, ramp_s=0.006),
            Phoneme(0.01, formants, voicing=0.3, frication=0.5, noise=noise, ramp_s=0.002),
        )
    return (
        Phoneme(0.06, formants, ramp_s=0.006),
        Phoneme(0.014, formants, frication=1.0, noise=noise, ramp_s=0.002),
        Phoneme(0.03, None, aspiration=0.6, frication=0.2, noise=noise, ramp_s=0.008),
    )


CONSONANTS: Mapping[str, tuple[Phoneme, ...]] = MappingProxyType(
    {
        "m": (Phoneme(0.09, (270, 1050, 2200, 3050, 4150), voicing=0.5, zero_hz=850),),
        "n": (Phoneme(0.08, (280, 1500, 2500, 3250, 4250), voicing=0.5, zero_hz=1600),),
        "ng": (Phoneme(0.08, (280, 1900, 2300, 3250, 4250), voicing=0.45, zero_hz=2900),),
        "l": (Phoneme(0.075, (350, 1150, 2700, 3500, 4400), voicing=0.65, zero_hz=2000),),
        "r": (Phoneme(0.08, (340, 1150, 1600, 3050, 4200), voicing=0.6),),
        "w": (Phoneme(0.075, (300, 640, 2300, 3250, 4200), voicing=0.55, ramp_s=0.03),),
        "y": (Phoneme(0.075, (280, 2250, 3050, 3600, 4500), voicing=0.6, ramp_s=0.03),),
        "h": (Phoneme(0.08, None, aspiration=0.9, ramp_s=0.025),),
        "s": (Phoneme(0.13, _TEETH, frication=1.0, noise="s", ramp_s=0.03),),
        "z": (Phoneme(0.09, _TEETH, voicing=0.3, frication=0.55, noise="s", ramp_s=0.02),),
        "sh": (Phoneme(0.13, _PALATE, frication=1.0, noise="sh", ramp_s=0.03),),
        "f": (Phoneme(0.11, _LIPS, frication=0.8, noise="f", ramp_s=0.025),),
        "v": (Phoneme(0.07, _LIPS, voicing=0.35, frication=0.35, noise="f", ramp_s=0.02),),
        "th": (Phoneme(0.09, _TEETH, frication=0.7, noise="f", ramp_s=0.02),),
        "t": _stop(_TEETH, "t", voiced=False),
        "k": _stop(_BACK, "k", voiced=False),
        "p": _stop(_LIPS, "p", voiced=False),
        "d": _stop(_TEETH, "t", voiced=True),
        "g": _stop(_BACK, "k", voiced=True),
        "b": _stop(_LIPS, "p", voiced=True),
        "ch": (
            Phoneme(0.05, _PALATE, ramp_s=0.006),
            Phoneme(0.07, _PALATE, frication=0.9, noise="sh", ramp_s=0.006),
        ),
        "j": (
            Phoneme(0.04, _PALATE, voicing=0.1, ramp_s=0.006),
            Phoneme(0.05, _PALATE, voicing=0.25, frication=0.6, noise="sh", ramp_s=0.006),
        ),
    }
)

_SPELLED_VOWELS: Mapping[str, str] = MappingProxyType(
    {
        "a": "a",
        "e": "e",
        "i": "i",
        "o": "o",
        "u": "u",
        "ah": "a",
        "oo": "u",
        "ou": "u",
        "ee": "i",
        "ea": "i",
        "oh": "o",
        "uh": "ʌ",
        "eh": "e",
        "er": "r",
        "ae": "æ",
        "ay": "ei",
        "ai": "ai",
        "ow": "au",
        "au": "au",
        "oy": "oi",
    }
)
_ALIASES = MappingProxyType({"c": "k", "q": "k", "ck": "k", "x": "k"})
_SYLLABLE = re.compile(
    r"(?P<onset>[^aeiou]*)"
    r"(?P<vowel>oo|ou|ee|ea|er(?![aeiou])|a[hiyeu]|oh|ow|oy|uh|eh|[aeiou])?(?P<coda>.*)"
)
_CONSONANT = re.compile(r"sh|ch|th|ng|ck|[bcdfghjklmnpqrstvwxyz]")


@dataclass(frozen=True, slots=True)
class Syllable:
    """A syllable taken apart.

    Attributes
    ----------
    onset, coda : tuple of Phoneme
        What comes before and after the vowels.
    vowels : tuple of Phoneme
        One, or two that glide into each other.
    """

    onset: tuple[Phoneme, ...]
    vowels: tuple[Phoneme, ...]
    coda: tuple[Phoneme, ...]


def parse_syllable(text: str) -> Syllable:
    """Take a syllable apart, as it is spelled: ``sha``, ``na``, ``oo``, ``love``.

    What is no letter is passed over, and whoever has no vowel sings "ah".
    """
    letters = re.sub(r"[^a-z]", "", text.lower())
    match = _SYLLABLE.fullmatch(letters)
    assert match is not None  # all three groups may be empty
    spelled = match["vowel"] or "ah"
    coda = match["coda"].rstrip("h") if match["vowel"] else ""
    return Syllable(
        _consonants(match["onset"]),
        tuple(VOWELS[letter] for letter in _SPELLED_VOWELS[spelled]),
        _consonants(re.sub("[aeiou]", "", coda)),
    )


def _consonants(letters: str) -> tuple[Phoneme, ...]:
    names = (_ALIASES.get(name, name) for name in _CONSONANT.findall(letters))
    return tuple(phoneme for name in names for phoneme in CONSONANTS[name])
