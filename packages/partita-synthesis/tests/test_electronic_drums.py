"""Drum machines: every key sounds, no two hits are alike, and hats choke."""

import numpy as np
import pytest

from partita_synthesis.electronic.drum_machine import KEYS, draw_kit, play_kit
from partita_synthesis.score import Note

RATE = 44100


@pytest.fixture(scope="module")
def kit():
    return draw_kit("drum_machine", np.random.default_rng(3))


def play(kit, notes, *, seconds=1.0, rate=RATE, seed=0):
    return play_kit(notes, kit, seconds, rate, np.random.default_rng(seed))


def centre_hz(wave):
    powers = np.abs(np.fft.rfft(wave)) ** 2
    return np.sum(np.fft.rfftfreq(wave.size, 1 / RATE) * powers) / powers.sum()


@pytest.mark.parametrize("rate", [16000, 44100])
def test_every_key_sounds_when_it_is_hit_and_not_before(kit, rate):
    for key in KEYS:
        wave = play(kit, [Note(0.25, 0.1, key, 110)], seconds=0.5, rate=rate)
        assert np.isfinite(wave).all(), key
        assert not wave[:, : rate // 4].any(), key
        assert 0.05 < np.abs(wave).max() < 1.0, key


@pytest.mark.parametrize(("key", "relative"), [(0, 35), (34, 35), (82, 81), (127, 81)])
def test_keys_that_there_are_not_are_played_by_the_nearest(kit, key, relative):
    asked, known = (play(kit, [Note(0, 0.1, each, 100)]) for each in (key, relative))
    np.testing.assert_array_equal(asked, known)


@pytest.mark.parametrize("name", ["drum_machine", "electronic_kit"])
@pytest.mark.parametrize("seed", range(4))
def test_drums_lie_where_they_do_on_records(name, seed):
    kit = draw_kit(name, np.random.default_rng(seed))
    centres = {}
    for key in (36, 38, 42, 49):
        centres[key] = centre_hz(play(kit, [Note(0, 0.1, key, 110)]).mean(0))
    assert centres[36] < 300
    assert centres[38] > 400
    assert centres[42] > 3500
    assert centres[49] > 2000
    assert centres[36] < centres[38] < centres[42]


def test_hard_hits_are_louder_and_brighter(kit):
    for key in (36, 38, 42, 49):
        soft, hard = (play(kit, [Note(0, 0.1, key, velocity)]).mean(0) for velocity in (30, 127))
        assert np.abs(hard).max() > 3 * np.abs(soft).max(), key
        assert centre_hz(hard) > centre_hz(soft), key


def test_hits_in_a_row_differ_a_little(kit):
    wave = play(kit, [Note(0.1 * number, 0.05, 42, 100) for number in range(8)])
    hits = [wave[0, start : start + 2000] for start in range(0, 8 * 4410, 4410)]
    peaks = [np.abs(hit).max() for hit in hits]
    assert len(set(peaks)) == len(peaks)
    assert max(peaks) < 1.5 * min(peaks)


@pytest.mark.parametrize("closing", [42, 44])
def test_closed_hats_cut_off_the_open_one(kit, closing):
    alone = play(kit, [Note(0, 0.1, 46, 120)])
    choked = play(kit, [Note(0, 0.1, 46, 120), Note(0.1, 0.1, closing, 1)])
    before, after = slice(0, 4410), slice(round(0.12 * RATE), round(0.2 * RATE))
    np.testing.assert_array_equal(alone[:, before], choked[:, before])
    assert np.abs(choked[:, after]).max() < 0.1 * np.abs(alone[:, after]).max()


def test_other_drums_ring_on(kit):
    alone = play(kit, [Note(0, 0.1, 49, 120)])
    after = slice(round(0.4 * RATE), None)
    with_kick = play(kit, [Note(0, 0.1, 49, 120), Note(0.1, 0.1, 37, 1)])
    np.testing.assert_array_equal(alone[:, after], with_kick[:, after])


def test_kits_are_panned_or_mono():
    channels = {
        play(draw_kit("drum_machine", np.random.default_rng(seed)), []).shape[0]
        for seed in range(10)
    }
    assert channels == {1, 2}
