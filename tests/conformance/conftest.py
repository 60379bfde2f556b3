"""Fixtures that tests of models and weights share."""

import numpy as np
import pytest

import example_song

RATE = 44100


@pytest.fixture(scope="session")
def drum_kit():
    """Two bars of kick, snare and hats, ``[2, samples]`` each."""
    generator = np.random.default_rng(0)
    kick = np.stack([example_song._kick(RATE)] * 2)
    stems = {name: np.zeros((2, 4 * RATE)) for name in ("kick", "snare", "hats")}
    for beat in range(16):
        at = beat * RATE // 4
        hat = example_song._noise(0.03, 9000, RATE, generator) * 0.15
        example_song._add(stems["hats"], at, hat)
        if beat % 4 == 2:
            snare = example_song._noise(0.15, 2500, RATE, generator) * 0.4
            example_song._add(stems["snare"], at, snare)
        if beat % 4 == 0:
            example_song._add(stems["kick"], at, kick)
    return {name: (0.5 * stem).astype(np.float32) for name, stem in stems.items()}
