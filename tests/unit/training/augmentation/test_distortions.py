"""What a mixture holds that no source does."""

import numpy as np
import pytest

from partita.audio.formats import StemFormat
from partita.training.augmentation import Augmentation, draw_distortion
from partita.training.augmentation.distortions import decoded

RATE = 44100


def music(seconds=1.0, rate=RATE, channels=2, level=0.3):
    """Chirps and beats: something that has one place in time only."""
    rng = np.random.default_rng(0)
    times = np.arange(round(seconds * rate)) / rate
    tones = np.sin(2 * np.pi * (200 + 300 * times) * times) * (times % 0.3 < 0.2)
    beats = rng.normal(size=times.size) * np.exp(-(times % 0.25) * 40)
    mixed = np.stack([tones + 0.5 * beats, 0.7 * tones - 0.2 * beats])[:channels]
    return (level * mixed / np.abs(mixed).max()).astype(np.float32)


def draw(mixture, index, rate=RATE, **settings):
    return draw_distortion(np.random.default_rng(index), mixture, rate, Augmentation(**settings))


def level_db(signal):
    return 10 * np.log10(np.square(signal, dtype=np.float64).mean())


def test_distortions_depend_on_the_seed_alone_and_touch_nothing():
    mixture = music(0.3)
    before = mixture.copy()
    settings = {"noisy_mixtures": 0.5, "clipped_mixtures": 0.5, "coded_mixtures": 0.5}
    kinds = set()
    for index in range(12):
        (first, kind), (again, same) = (draw(mixture, index, **settings) for _ in range(2))
        assert np.array_equal(first, again)
        assert kind == same
        assert (first.shape, first.dtype) == (mixture.shape, np.float32)
        assert np.isfinite(first).all()
        assert first.any() == (kind != "none")
        kinds.add(kind)
    assert np.array_equal(mixture, before)
    assert len(kinds) > 6


def test_distortions_come_as_often_as_asked_for():
    mixture = music(0.01)
    for name, kind in (("noisy_mixtures", "noise"), ("clipped_mixtures", "clipped")):
        found = [draw(mixture, index, **{name: 0.2})[1] == kind for index in range(2000)]
        assert np.mean(found) == pytest.approx(0.2, abs=0.03)
    assert draw(mixture, 0) == (pytest.approx(np.zeros_like(mixture)), "none")


def test_silence_stays_silent():
    settings = {"noisy_mixtures": 1, "clipped_mixtures": 1, "coded_mixtures": 1}
    added, kind = draw(np.zeros((2, 500), np.float32), 0, **settings)
    assert not added.any()
    assert kind == "none"


def test_clipped_mixtures_are_cut_off_below_their_peak():
    mixture = music(0.1)
    depths_db = []
    for index in range(100):
        added, _ = draw(mixture, index, clipped_mixtures=1)
        clipped = mixture + added
        limit = np.abs(clipped).max()
        assert np.allclose(clipped, np.clip(mixture, -limit, limit), atol=1e-6)
        depths_db.append(20 * np.log10(np.abs(mixture).max() / limit))
    assert 0.49 < min(depths_db) < 1
    assert 5.5 < max(depths_db) < 6.01


def test_noise_is_hiss_or_hum_below_the_mixture():
    mixture = music(1.0)
    hisses, hums = [], []
    for index in range(60):
        added, _ = draw(mixture, index, noisy_mixtures=1)
        power = np.abs(np.fft.rfft(added[0])) ** 2  # 1 Hz a bin
        below_1k = power[:1000].sum() / power.sum()
        (hums if below_1k > 0.9 else hisses).append(index)
        assert -60.1 < level_db(added) - level_db(mixture) < -29.9
        if below_1k > 0.9:
            assert power.argmax() in {50, 60}
            assert np.allclose(added[0], added[1], atol=1e-6)
        else:
            assert below_1k < 0.1
            assert not np.array_equal(added[0], added[1])
    assert min(len(hisses), len(hums)) > 15


def test_half_of_mono_mixtures_stay_mono():
    mixture = np.repeat(music(0.05)[:1], 2, axis=0)
    added = [draw(mixture, index, noisy_mixtures=1)[0] for index in range(200)]
    # Half are hum, half of the others are mono.
    assert np.mean([np.array_equal(*each) for each in added]) == pytest.approx(0.75, abs=0.1)


@pytest.mark.parametrize("rate", [44100, 22050])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("form", ["mp3", "m4a", "opus"])
def test_what_codecs_leave_is_at_its_place(form, channels, rate):
    signal = music(1.0, rate, channels, level=3.0)  # beyond full scale, as mixtures may be
    bitrate = 96_000 * channels // 2
    found = decoded(signal, rate, StemFormat(form, bitrate=bitrate))
    assert found.shape == signal.shape
    middle = slice(rate // 10, -rate // 10)
    length = signal[0, middle].size
    spectra = (np.fft.rfft(each[0, middle], 2 * length) for each in (found, signal))
    heard, given = spectra
    correlation = np.fft.irfft(heard * given.conj())
    assert correlation.argmax() in {0, 1, 2 * length - 1}
    error_db = level_db(found[:, middle] - signal[:, middle]) - level_db(signal[:, middle])
    assert -60 < error_db < -8


def test_codecs_and_rates_are_drawn():
    mixture = music(0.2)
    kinds = [draw(mixture, index, coded_mixtures=1)[1] for index in range(15)]
    assert {kind.split(" ")[0] for kind in kinds} == {"mp3", "m4a", "opus"}
    rates = [float(kind.split(" ")[2]) for kind in kinds]
    assert min(rates) >= 24
    assert max(rates) <= 160
    assert len(set(rates)) > 8
