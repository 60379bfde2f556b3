"""What the mixing desk is built from, each against what it must do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_synthesis.instruments import instruments
from partita_synthesis.mixing import gains, profiles
from partita_synthesis.mixing.codec import Codec, draw_codec
from partita_synthesis.mixing.equaliser import Band, equalise, filters
from partita_synthesis.mixing.gains import Clock, Compressor
from partita_synthesis.mixing.master import PLAIN, Mastering, fit, master, measured_lufs
from partita_synthesis.mixing.panning import draw_places
from partita_synthesis.mixing.space import Delay, Reverb
from partita_synthesis.score import ROLES


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, samples), dtype=np.float32)


@pytest.mark.parametrize(
    ("band", "gains_db"),
    [  # at a tenth of the frequency, at it, and at ten times
        (Band("highpass", 800), (-20, -3, 0)),
        (Band("lowpass", 800), (0, -3, -21)),
        (Band("peak", 800, 6.0, 2.0), (0, 6, 0)),
        (Band("low_shelf", 800, -6.0), (-6, -3, 0)),
        (Band("high_shelf", 800, 6.0), (0, 3, 6)),
    ],
)
def test_bands_do_what_their_names_say(band, gains_db):
    impulse = np.zeros((1, 44100), np.float32)
    impulse[0, 0] = 1
    response = np.fft.rfft(equalise(impulse, [band], 44100)[0])[[80, 800, 8000]]
    np.testing.assert_allclose(20 * np.log10(np.abs(response)), gains_db, atol=0.7)


def test_bands_above_the_sample_rate_are_left_out():
    bands = [Band("high_shelf", 9000, 3), Band("lowpass", 8000), Band("peak", 900, 3)]
    assert len(filters(bands, 16000)) == 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), blocks=st.integers(1, 400), ceiling=st.floats(0.1, 1))
def test_the_limiter_keeps_every_sample_under_the_ceiling(seed, blocks, ceiling):
    clock = Clock.of(44100)
    rng = np.random.default_rng(seed)
    audio = noise(2, blocks * clock.hop, seed) * rng.exponential(size=blocks).repeat(clock.hop)
    audio = audio.astype(np.float32)
    edges = gains.limit(gains.block_peaks(audio, clock), ceiling, clock)
    gains.apply_gain(audio, edges, clock)
    assert np.abs(audio).max() <= ceiling * (1 + 1e-5)
    assert (edges <= 0).all()


def test_the_limiter_leaves_alone_what_is_low_and_far():
    clock = Clock.of(44100)
    peaks = np.full(2000, 0.5)
    assert not gains.limit(peaks, 0.6, clock).any()
    peaks[1000] = 1.2
    edges = gains.limit(peaks, 0.6, clock)
    assert edges.min() == pytest.approx(-6.02, abs=0.01)
    np.testing.assert_allclose(edges[:990], 0, atol=1e-9)
    np.testing.assert_allclose(edges[1300:], 0, atol=1e-9)


def test_the_compressor_evens_out_levels():
    clock = Clock.of(44100)
    powers = np.repeat([1.0, 0.01], 700)  # 20 dB apart, a second each
    gain_db = gains.compress(powers, Compressor(-6, 4, 0.005, 0.1), clock)
    assert gain_db[600] == pytest.approx(-(6 + 3) * 0.75, abs=0.3)  # the mean is 3 dB lower
    assert gain_db[-1] == pytest.approx(0, abs=0.01)


def test_gains_are_straight_lines_between_edges():
    clock = Clock(16000, 4)
    audio = np.ones((2, 8), np.float32)
    gains.apply_gain(audio, 20 * np.log10([1.0, 0.5, 0.1]), clock)
    expected = [1, 0.875, 0.75, 0.625, 0.5, 0.4, 0.3, 0.2]
    np.testing.assert_allclose(audio, [expected, expected], rtol=1e-6)


def test_loudness_of_almost_nothing():
    assert measured_lufs(np.zeros((2, 44100), np.float32), 44100) is None
    assert measured_lufs(np.full((2, 44100), 1e-9, np.float32), 44100) is None
    assert measured_lufs(noise(2, 100), 44100) is not None


@pytest.mark.parametrize("target_lufs", [-16.0, -12.0, -9.0])
def test_the_master_reaches_its_loudness_where_the_limiter_allows_it(target_lufs):
    clock = Clock.of(44100)
    setting = Mastering(0.9, Compressor(0, 2, 0.01, 0.2), has_limiter=True)
    stems = [0.01 * noise(2, 1400 * clock.hop, seed) for seed in range(3)]
    facts = master(stems, target_lufs, setting, clock)
    mixture = np.sum(stems, axis=0)
    loudness = measured_lufs(mixture, 44100)
    assert facts["limiter_reduction_db"] <= 8
    assert loudness == pytest.approx(target_lufs, abs=0.5)
    assert np.abs(mixture).max() <= 0.9 * (1 + 1e-5)


def test_the_master_rather_stays_low_than_crushes():
    clock = Clock.of(44100)
    for setting, reduction in ((Mastering(0.9, None, has_limiter=True), 8), (PLAIN, 0)):
        stem = 0.01 * noise(2, 1400 * clock.hop)
        stem[:, 5000] = 2
        facts = master([stem], -7.0, setting, clock)
        assert facts["limiter_reduction_db"] == pytest.approx(reduction)
        assert np.abs(stem).max() == pytest.approx(setting.ceiling, abs=0.1)
        assert measured_lufs(stem, 44100) < -20


def test_stems_that_cancel_each_other_stay_under_the_ceiling_too():
    clock = Clock.of(44100)
    stem = 0.1 * noise(2, 1400 * clock.hop)
    stems = [stem, -0.9 * stem]
    master(stems, -7.0, Mastering(0.9, None, has_limiter=True), clock)
    assert max(np.abs(each).max() for each in stems) <= 0.9 * (1 + 1e-5)


def test_one_gain_brings_all_down():
    stems = [np.full((2, 5), value, np.float32) for value in (0.75, 0.75, -0.5)]
    low = [each.copy() for each in stems[::2]]
    np.testing.assert_array_equal(fit(low), low[0] + low[1])
    assert low[0][0, 0] == 0.75
    mixture = fit([*stems[:2]])
    assert mixture.max() == pytest.approx(0.99, abs=0.002)
    np.testing.assert_array_equal(stems[0], stems[1])
    np.testing.assert_array_equal(stems[0] + stems[1], mixture)


def test_echoes_come_in_time():
    send = np.zeros(10000, np.float32)
    send[100] = 1
    echoes = Delay(0.1, 0.5, (Band("high_shelf", 3000, 0.0),))(send, 8000)
    for number in (1, 2, 3, 4):
        places = echoes[:, 100 + number * 800 - 5 : 100 + number * 800 + 20]
        expected = math.sqrt(0.5) * 0.5 ** (number - 1)
        np.testing.assert_allclose(np.abs(places).max(axis=1), expected, atol=0.01)


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_reverbs_are_as_loud_as_what_was_sent(sample_rate):
    """Short and long ones, from left and right, and longer in larger rooms."""
    send = np.zeros(4 * sample_rate, np.float32)
    send[:sample_rate] = noise(1, sample_rate)[0]
    lasting = []
    for size in (0.0, 0.4, 0.8):
        reverb = Reverb(size, 0.5, 0.01, (Band("highpass", 200),), sample_rate)
        out = reverb(send)
        assert np.square(out).sum() == pytest.approx(np.square(send).sum(), rel=0.3)
        assert abs(np.corrcoef(out)[0, 1]) < 0.3
        lasting.append(np.square(out[:, round(1.3 * sample_rate) :]).sum())
    assert lasting[0] < 0.1 * lasting[1] < 0.1 * lasting[2]


@pytest.mark.parametrize("sample_rate", [16000, 22050, 44100, 48000])
@pytest.mark.parametrize("codec", [Codec("mp3", 2.0), Codec("aac", 96)])
@pytest.mark.parametrize("channels", [1, 2])
def test_codecs_are_aligned_to_the_sample(sample_rate, codec, channels):
    audio = 0.1 * noise(channels, sample_rate + 17)
    audio = equalise(audio, [Band("lowpass", 2000)] * 2, sample_rate)
    decoded = codec(audio, sample_rate)
    assert decoded.shape == audio.shape
    assert decoded.dtype == np.float32
    middle = slice(3000, -3000)
    likeness = {
        lag: float((decoded[:, middle] * np.roll(audio, lag, axis=1)[:, middle]).sum())
        for lag in range(-3, 4)
    }
    assert max(likeness, key=likeness.__getitem__) == 0
    assert np.square(decoded - audio).mean() < 0.05 * np.square(audio).mean()
    assert not np.array_equal(decoded, audio)


def test_codecs_are_drawn_now_and_then():
    drawn = [draw_codec(44100, np.random.default_rng(seed)) for seed in range(300)]
    assert 10 < sum(each is not None for each in drawn) < 40
    assert {each.name for each in drawn if each} == {"mp3", "aac"}
    assert all(draw_codec(11025, np.random.default_rng(seed)) is None for seed in range(30))


def test_there_is_a_profile_for_everybody():
    for role in ROLES:
        assert role in profiles.LEVELS_DB
        assert role in profiles.PLACES
        for instrument in ("nobody", *instruments()):
            assert profiles.family_of(role, instrument) in profiles.EQUALISERS
    assert profiles.profile_of("Techno").pumping > profiles.profile_of("folk").pumping


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
