"""Leads, which play tunes, arpeggios and chords."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from partita_synthesis.electronic.envelopes import Envelope
from partita_synthesis.electronic.filters import Filter
from partita_synthesis.electronic.oscillators import (
    Timbre,
    drawbars,
    frequency_modulation,
    pulse,
    saturated,
    sawtooth,
    synchronised,
    triangle,
)
from partita_synthesis.electronic.patches import (
    Layer,
    Movement,
    Patch,
    Wobble,
)
from partita_synthesis.electronic.random_patches import between, unison


def draw_lead(name: str, chance: np.random.Generator) -> Patch:
    """Draw a patch for the instrument `name`."""
    return _LEADS.get(name, _saw)(chance)


def _assemble(
    layers: Sequence[Layer],
    chance: np.random.Generator,
    *,
    attack_s: float = 0.004,
    glides: float = 0.3,
    noise: float = 0.0,
) -> Patch:
    """Add to layers what leads have in common; `glides` is the probability that they do."""
    amplitude = Envelope(
        attack_s=attack_s * between(chance, 0.6, 1.6),
        decay_s=between(chance, 0.4, 3.0),
        sustain=float(chance.uniform(0.2, 1.0)),
        release_s=between(chance, 0.04, 0.22),
    )
    sweep = Envelope(
        attack_s=between(chance, 0.002, 0.06),
        decay_s=between(chance, 0.2, 2.0),
        sustain=float(chance.uniform(0.1, 0.7)),
        release_s=amplitude.release_s,
    )
    wobble = Wobble(float(chance.uniform(0, 0.12)), between(chance, 0.05, 4.0))
    return Patch(
        layers=layers,
        amplitude=amplitude,
        movement=Movement(
            sweep, float(chance.uniform(0.15, 0.5)), float(chance.uniform(0.2, 0.6)), 0.6, wobble
        ),
        vibrato=Wobble(between(chance, 3, 30), between(chance, 4.0, 6.5), between(chance, 0.2, 1)),
        glide_s=between(chance, 0.03, 0.15) if chance.random() < glides else 0.0,
        noise=noise,
    )


def _low_pass(chance: np.random.Generator) -> Filter:
    low_hz = between(chance, 500, 1500)
    return Filter(
        lowest_hz=low_hz,
        highest_hz=low_hz * between(chance, 6, 20),
        resonance=between(chance, 0.6, 4.0),
        poles=int(chance.choice((2, 4))),
        tracking=float(chance.uniform(0.3, 1.0)),
    )


def _octave_below(layer: Layer, chance: np.random.Generator) -> list[Layer]:
    """Return the layer, and sometimes itself an octave below."""
    if chance.random() < 0.7:
        return [layer]
    gain = float(chance.uniform(0.3, 0.6))
    return [layer, Layer(layer.timbre, semitones=-12, gain=gain)]


def _saw(chance: np.random.Generator) -> Patch:
    if chance.random() < 0.4:
        return _super_saw(chance)
    voices = unison(chance, int(chance.integers(1, 4)), between(chance, 4, 15), chance.uniform())
    layer = Layer(Timbre(sawtooth(), _low_pass(chance)), voices)
    return _assemble(_octave_below(layer, chance), chance)


def _super_saw(chance: np.random.Generator) -> Patch:
    spread = float(chance.uniform(0.4, 1.0))
    voices = unison(chance, int(chance.choice((5, 7))), between(chance, 15, 40), spread)
    low_hz = between(chance, 800, 3000)
    low_pass = Filter(low_hz, low_hz * 8, between(chance, 0.5, 1.5), 2, 0.5)
    return _assemble([Layer(Timbre(sawtooth(), low_pass), voices)], chance, glides=0.05)


def _square(chance: np.random.Generator) -> Patch:
    voices = unison(chance, int(chance.integers(1, 3)), 8, float(chance.uniform(0, 0.6)))
    if chance.random() < 0.3:  # as of a game console: no filter, no unison
        timbre = Timbre(pulse(float(chance.choice((0.125, 0.25, 0.5)))))
        return _assemble([Layer(timbre)], chance, attack_s=0.002, glides=0.1)
    if chance.random() < 0.4:
        width = Wobble(float(chance.uniform(0.1, 0.35)), between(chance, 0.2, 2.0))
        return _assemble(
            [Layer(Timbre(sawtooth(), _low_pass(chance)), voices, width=width)], chance
        )
    timbre = Timbre(pulse(chance.uniform(0.3, 0.5)), _low_pass(chance))
    return _assemble(_octave_below(Layer(timbre, voices), chance), chance)


def _calliope(chance: np.random.Generator) -> Patch:
    gains = [1.0, *(chance.uniform(0, 0.3, 4) / np.arange(1, 5))]
    shape = triangle() if chance.random() < 0.4 else drawbars(gains)
    noise = between(chance, 0.02, 0.15)
    return _assemble([Layer(Timbre(shape))], chance, attack_s=0.02, noise=noise)


def _chiff(chance: np.random.Generator) -> Patch:
    shape = pulse(0.5) if chance.random() < 0.5 else drawbars([1, 0.1, 0.5, 0.05, 0.2])
    layer = Layer(Timbre(shape, _low_pass(chance)))
    return _assemble([layer], chance, attack_s=0.008, noise=between(chance, 0.1, 0.5))


def _charang(chance: np.random.Generator) -> Patch:
    top = between(chance, 2.0, 5.0)
    frames = synchronised(np.linspace(1.0, top, 24).tolist())
    if chance.random() < 0.4:
        frames = saturated(sawtooth(), np.geomspace(0.5, between(chance, 3, 10), 8).tolist(), 0.2)
    voices = unison(chance, int(chance.integers(1, 3)), 10, float(chance.uniform(0, 0.7)))
    return _assemble([Layer(Timbre(frames, _low_pass(chance)), voices)], chance)


def _voice(chance: np.random.Generator) -> Patch:
    size = between(chance, 0.9, 1.25)  # of the throat
    vowel = _VOWELS[int(chance.integers(len(_VOWELS)))]
    peaks = [(centre * size, 60 + 0.06 * centre, gain) for centre, gain in vowel]
    voices = unison(chance, int(chance.integers(1, 4)), 9, float(chance.uniform(0, 0.6)))
    layer = Layer(Timbre(sawtooth(), _low_pass(chance), peaks=peaks), voices)
    return _assemble([layer], chance, attack_s=0.04, noise=0.03)


def _fifths(chance: np.random.Generator) -> Patch:
    timbre = Timbre(sawtooth(), _low_pass(chance))
    voices = unison(chance, int(chance.integers(1, 3)), 9, float(chance.uniform(0, 0.8)))
    gain = float(chance.uniform(0.4, 0.8))
    return _assemble([Layer(timbre, voices), Layer(timbre, semitones=7, gain=gain)], chance)


def _bass(chance: np.random.Generator) -> Patch:
    if chance.random() < 0.5:
        return _fm(chance)
    low_hz = between(chance, 200, 500)
    low_pass = Filter(low_hz, low_hz * 15, between(chance, 0.7, 4.0), 4, 0.5)
    voices = unison(chance, int(chance.integers(1, 3)), 9)
    return _assemble(_octave_below(Layer(Timbre(sawtooth(), low_pass), voices), chance), chance)


def _fm(chance: np.random.Generator) -> Patch:
    indices = np.linspace(0, between(chance, 1.0, 4.0), 12).tolist()
    shape = frequency_modulation(int(chance.choice((1, 2, 3, 4))), indices)
    voices = unison(chance, int(chance.integers(1, 3)), 6, float(chance.uniform(0, 0.6)))
    return _assemble([Layer(Timbre(shape), voices)], chance)


# Centre in hertz and gain of the formants of a, e, o.
_VOWELS = (
    ((750, 1.0), (1150, 0.5), (2700, 0.15), (3500, 0.1)),
    ((480, 1.0), (1800, 0.3), (2600, 0.2), (3600, 0.1)),
    ((430, 1.0), (820, 0.4), (2700, 0.06), (3300, 0.05)),
)

_LEADS: dict[str, Callable[[np.random.Generator], Patch]] = {
    "square_lead": _square,
    "saw_lead": _saw,
    "calliope_lead": _calliope,
    "chiff_lead": _chiff,
    "charang_lead": _charang,
    "voice_lead": _voice,
    "fifths_lead": _fifths,
    "bass_lead": _bass,
}
