"""Pads, strings and brass out of synthesisers: chords that are held."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from partita_synthesis.electronic.envelopes import Envelope
from partita_synthesis.electronic.filters import Filter
from partita_synthesis.electronic.oscillators import (
    HARMONICS,
    Timbre,
    drawbars,
    frequency_modulation,
    pulse,
    sawtooth,
    triangle,
)
from partita_synthesis.electronic.patches import (
    Drop,
    Layer,
    Movement,
    Patch,
    Voice,
    Wobble,
)
from partita_synthesis.electronic.random_patches import between, unison

#: Pads that a string machine's ensemble effect may follow.
ENSEMBLE_PADS = frozenset({"synth_strings", "analogue_strings", "choir_pad", "warm_pad"})


def draw_pad(name: str, rng: np.random.Generator) -> Patch:
    """Draw a patch for the instrument `name`."""
    return _PADS.get(name, _warm)(rng)


def _assemble(
    layers: Sequence[Layer],
    rng: np.random.Generator,
    *,
    attack_s: float = 0.3,
    rest: float = 0.3,
    depth: float = 0.3,
    wobble: float = 0.15,
    noise: float = 0.0,
) -> Patch:
    """Add to layers what pads have in common."""
    release_s = between(rng, 0.25, 1.1)
    sweep = Envelope(
        attack_s=between(rng, 0.05, 2.0),
        decay_s=between(rng, 1.0, 8.0),
        sustain=float(rng.uniform(0.3, 1.0)),
        release_s=release_s,
    )
    return Patch(
        layers=layers,
        amplitude=Envelope(attack_s * between(rng, 0.4, 2.5), 4.0, 0.85, release_s),
        movement=Movement(sweep, rest, depth, 0.4, Wobble(wobble, between(rng, 0.05, 0.6))),
        vibrato=Wobble(between(rng, 1, 8), between(rng, 3.5, 6.0), 0.5),
        noise=noise,
    )


def _voices(rng: np.random.Generator, fewest: int, most: int) -> tuple[Voice, ...]:
    count = int(rng.integers(fewest, most + 1))
    return unison(rng, count, between(rng, 6, 20), float(rng.uniform(0.5, 1.0)))


def _low_pass(rng: np.random.Generator, lowest_hz: float, octaves: float) -> Filter:
    low_hz = between(rng, lowest_hz, 2.5 * lowest_hz)
    resonance = between(rng, 0.5, 1.5)
    poles = int(rng.choice((2, 4)))
    return Filter(low_hz, low_hz * 2**octaves, resonance, poles, float(rng.uniform(0.2, 0.6)))


def _strings(rng: np.random.Generator) -> Patch:
    timbre = Timbre(sawtooth(), _low_pass(rng, 900, 3))
    layers = [Layer(timbre, _voices(rng, 2, 4))]
    if rng.random() < 0.5:  # the other register of a string machine
        gain = float(rng.uniform(0.3, 0.7))
        layers.append(Layer(timbre, semitones=int(rng.choice((-12, 12))), gain=gain))
    return _assemble(layers, rng, attack_s=0.15, depth=0.2)


def _brass(rng: np.random.Generator) -> Patch:
    timbre = Timbre(sawtooth(), _low_pass(rng, 300, 4))
    patch = _assemble([Layer(timbre, _voices(rng, 2, 4))], rng)
    attack_s = between(rng, 0.02, 0.09)
    sweep = Envelope(attack_s * 1.3, between(rng, 0.5, 2.0), float(rng.uniform(0.4, 0.8)), 0.2)
    return Patch(
        layers=patch.layers,
        amplitude=Envelope(attack_s, 2.0, 0.8, between(rng, 0.1, 0.4)),
        movement=Movement(sweep, 0.15, float(rng.uniform(0.5, 0.8)), 0.7),
        vibrato=patch.vibrato,
        drop=Drop(float(rng.uniform(-0.4, 0.0)), 0.15),
    )


def _soft_brass(rng: np.random.Generator) -> Patch:
    timbre = Timbre(sawtooth(), _low_pass(rng, 250, 3))
    return _assemble([Layer(timbre, _voices(rng, 2, 4))], rng, attack_s=0.1, depth=0.5)


def _new_age(rng: np.random.Generator) -> Patch:
    bell = frequency_modulation(int(rng.choice((3, 4, 5, 7))), np.linspace(0, 1.5, 12).tolist())
    layers = [
        Layer(Timbre(triangle(), _low_pass(rng, 500, 2)), _voices(rng, 2, 3)),
        Layer(Timbre(bell), _voices(rng, 1, 2), gain=float(rng.uniform(0.2, 0.5))),
    ]
    return _assemble(layers, rng, attack_s=0.06)


def _warm(rng: np.random.Generator) -> Patch:
    shape = sawtooth() if rng.random() < 0.6 else pulse(float(rng.uniform(0.3, 0.5)))
    layers = [Layer(Timbre(shape, _low_pass(rng, 300, 2.5)), _voices(rng, 2, 5))]
    if rng.random() < 0.4:
        layers.append(Layer(Timbre(triangle()), semitones=-12, gain=0.4))
    return _assemble(layers, rng)


def _poly(rng: np.random.Generator) -> Patch:
    width = Wobble(float(rng.uniform(0.1, 0.35)), between(rng, 0.2, 1.5))
    timbre = Timbre(sawtooth(), _low_pass(rng, 500, 3.5))
    layers = [Layer(timbre, _voices(rng, 1, 3), width=width)]
    return _assemble(layers, rng, attack_s=0.02, depth=0.5)


def _choir(rng: np.random.Generator) -> Patch:
    size = between(rng, 0.95, 1.2)
    peaks = [(size * centre, 50 + 0.07 * centre, gain) for centre, gain in _AH]
    timbre = Timbre(sawtooth(), _low_pass(rng, 1200, 2), peaks=peaks)
    return _assemble([Layer(timbre, _voices(rng, 3, 5))], rng, noise=0.04)


def _bowed(rng: np.random.Generator) -> Patch:
    gains = np.abs(rng.normal(size=8)) / np.arange(1, 9)
    gains[0] = 1.0
    layers = [
        Layer(Timbre(drawbars(gains.tolist())), _voices(rng, 2, 3)),
        Layer(
            Timbre(sawtooth(), Filter(1500, 6000, 3.0, 2, 0.5, "bandpass")),
            _voices(rng, 1, 2),
            gain=0.3,
        ),
    ]
    return _assemble(layers, rng, attack_s=0.5, wobble=0.3)


def _metallic(rng: np.random.Generator) -> Patch:
    periods = 7
    spectrum = np.zeros(HARMONICS, np.complex128)
    places = np.unique(np.round(periods * between(rng, 1.2, 1.8) ** np.arange(1, 8)))
    places = places[places < HARMONICS].astype(np.intp)
    spectrum[places - 1] = rng.uniform(0.1, 0.5, len(places)) / np.sqrt(places / periods)
    spectrum[periods - 1] = 1.0  # the note itself
    layers = [
        Layer(Timbre(spectrum[None, :], _low_pass(rng, 1500, 2), periods), _voices(rng, 2, 3)),
        Layer(Timbre(sawtooth(), _low_pass(rng, 400, 2)), _voices(rng, 2, 3), gain=0.5),
    ]
    return _assemble(layers, rng, attack_s=0.05)


def _halo(rng: np.random.Generator) -> Patch:
    low_hz = between(rng, 400, 900)
    swirl = Filter(low_hz, low_hz * 8, between(rng, 1.5, 5.0), 2, 0.5, "bandpass")
    layers = [
        Layer(Timbre(sawtooth(), swirl), _voices(rng, 3, 5)),
        Layer(Timbre(triangle()), gain=float(rng.uniform(0.3, 0.6))),
    ]
    return _assemble(layers, rng, attack_s=0.6, rest=0.45, depth=0.2, wobble=0.35)


def _sweep(rng: np.random.Generator) -> Patch:
    low_hz = between(rng, 200, 500)
    low_pass = Filter(low_hz, low_hz * 25, between(rng, 2.0, 5.0), 4, 0.3)
    patch = _assemble([Layer(Timbre(sawtooth(), low_pass), _voices(rng, 3, 5))], rng)
    sweep = Envelope(between(rng, 1.0, 4.0), 6.0, float(rng.uniform(0.2, 0.7)), 1.0)
    wobble = Wobble(0.15, between(rng, 0.05, 0.3))
    return Patch(
        layers=patch.layers,
        amplitude=patch.amplitude,
        movement=Movement(sweep, 0.15, 0.75, 0.2, wobble),
        vibrato=patch.vibrato,
    )


# Centre in hertz and gain of the formants of an ah.
_AH = ((700, 1.0), (1150, 0.6), (2800, 0.2), (3600, 0.15), (4900, 0.05))

_PADS: dict[str, Callable[[np.random.Generator], Patch]] = {
    "synth_strings": _strings,
    "analogue_strings": _strings,
    "synth_brass": _brass,
    "soft_synth_brass": _soft_brass,
    "new_age_pad": _new_age,
    "warm_pad": _warm,
    "poly_pad": _poly,
    "choir_pad": _choir,
    "bowed_pad": _bowed,
    "metallic_pad": _metallic,
    "halo_pad": _halo,
    "sweep_pad": _sweep,
}
