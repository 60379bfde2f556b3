"""The sound of a part: a SoundFont, a kit of samples, or own synthesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from partita_synthesis import amplifier
from partita_synthesis.drum_kits import DrumKit, find_kits, play_kit
from partita_synthesis.electronic import play_electronic
from partita_synthesis.instruments import Instrument, instruments
from partita_synthesis.score import Part, Player
from partita_synthesis.singing import sing
from partita_synthesis.soundfonts import (
    SoundFont,
    find_soundfonts,
    open_soundfont,
    play_part,
)

Samples = npt.NDArray[np.float32]

_OWN_NAME, _OWN_LICENCE = "partita's own synthesis", "none needed"
#: Probability of own synthesis where SoundFonts or kits could play as well.
_OWN_SHARE = {"drums": 0.5, "bass": 0.7, "lead": 0.7, "pad": 0.5, "voice": 1.0}
_KITS_WEIGHT = 2.0  # of all kits of samples together, against one SoundFont's
_CLEAN_BEFORE_AMPLIFIER = 0.75
_FADE_S = 0.005  # of what still sounds at the end
_DETUNE_CENTS, _DRUM_SEMITONES = 4.0, 1.5
ADVICE = (
    "Debian's package fluid-soundfont-gm has a SoundFont for all instruments, "
    "or name one in `soundfonts`"
)


@dataclass(frozen=True)
class Palette:
    """All sounds at hand.

    Attributes
    ----------
    soundfonts : sequence of SoundFont
    kits : sequence of DrumKit
    """

    soundfonts: Sequence[SoundFont]
    kits: Sequence[DrumKit]

    @classmethod
    def collect(cls, paths: Sequence[str] = ()) -> Palette:
        """Open SoundFonts, those that this machine has if none is named, and find kits.

        Raises
        ------
        UsageError
            A SoundFont that is missing or broken.
        """
        fonts = tuple(map(open_soundfont, paths)) if paths else find_soundfonts()
        return cls(fonts, find_kits())

    def can_play(self, instrument: Instrument) -> bool:
        """Whether there is a sound for an instrument."""
        return (
            bool(instrument.synthesis)
            or any(font.can_play(instrument) for font in self.soundfonts)
            or any(kit.can_play(instrument) for kit in self.kits)
        )

    def playable(self) -> frozenset[str]:
        """Return the names of all instruments that there are sounds for."""
        return frozenset(name for name, each in instruments().items() if self.can_play(each))


@dataclass(frozen=True)
class Sound:
    """The sound of a player in a song.

    Attributes
    ----------
    instrument : Instrument
        What is played; distorted guitars are often played clean and distorted behind.
    source : SoundFont, DrumKit or None
        None: own synthesis.
    amplifier : str or None
        Kind of amplifier behind it.
    """

    instrument: Instrument
    source: SoundFont | DrumKit | None
    amplifier: str | None = None

    @property
    def name(self) -> str:
        """What the sound is called where it comes from."""
        return _OWN_NAME if self.source is None else self.source.name

    @property
    def licence(self) -> str:
        """Of the sound."""
        return _OWN_LICENCE if self.source is None else self.source.licence


def draw_sound(player: Player, palette: Palette, rng: np.random.Generator) -> Sound:
    """Draw what a player plays on."""
    instrument = instruments()[player.instrument]
    kind = amplifier.amplifier_kind(instrument, rng)
    if kind is not None and rng.random() < _CLEAN_BEFORE_AMPLIFIER:
        clean = instruments()[amplifier.played_clean(instrument)]
        instrument = clean if palette.can_play(clean) else instrument
    choices: list[tuple[SoundFont | DrumKit, float]] = [
        (font, 1.0) for font in palette.soundfonts if font.can_play(instrument)
    ]
    kits = [kit for kit in palette.kits if kit.can_play(instrument)]
    choices += [(kit, _KITS_WEIGHT / len(kits)) for kit in kits]
    source = None
    own = rng.random() < _OWN_SHARE.get(instrument.synthesis, 0.0)
    if choices and not own:
        shares = np.array([weight for _, weight in choices])
        source = choices[rng.choice(len(choices), p=shares / shares.sum())][0]
    return Sound(instrument, source, kind)


def play(
    part: Part,
    sound: Sound,
    duration_s: float,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    tuning_cents: float = 0.0,
) -> Samples:
    """Play a part.

    Parameters
    ----------
    part : Part
    sound : Sound
    duration_s : float
    sample_rate : int
        In hertz.
    rng : Generator
    tuning_cents : float
        Of the whole band; each player deviates a little.

    Returns
    -------
    ndarray ``[1 or 2, round(duration_s * sample_rate)]``
        float32, at any level; faded at its end.
    """
    samples = _played(part, sound, duration_s, sample_rate, rng, tuning_cents)
    if sound.amplifier is not None:
        drawn = amplifier.draw_amplifier(rng, sound.amplifier)
        samples = amplifier.amplify(samples, sample_rate, drawn)
    fade = min(samples.shape[1], round(_FADE_S * sample_rate))
    samples[:, samples.shape[1] - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return samples


def _played(
    part: Part,
    sound: Sound,
    duration_s: float,
    sample_rate: int,
    rng: np.random.Generator,
    tuning_cents: float,
) -> Samples:
    tuning = tuning_cents + float(rng.uniform(-_DETUNE_CENTS, _DETUNE_CENTS))
    instrument, source = sound.instrument, sound.source
    if isinstance(source, DrumKit):
        semitones = float(rng.uniform(-_DRUM_SEMITONES, _DRUM_SEMITONES))
        return play_kit(part, source, duration_s, sample_rate, rng, tuning_semitones=semitones)
    if source is not None:
        return play_part(part, instrument, source, duration_s, sample_rate, tuning_cents=tuning)
    play_own = sing if instrument.synthesis == "voice" else play_electronic
    return play_own(part, instrument, duration_s, sample_rate, rng, tuning_cents=tuning)
