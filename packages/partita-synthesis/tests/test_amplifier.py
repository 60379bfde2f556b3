"""Amplifiers: they distort as drawn, keep the loudness, and have a speaker at the end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import UnknownNameError
from partita_synthesis.amplifier import (
    amplifier_kind,
    amplify,
    draw_amplifier,
    played_clean,
)
from partita_synthesis.instruments import instruments

RATE = 44100
KINDS = ("clean", "crunch", "lead", "bass")


def sines(*hertz, seconds=1.0, rate=RATE, level=0.1):
    times = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * each * times + number) for number, each in enumerate(hertz))
    return (level * wave).astype(np.float32)[None]


def share_near(wave, wanted, *, width=15):
    """Return the share of the power near any of the wanted frequencies."""
    wave = wave[wave.size // 4 :]
    powers = np.abs(np.fft.rfft(wave * np.blackman(wave.size))) ** 2
    frequencies = np.fft.rfftfreq(wave.size, 1 / RATE)
    near = np.abs(frequencies[:, None] - np.asarray(wanted)[None]).min(1) < width
    return powers[near].sum() / powers.sum()


@pytest.fixture(params=KINDS)
def amplifier(request):
    return draw_amplifier(np.random.default_rng(1), request.param)


def test_the_loudness_stays(amplifier):
    wave = sines(110, 165, seconds=2)
    out = amplify(wave, RATE, amplifier)
    assert out.shape == wave.shape
    assert out.dtype == np.float32
    assert np.sqrt(np.mean(out**2)) == pytest.approx(np.sqrt(np.mean(wave**2)), rel=0.1)


@settings(max_examples=10, deadline=None)
@given(gain_db=st.floats(-80, 40), kind=st.sampled_from(KINDS))
def test_faint_inputs_are_distorted_as_much_as_strong_ones(gain_db, kind):
    drawn = draw_amplifier(np.random.default_rng(2), kind)
    gain = np.float32(10 ** (gain_db / 20))
    wave = sines(110, 146.8, seconds=0.3)
    louder = amplify(gain * wave, RATE, drawn)
    np.testing.assert_allclose(louder / gain, amplify(wave, RATE, drawn), atol=2e-4)


def test_silence_stays_silent(amplifier):
    assert not amplify(np.zeros((2, 5000), np.float32), RATE, amplifier).any()
    assert amplify(np.zeros((1, 0), np.float32), RATE, amplifier).shape == (1, 0)


@pytest.mark.parametrize("samples", [1, 2, 63, 1025])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_short_inputs_keep_their_length(amplifier, samples, rate):
    wave = np.full((2, samples), 0.1, np.float32)
    out = amplify(wave, rate, amplifier)
    assert out.shape == (1, samples)
    assert np.isfinite(out).all()


def test_the_input_is_left_alone(amplifier):
    wave = sines(200, seconds=0.1)
    before = wave.copy()
    amplify(wave, RATE, amplifier)
    np.testing.assert_array_equal(wave, before)


def test_high_gain_distorts_more_than_clean():
    wave = sines(220, 330)
    shares = [
        np.mean(
            [
                share_near(amplify(wave, RATE, draw_amplifier(rng, kind))[0], [220, 330])
                for rng in map(np.random.default_rng, range(5))
            ]
        )
        for kind in ("clean", "crunch", "lead")
    ]
    assert shares[0] > shares[1] > shares[2]
    assert shares[0] > 0.9


def test_notes_together_make_tones_that_neither_has_alone():
    lead = draw_amplifier(np.random.default_rng(0), "lead")
    together = amplify(sines(300, 430), RATE, lead)[0]
    assert share_near(together, [2 * 300 - 430, 2 * 430 - 300]) > 0.01


def test_clipping_does_not_alias():
    for kind in KINDS:
        drawn = draw_amplifier(np.random.default_rng(0), kind)
        out = amplify(sines(3001), RATE, drawn)[0]
        alias = 1 - share_near(out, [0, *(3001 * np.arange(1, 8))], width=40)
        assert 10 * np.log10(max(alias, 1e-12)) < -60, kind


def test_the_cabinet_ends_where_speakers_do(amplifier):
    noise = np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32)
    powers = np.abs(np.fft.rfft(amplify(0.1 * noise, RATE, amplifier)[0])) ** 2
    frequencies = np.fft.rfftfreq(RATE, 1 / RATE)
    middle = powers[(frequencies > 200) & (frequencies < 2000)].mean()
    assert powers[frequencies > 12000].mean() < 0.001 * middle
    assert powers[frequencies < 15].mean() < 0.05 * middle


def test_nothing_sounds_before_the_first_note(amplifier):
    wave = sines(200, seconds=0.5)
    wave[:, : RATE // 4] = 0
    out = amplify(wave, RATE, amplifier)[0]
    assert np.abs(out[: RATE // 4 - 100]).max() < 1e-3 * np.abs(out).max()


def test_drawing_is_by_the_seed():
    first, again, other = (draw_amplifier(np.random.default_rng(s), "lead") for s in (4, 4, 5))
    assert first == again != other


def test_unknown_kinds_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean clean"):
        draw_amplifier(np.random.default_rng(0), "cleen")


def test_kinds_suit_the_instruments():
    found = {
        name: {amplifier_kind(line, np.random.default_rng(seed)) for seed in range(20)}
        for name, line in instruments().items()
    }
    assert found["distortion_guitar"] == {"lead"}
    assert found["overdriven_guitar"] == {"crunch"}
    assert found["jazz_guitar"] == {"clean", None}
    assert found["finger_bass"] == {"bass", None}
    assert found["violin"] == found["drum_machine"] == {None}


def test_what_is_played_clean_is_an_instrument():
    clean = {name: played_clean(line) for name, line in instruments().items()}
    assert clean["distortion_guitar"] == clean["overdriven_guitar"] == "clean_guitar"
    assert clean["violin"] == "violin"
    assert set(clean.values()) <= set(instruments())
