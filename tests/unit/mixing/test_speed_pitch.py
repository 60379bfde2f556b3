"""Speed and pitch: lengths and times to the sample, frequencies to a hundredth of a cent."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import UsageError
from partita.mixing.speed_pitch import SpeedPitch, require_stretch

RATE = 22050
CHANGES = [(0.8, 0), (0.5, 6), (1.5, -6), (0.8, -2), (1, 6), (1, -6), (1.25, 3), (1.5, -12)]


@pytest.fixture(autouse=True)
def _library():
    pytest.importorskip("python_stretch", reason="the extra mix is not installed")


def changed(signal, speed=1.0, semitones=0.0, rate=RATE, block=4096):
    stream = SpeedPitch(rate, len(signal), speed=speed, semitones=semitones)
    starts = range(0, signal.shape[1], block)
    pieces = [stream.push(signal[:, start : start + block]) for start in starts]
    pieces.append(stream.push(signal[:, :0], last=True))
    return np.concatenate(pieces, axis=1)


def sines(frequencies, samples, rate=RATE):
    times = np.arange(samples) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * f * times) for f in frequencies]).astype(np.float32)


def frequency(signal, rate=RATE):
    """Return the frequency of a sine, without its ends, by parabolic interpolation."""
    middle = signal[len(signal) // 5 : -len(signal) // 5]
    size = 1 << 20
    levels = np.log(np.abs(np.fft.rfft(middle * np.hanning(len(middle)), size)) + 1e-20)
    k = int(levels.argmax())
    before, at, after = levels[k - 1 : k + 2]
    return (k + (before - after) / 2 / (before - 2 * at + after)) * rate / size


@pytest.mark.parametrize(("speed", "semitones"), CHANGES)
def test_sines_have_the_frequency_that_they_should(speed, semitones):
    frequencies = (55.0, 440.0, 1234.5)
    result = changed(sines(frequencies, 3 * RATE), speed, semitones)
    for channel, hz in zip(result, frequencies, strict=True):
        cents = 1200 * np.log2(frequency(channel) / (hz * 2 ** (semitones / 12)))
        assert abs(cents) < 0.1
        inner = channel[len(channel) // 4 : -len(channel) // 4]
        assert np.abs(inner).max() == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize(("speed", "semitones"), CHANGES)
def test_clicks_keep_their_times_and_stay_clicks(speed, semitones):
    signal = np.zeros((1, 4 * RATE), np.float32)
    places = np.arange(RATE // 2, 4 * RATE - RATE // 2, RATE // 3)
    signal[:, places] = 0.8
    (result,) = changed(signal, speed, semitones)
    for place in places:
        due = round(place / speed)
        around = result[due - 1000 : due + 1000]
        assert abs(int(np.abs(around).argmax()) - 1000) < 0.003 * RATE
        near = around[1000 - RATE // 100 : 1000 + RATE // 100]
        assert np.square(near).sum() > 0.8 * np.square(around).sum()


@settings(max_examples=25)
@given(
    samples=st.integers(0, 20000),
    speed=st.floats(0.5, 1.5),
    semitones=st.sampled_from([0.0, -6.0, 2.5, 6.0]),
    block=st.sampled_from([777, 30000]),
)
def test_lengths_are_exact(samples, speed, semitones, block):
    signal = np.full((1, samples), 0.1, np.float32)
    result = changed(signal, speed, semitones, rate=8000, block=block)
    assert result.shape == (1, round(samples / speed))
    assert result.dtype == np.float32
    assert np.isfinite(result).all()


def test_blocks_make_no_difference_and_the_input_stays():
    signal = np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    before = signal.copy()
    assert np.array_equal(changed(signal, 0.8, 2, block=1000), changed(signal, 0.8, 2, block=9999))
    assert np.array_equal(signal, before)


def test_stems_add_up_to_the_changed_mixture():
    tone = sines([440.0, 554.0], 2 * RATE)
    noise = np.random.default_rng(0).standard_normal((2, 2 * RATE)).astype(np.float32) * 0.1
    result = changed(np.concatenate([tone + noise, tone, noise]), 0.8, -2)
    error = result[:2] - result[2:4] - result[4:]
    assert np.square(error).sum() < 1e-6 * np.square(result[:2]).sum()


@pytest.mark.slow
def test_long_streams_are_cut_where_nobody_hears_it():
    rate = 2000  # what counts are seconds: 400 of one channel are two pieces
    signal = sines([110.0, 151.0], 400 * rate, rate).sum(axis=0, keepdims=True)
    signal[:, :: rate // 2] += 0.5
    (result,) = changed(signal, 0.9, rate=rate, block=65536)
    assert len(result) == round(400 * rate / 0.9)
    whole = len(result) // 2000 * 2000
    levels = np.sqrt(np.square(result[:whole]).reshape(-1, 2000).mean(axis=1))[3:-3]
    assert levels.min() > 0.8 * np.median(levels)
    assert levels.max() < 1.3 * np.median(levels)
    for place in range(rate * 100, rate * 390, rate * 10):
        due = round(place / 0.9)
        around = np.diff(result[due - 40 : due + 40], n=2)
        assert abs(int(np.abs(around).argmax()) - 39) < 10


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "python_stretch.Signalsmith", None)
    with pytest.raises(UsageError, match=r"need the extra mix: pip install 'partita\[mix\]'"):
        require_stretch()
