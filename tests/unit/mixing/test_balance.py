import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mix_songs import noise_stems
from partita.errors import UsageError
from partita.mixing.balance import Balance, pan_matrix

BLOCK = np.stack(list(noise_stems(64, ("a", "b")).values()))  # [S, C, T]
LEVELS = st.floats(0, 4, width=32)


def mixed(factors, block=BLOCK, pans=()):
    tracks = [dict(zip("ab", each, strict=True)) for each in factors]
    balance = Balance(tracks, ["a", "b"], block.shape[1], dict(pans))
    return balance(block).reshape(len(factors), balance.channels, -1)


@given(one=LEVELS, other=LEVELS)
def test_gains_are_linear(one, other):
    both, alone, rest = mixed([(one, other), (one, 0), (0, other)])
    assert both == pytest.approx(one * BLOCK[0] + other * BLOCK[1], abs=1e-6)
    assert both == pytest.approx(alone + rest, abs=1e-6)


@given(pan=st.floats(-1, 1))
def test_pans_keep_the_power_of_what_moves(pan):
    law = pan_matrix(pan)
    moving = 0 if pan > 0 else 1  # the side that moves over
    assert (law[:, moving] ** 2).sum() == pytest.approx(1, abs=1e-6)
    assert law[1 - moving, 1 - moving] == 1
    assert law[moving, 1 - moving] == 0


def test_pans_are_those_of_browsers():
    assert pan_matrix(0) == pytest.approx(np.eye(2), abs=1e-7)
    assert pan_matrix(-1) == pytest.approx(np.array([[1, 1], [0, 0]]), abs=1e-7)
    half = math.sqrt(0.5)
    assert pan_matrix(0.5) == pytest.approx(np.array([[half, 0], [half, 1]]))


def test_pans_of_stereo_and_mono():
    (stereo,) = mixed([(1, 1)], pans={"a": 1.0})
    assert stereo[0] == pytest.approx(BLOCK[1, 0], abs=1e-6)
    assert stereo[1] == pytest.approx(BLOCK[0].sum(axis=0) + BLOCK[1, 1], abs=1e-6)
    mono = BLOCK[:, :1]
    (panned,) = mixed([(1, 1)], mono, {"a": -1.0})
    assert panned[0] == pytest.approx(2 * mono[0, 0] + mono[1, 0], abs=1e-6)
    assert panned[1] == pytest.approx(mono[1, 0], abs=1e-6)
    assert mixed([(1, 1)], mono).shape == (1, 1, 64)


def test_surround_keeps_its_channels_and_is_not_panned():
    surround = np.concatenate([BLOCK, BLOCK, BLOCK], axis=1)
    assert mixed([(1, 2)], surround)[0] == pytest.approx(surround[0] + 2 * surround[1], abs=1e-6)
    with pytest.raises(UsageError, match="the stems have 6 channels"):
        mixed([(1, 1)], surround, {"a": 0.5})
