"""Basses: one note at a time, mono."""

from __future__ import annotations

import numpy as np

from partita_synthesis.electronic.envelopes import Envelope
from partita_synthesis.electronic.filters import Filter
from partita_synthesis.electronic.oscillators import (
    Spectra,
    Timbre,
    drawbars,
    frequency_modulation,
    pulse,
    saturated,
    sawtooth,
    triangle,
)
from partita_synthesis.electronic.patches import (
    Drop,
    Layer,
    Movement,
    Patch,
    Wobble,
)
from partita_synthesis.electronic.random_patches import between, unison

_KINDS = {
    "saw_bass": ("subtractive", "subtractive", "reese", "acid", "frequency_modulation"),
    "square_bass": ("subtractive", "subtractive", "acid", "sub", "frequency_modulation"),
}


def draw_bass(name: str, rng: np.random.Generator) -> Patch:
    """Draw a patch for the instrument `name`."""
    kinds = {
        "subtractive": lambda: _subtractive(_shape(name, rng), rng),
        "reese": lambda: _reese(rng),
        "acid": lambda: _acid(_shape(name, rng), rng),
        "sub": lambda: _sub(rng),
        "frequency_modulation": lambda: _frequency_modulation(rng),
    }
    return kinds[str(rng.choice(_KINDS.get(name, tuple(kinds))))]()


def _shape(name: str, rng: np.random.Generator) -> Spectra:
    if name == "square_bass":
        return triangle() if rng.random() < 0.2 else pulse(rng.uniform(0.3, 0.5))
    return sawtooth()


def _plucked(rng: np.random.Generator) -> Envelope:
    return Envelope(
        attack_s=between(rng, 0.002, 0.008),
        decay_s=between(rng, 0.3, 3.0),
        sustain=float(rng.uniform(0.3, 1.0)),
        release_s=between(rng, 0.03, 0.15),
    )


def _glide(rng: np.random.Generator, probability: float) -> float:
    return between(rng, 0.03, 0.12) if rng.random() < probability else 0.0


def _subtractive(shape: Spectra, rng: np.random.Generator) -> Patch:
    low_hz = between(rng, 120, 400)
    low_pass = Filter(
        lowest_hz=low_hz,
        highest_hz=low_hz * between(rng, 6, 30),
        resonance=between(rng, 0.6, 3.0),
        poles=int(rng.choice((2, 4))),
        tracking=float(rng.uniform(0.1, 0.6)),
    )
    layers = [Layer(Timbre(shape, low_pass), unison(rng, int(rng.integers(1, 3)), 7))]
    if rng.random() < 0.6:
        sub = triangle() if rng.random() < 0.5 else drawbars([1.0])
        layers.append(Layer(Timbre(sub), gain=float(rng.uniform(0.3, 0.8))))
    sweep = Envelope(0.003, between(rng, 0.15, 1.2), float(rng.uniform(0, 0.4)), 0.1)
    movement = Movement(sweep, float(rng.uniform(0.1, 0.4)), float(rng.uniform(0.3, 0.6)))
    return Patch(layers, _plucked(rng), movement, glide_s=_glide(rng, 0.25), is_mono=True)


def _reese(rng: np.random.Generator) -> Patch:
    low_hz = between(rng, 150, 400)
    low_pass = Filter(low_hz, low_hz * 10, between(rng, 0.7, 2.0), 4, 0.2)
    voices = unison(rng, int(rng.integers(2, 5)), between(rng, 12, 35))
    shape = saturated(sawtooth(), [between(rng, 0.5, 3.0)])
    layers = (
        Layer(Timbre(shape, low_pass), voices),
        Layer(Timbre(drawbars([1.0])), gain=float(rng.uniform(0.4, 0.8))),
    )
    steady = Envelope(0.005, 1.0, 1.0, between(rng, 0.05, 0.2))
    wobble = Wobble(float(rng.uniform(0.05, 0.25)), between(rng, 0.1, 3.0))
    movement = Movement(steady, 0.2, float(rng.uniform(0.1, 0.4)), wobble=wobble)
    return Patch(layers, steady, movement, glide_s=_glide(rng, 0.4), is_mono=True)


def _acid(shape: Spectra, rng: np.random.Generator) -> Patch:
    low_hz = between(rng, 150, 350)
    low_pass = Filter(low_hz, low_hz * 14, between(rng, 4.0, 9.0), 4, 0.1)
    sweep = Envelope(0.003, between(rng, 0.2, 0.9), 0.0, 0.1)
    wobble = Wobble(0.15, between(rng, 0.03, 0.15))  # a filter sweep by hand
    movement = Movement(sweep, float(rng.uniform(0.15, 0.35)), 0.6, 0.8, wobble)
    amplitude = Envelope(0.003, between(rng, 1.0, 3.0), 0.3, 0.04)
    glide_s = between(rng, 0.04, 0.08)
    return Patch(
        [Layer(Timbre(shape, low_pass))], amplitude, movement, glide_s=glide_s, is_mono=True
    )


def _sub(rng: np.random.Generator) -> Patch:
    """Draw the long bass drum of an 808, which plays tunes."""
    drives = np.linspace(0.3, between(rng, 0.4, 4.0), 8).tolist()
    shape = saturated(drawbars([1.0]), drives, bias=float(rng.uniform(0, 0.2)))
    amplitude = Envelope(0.003, between(rng, 1.5, 6.0), 0.0, between(rng, 0.06, 0.3))
    drop = Drop(float(rng.uniform(5, 24)), between(rng, 0.05, 0.2))
    movement = Movement(amplitude, 0.0, 1.0, 0.3)  # the drive falls with the level
    layer = Layer(Timbre(shape))
    return Patch([layer], amplitude, movement, drop=drop, glide_s=_glide(rng, 0.5), is_mono=True)


def _frequency_modulation(rng: np.random.Generator) -> Patch:
    ratio = int(rng.choice((1, 1, 2, 3)))
    shape = frequency_modulation(ratio, np.linspace(0, between(rng, 1.5, 5.0), 12).tolist())
    sweep = Envelope(0.002, between(rng, 0.2, 1.5), float(rng.uniform(0, 0.3)), 0.1)
    movement = Movement(sweep, float(rng.uniform(0.05, 0.2)), 0.8, 0.7)
    layers = [Layer(Timbre(shape), unison(rng, int(rng.integers(1, 3)), 4))]
    return Patch(layers, _plucked(rng), movement, glide_s=_glide(rng, 0.1), is_mono=True)
