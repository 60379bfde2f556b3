"""Who plays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_synthesis.casting import cast_band
from partita_synthesis.composition import BandSeat, load_style, style_names
from partita_synthesis.instruments import instruments
from partita_synthesis.stems import StemPlan

USUAL = ("vocals", "drums", "bass", "other")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(style_names())),
    st.sampled_from([USUAL, ("guitar", "rest"), ("flute", "guitar"), ("banjo",), ("drums",)]),
    st.integers(0, 2**32),
)
def test_every_stem_has_somebody(style, stems, seed):
    plan = StemPlan(stems)
    everything = frozenset(instruments())
    band = load_style(style).band
    first, again = (
        cast_band(band, plan, everything, np.random.default_rng(seed)) for _ in range(2)
    )
    assert first == again
    assert {plan.owners[player.instrument] for player in first} == set(stems)
    assert len(first) <= 11


def test_only_what_can_be_played():
    plan = StemPlan(USUAL)
    playable = {"tenor", "drum_machine", "saw_bass", "warm_pad"}
    for seed in range(20):
        band = cast_band(load_style("rock").band, plan, playable, np.random.default_rng(seed))
        assert {player.instrument for player in band} == playable


def test_probabilities_and_weights():
    band = {
        "drums": BandSeat(1.0, 1, {"standard_kit": 1.0}),
        "pad": BandSeat(0.3, 1, {"warm_pad": 3.0, "slow_strings": 1.0}),
    }
    plan = StemPlan(["drums", "other"])
    pads = {"warm_pad": 0, "slow_strings": 0}
    for seed in range(400):
        rng = np.random.default_rng(seed)
        for player in cast_band(band, StemPlan(["rest"]), frozenset(instruments()), rng):
            if player.instrument in pads:
                pads[player.instrument] += 1
    assert sum(pads.values()) == pytest.approx(0.3 * 400, abs=35)
    assert pads["warm_pad"] > 2 * pads["slow_strings"]
    # a stem without anybody gets its usual player
    for seed in range(20):
        rng = np.random.default_rng(seed)
        players = cast_band(band, plan, frozenset(instruments()), rng)
        other = [player for player in players if player.role == "pad"]
        assert other
        assert {player.instrument for player in other} <= set(pads)
