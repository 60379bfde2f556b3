"""What the mixing desk is built from, each against what it must do."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest

from partita_synthesis.mixing import Channel, mix, profiles
from partita_synthesis.mixing.panning import draw_places, playing_level_db
from partita_synthesis.score import ROLES


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, samples), dtype=np.float32)


def test_levels_are_those_while_something_plays():
    audio = noise(2, 52920)  # three pieces
    seldom = np.pad(audio, ((0, 0), (0, 6 * 44100)))
    assert playing_level_db(audio, 44100) == pytest.approx(3.01, abs=0.1)
    assert playing_level_db(seldom, 44100) == pytest.approx(3.01, abs=1.0)
    assert playing_level_db(np.zeros((1, 100), np.float32), 44100) == -np.inf
    assert playing_level_db(audio[:, :500], 44100) == pytest.approx(3.01, abs=1.0)


@pytest.mark.parametrize("seed", range(4))
def test_songs_are_as_loud_as_their_style_where_peaks_allow_it(seed):
    channel = Channel("drums", "drums", "standard_kit", noise(2, 3 * 44100))
    result = mix([channel], ("drums",), 44100, np.random.default_rng(seed), style="classic")
    loudness = pyloudnorm.Meter(44100).integrated_loudness(result.mixture.T)
    assert loudness == pytest.approx(result.notes["loudness_target_lufs"], abs=0.05)
    channel.samples[:, 5000] = 100
    result = mix([channel], ("drums",), 44100, np.random.default_rng(seed), style="classic")
    assert np.abs(result.mixture).max() == pytest.approx(0.985, abs=0.002)


def test_there_is_a_profile_for_everybody():
    for role in ROLES:
        assert role in profiles.LEVELS_DB
        assert role in profiles.PLACES
    assert profiles.is_guitar("overdriven_guitar")
    assert not any(profiles.is_guitar(name) for name in ("nobody", "grand_piano"))
    techno, folk = profiles.profile_of("Techno"), profiles.profile_of("folk")
    assert techno.loudness_lufs[1] > folk.loudness_lufs[1]
    assert profiles.profile_of("nobody knows") == profiles.profile_of("pop")


def test_two_takes_of_a_guitar_are_a_pair():
    players = [("drums", "standard_kit"), *[("riff", "overdriven_guitar")] * 2]
    for seed in range(20):
        drums, left, right = draw_places(players, "rock", np.random.default_rng(seed))
        assert abs(drums.pan) < 0.1
        assert left.pan == -right.pan
        assert abs(left.pan) >= 0.7


def test_stems_are_about_alike_in_level():
    """Over many bands: vocals, drums, bass and the rest, none more than 4 dB off."""
    players = [
        ("vocals", "singer"),
        ("drums", "standard_kit"),
        ("bass", "finger_bass"),
        ("chords", "grand_piano"),
        ("riff", "clean_guitar"),
        ("pad", "warm_pad"),
    ]
    levels = np.array(
        [
            [place.level_db for place in draw_places(players, "pop", np.random.default_rng(seed))]
            for seed in range(200)
        ]
    )
    powers = 10 ** (levels / 10)
    stems = 10 * np.log10([*powers[:, :3].T, powers[:, 3:].sum(axis=1)])
    assert np.ptp(np.median(stems, axis=1)) < 4
