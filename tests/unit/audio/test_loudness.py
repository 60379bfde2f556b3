import math

import numpy as np
import pytest

from partita.audio.loudness import LoudnessMeter

pyloudnorm = pytest.importorskip("pyloudnorm", reason="the reference of loudness is not here")


def measured(signal, rate, block=10_000):
    meter = LoudnessMeter(rate, len(signal))
    for start in range(0, signal.shape[1], block):
        meter.push(signal[:, start : start + block])
    meter.push(signal[:, :0], last=True)
    return meter


def sine(seconds, rate, channels=1):
    times = np.arange(seconds * rate) / rate
    return np.tile(np.sin(2 * np.pi * 997 * times), (channels, 1)).astype(np.float32)


def test_the_reference_of_the_standard():
    """A sine of 997 Hz at full scale in one channel is -3.01 LUFS (BS.1770-4, annex 1)."""
    tone = sine(3, 48000)
    assert measured(tone, 48000).loudness_lufs == pytest.approx(-3.01, abs=0.02)
    silent = np.concatenate([tone, 0 * tone])
    assert measured(silent, 48000).loudness_lufs == pytest.approx(-3.01, abs=0.02)
    assert measured(sine(3, 48000, 2), 48000).loudness_lufs == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_it_agrees_with_another_meter(rate):
    rng = np.random.default_rng(0)
    swells = 1 + np.sin(np.arange(6 * rate) / rate)
    signal = (0.05 * rng.standard_normal((2, 6 * rate)) * swells**2).astype(np.float32)
    signal[:, 2 * rate : 4 * rate] *= 1e-3  # below the gate
    wanted = pyloudnorm.Meter(rate).integrated_loudness(signal.T)
    assert measured(signal, rate).loudness_lufs == pytest.approx(wanted, abs=0.1)


def test_blocks_make_no_difference():
    tone = 0.3 * sine(1, 44100, 2)
    one, other = (measured(tone, 44100, block) for block in (999, 44100))
    assert one.loudness_lufs == other.loudness_lufs
    assert one.true_peak == other.true_peak


def test_true_peaks_are_between_samples():
    rate = 48000
    signal = np.sin(np.pi / 2 * np.arange(rate) + np.pi / 4) * np.hanning(rate)
    assert np.abs(signal).max() == pytest.approx(math.sqrt(0.5), abs=1e-4)
    peak = measured(signal[None].astype(np.float32), rate).true_peak
    assert peak == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("samples", [0, 10, 9000])
def test_too_short(samples):
    meter = measured(np.full((1, samples), 0.5, np.float32), 44100)
    assert meter.loudness_lufs == -math.inf
    assert meter.true_peak >= (0.5 if samples else 0.0)


def test_surround():
    assert measured(sine(1, 44100, 6), 44100).loudness_lufs > 3
