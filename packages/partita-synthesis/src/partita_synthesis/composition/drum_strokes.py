"""The pieces of drum kits and percussion, and the strokes on them."""

from __future__ import annotations

STEPS_PER_BEAT = 4

#: Name → General MIDI's percussion key.
PIECES = {
    "kick": 36,
    "second_kick": 35,
    "rim": 37,
    "snare": 38,
    "clap": 39,
    "electric_snare": 40,
    "low_floor_tom": 41,
    "closed_hat": 42,
    "high_floor_tom": 43,
    "pedal_hat": 44,
    "low_tom": 45,
    "open_hat": 46,
    "low_mid_tom": 47,
    "high_mid_tom": 48,
    "crash": 49,
    "high_tom": 50,
    "ride": 51,
    "china": 52,
    "ride_bell": 53,
    "tambourine": 54,
    "splash": 55,
    "cowbell": 56,
    "second_crash": 57,
    "high_bongo": 60,
    "low_bongo": 61,
    "muted_conga": 62,
    "high_conga": 63,
    "low_conga": 64,
    "high_timbale": 65,
    "low_timbale": 66,
    "high_agogo": 67,
    "low_agogo": 68,
    "cabasa": 69,
    "shaker": 70,
    "short_guiro": 73,
    "long_guiro": 74,
    "claves": 75,
    "high_block": 76,
    "low_block": 77,
    "muted_triangle": 80,
    "triangle": 81,
}

#: Letter → velocity from 0 to 1 and probability.
STROKES = {
    ".": (0.0, 0.0),
    "X": (0.98, 1.0),
    "x": (0.8, 1.0),
    "s": (0.6, 1.0),
    "o": (0.36, 1.0),
    "g": (0.3, 0.5),
    **{str(tenths): (0.72, tenths / 10) for tenths in range(1, 10)},
}
