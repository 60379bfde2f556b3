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


def draw_lead(name: str, rng: np.random.Generator) -> Patch:
    """Draw a patch for the instrument `name`."""
    return _LEADS.get(name, _saw)(rng)


def _assemble(
    layers: Sequence[Layer],
    rng: np.random.Generator,
    *,
    attack_s: float = 0.004,
    glides: float = 0.3,
    noise: float = 0.0,
) -> Patch:
    """Add to layers what leads have in common; `glides` is the probability that they do."""
    amplitude = Envelope(
        attack_s=attack_s * between(rng, 0.6, 1.6),
        decay_s=between(rng, 0.4, 3.0),
        sustain=float(rng.uniform(0.2, 1.0)),
        release_s=between(rng, 0.04, 0.22),
    )
    sweep = Envelope(
        attack_s=between(rng, 0.002, 0.06),
        decay_s=between(rng, 0.2, 2.0),
        sustain=float(rng.uniform(0.1, 0.7)),
        release_s=amplitude.release_s,
    )
    wobble = Wobble(float(rng.uniform(0, 0.12)), between(rng, 0.05, 4.0))
    return Patch(
        layers=layers,
        amplitude=amplitude,
        movement=Movement(
            sweep, float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.2, 0.6)), 0.6, wobble
        ),
        vibrato=Wobble(between(rng, 3, 30), between(rng, 4.0, 6.5), between(rng, 0.2, 1)),
        glide_s=between(rng, 0.03, 0.15) if rng.random() < glides else 0.0,
        noise=noise,
    )


def _low_pass(rng: np.random.Generator) -> Filter:
    low_hz = between(rng, 500, 1500)
    return Filter(
        lowest_hz=low_hz,
        highest_hz=low_hz * between(rng, 6, 20),
        resonance=between(rng, 0.6, 4.0),
        poles=int(rng.choice((2, 4))),
        tracking=float(rng.uniform(0.3, 1.0)),
    )


def _octave_below(layer: Layer, rng: np.random.Generator) -> list[Layer]:
    """Return the layer, and sometimes itself an octave below."""
    if rng.random() < 0.7:
        return [layer]
    gain = float(rng.uniform(0.3, 0.6))
    return [layer, Layer(layer.timbre, semitones=-12, gain=gain)]


def _saw(rng: np.random.Generator) -> Patch:
    if rng.random() < 0.4:
        return _super_saw(rng)
    voices = unison(rng, int(rng.integers(1, 4)), between(rng, 4, 15), rng.uniform())
    layer = Layer(Timbre(sawtooth(), _low_pass(rng)), voices)
    return _assemble(_octave_below(layer, rng), rng)


def _super_saw(rng: np.random.Generator) -> Patch:
    spread = float(rng.uniform(0.4, 1.0))
    voices = unison(rng, int(rng.choice((5, 7))), between(rng, 15, 40), spread)
    low_hz = between(rng, 800, 3000)
    low_pass = Filter(low_hz, low_hz * 8, between(rng, 0.5, 1.5), 2, 0.5)
    return _assemble([Layer(Timbre(sawtooth(), low_pass), voices)], rng, glides=0.05)


def _square(rng: np.random.Generator) -> Patch:
    voices = unison(rng, int(rng.integers(1, 3)), 8, float(rng.uniform(0, 0.6)))
    if rng.random() < 0.3:  # as of a game console: no filter, no unison
        timbre = Timbre(pulse(float(rng.choice((0.125, 0.25, 0.5)))))
        return _assemble([Layer(timbre)], rng, attack_s=0.002, glides=0.1)
    if rng.random() < 0.4:
        width = Wobble(float(rng.uniform(0.1, 0.35)), between(rng, 0.2, 2.0))
        return _assemble([Layer(Timbre(sawtooth(), _low_pass(rng)), voices, width=width)], rng)
    timbre = Timbre(pulse(rng.uniform(0.3, 0.5)), _low_pass(rng))
    return _assemble(_octave_below(Layer(timbre, voices), rng), rng)


def _calliope(rng: np.random.Generator) -> Patch:
    gains = [1.0, *(rng.uniform(0, 0.3, 4) / np.arange(1, 5))]
    shape = triangle() if rng.random() < 0.4 else drawbars(gains)
    noise = between(rng, 0.02, 0.15)
    return _assemble([Layer(Timbre(shape))], rng, attack_s=0.02, noise=noise)


def _chiff(rng: np.random.Generator) -> Patch:
    shape = pulse(0.5) if rng.random() < 0.5 else drawbars([1, 0.1, 0.5, 0.05, 0.2])
    layer = Layer(Timbre(shape, _low_pass(rng)))
    return _assemble([layer], rng, attack_s=0.008, noise=between(rng, 0.1, 0.5))


def _charang(rng: np.random.Generator) -> Patch:
    top = between(rng, 2.0, 5.0)
    frames = synchronised(np.linspace(1.0, top, 24).tolist())
    if rng.random() < 0.4:
        frames = saturated(sawtooth(), np.geomspace(0.5, between(rng, 3, 10), 8).tolist(), 0.2)
    voices = unison(rng, int(rng.integers(1, 3)), 10, float(rng.uniform(0, 0.7)))
    return _assemble([Layer(Timbre(frames, _low_pass(rng)), voices)], rng)


def _voice(rng: np.random.Generator) -> Patch:
    size = between(rng, 0.9, 1.25)  # of the throat
    vowel = _VOWELS[int(rng.integers(len(_VOWELS)))]
    peaks = [(centre * size, 60 + 0.06 * centre, gain) for centre, gain in vowel]
    voices = unison(rng, int(rng.integers(1, 4)), 9, float(rng.uniform(0, 0.6)))
    layer = Layer(Timbre(sawtooth(), _low_pass(rng), peaks=peaks), voices)
    return _assemble([layer], rng, attack_s=0.04, noise=0.03)


def _fifths(rng: np.random.Generator) -> Patch:
    timbre = Timbre(sawtooth(), _low_pass(rng))
    voices = unison(rng, int(rng.integers(1, 3)), 9, float(rng.uniform(0, 0.8)))
    gain = float(rng.uniform(0.4, 0.8))
    return _assemble([Layer(timbre, voices), Layer(timbre, semitones=7, gain=gain)], rng)


def _bass(rng: np.random.Generator) -> Patch:
    if rng.random() < 0.5:
        return _fm(rng)
    low_hz = between(rng, 200, 500)
    low_pass = Filter(low_hz, low_hz * 15, between(rng, 0.7, 4.0), 4, 0.5)
    voices = unison(rng, int(rng.integers(1, 3)), 9)
    return _assemble(_octave_below(Layer(Timbre(sawtooth(), low_pass), voices), rng), rng)


def _fm(rng: np.random.Generator) -> Patch:
    indices = np.linspace(0, between(rng, 1.0, 4.0), 12).tolist()
    shape = frequency_modulation(int(rng.choice((1, 2, 3, 4))), indices)
    voices = unison(rng, int(rng.integers(1, 3)), 6, float(rng.uniform(0, 0.6)))
    return _assemble([Layer(Timbre(shape), voices)], rng)


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
