"""Spectra of sources and mixtures."""

import numpy as np
import pytest

from partita.training.augmentation import Augmentation, augment
from partita.training.augmentation.spectra import bin_octaves, draw_mixture_curve

RATE = 44100
SAMPLES = 4410
HERTZ = np.fft.rfftfreq(SAMPLES, 1 / RATE)
STILL = {"gains": (1, 1), "swap_channels": 0}


def curves_db(count=2000, **settings):
    """Curves of those excerpts that have one, and their share."""
    rng = np.random.default_rng(0)
    octaves, augmentation = bin_octaves(SAMPLES, RATE), Augmentation(**settings)
    found = [draw_mixture_curve(rng, octaves, augmentation) for _ in range(count)]
    curves = np.stack([curve for curve in found if curve is not None])
    return curves, len(curves) / count


def test_tilts_are_straight_lines_over_octaves():
    levels_db, share = curves_db(tilted_mixtures=0.3)
    assert share == pytest.approx(0.3, abs=0.03)
    at_31, at_700, at_16k = (np.interp(hz, HERTZ, levels_db[0]) for hz in (31.25, 707, 16000))
    assert at_700 == pytest.approx(0, abs=0.1)
    assert at_31 == pytest.approx(-at_16k, abs=0.6)  # bins are 10 Hz apart
    highs = levels_db[:, HERTZ.searchsorted(16001)]
    assert np.abs(highs).max() <= 6.001
    assert np.abs(highs).max() > 5.9
    assert highs.mean() == pytest.approx(0, abs=0.5)
    assert np.allclose(np.diff(levels_db[0, HERTZ > 16001]), 0)


def test_limits_of_the_band():
    levels_db, share = curves_db(band_limited_mixtures=0.5)
    assert share == pytest.approx(0.5, abs=0.03)
    assert levels_db.max() == 0
    kept = levels_db > -0.01
    assert kept[:, (HERTZ >= 310) & (HERTZ <= 2990)].all()
    loses_highs = levels_db[:, -1] < -40
    loses_lows = levels_db[:, 1] < -1  # 10 Hz
    for which in (loses_highs & ~loses_lows, loses_lows & ~loses_highs, loses_lows & loses_highs):
        assert which.mean() == pytest.approx(1 / 3, abs=0.06)
    highest = HERTZ[kept.shape[1] - 1 - kept[loses_highs][:, ::-1].argmax(axis=1)]
    assert highest.min() < 3200
    assert highest.max() > 14_500
    assert levels_db[loses_highs].min() == pytest.approx(-90, abs=0.1)


def test_all_sources_are_filtered_alike_and_without_delay():
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(3, 2, SAMPLES)).astype(np.float32)
    sources[1, 1] = sources[1, 0]
    augmentation = Augmentation(tilted_mixtures=0.5, band_limited_mixtures=1, **STILL)
    for index in range(10):
        changed = augment(np.random.default_rng(index), sources, RATE, augmentation)
        ratio = np.fft.rfft(changed) / np.fft.rfft(sources)  # [rows, channels, bins]
        present = np.abs(ratio) > 1e-2
        assert np.abs(np.angle(ratio[present])).max() < 1e-2
        assert np.allclose(ratio, ratio[0, 0], atol=1e-3)
        assert np.array_equal(changed[1, 0], changed[1, 1])
        together = np.stack([sources.sum(axis=0), *np.zeros((2, 2, SAMPLES), np.float32)])
        whole = augment(np.random.default_rng(index), together, RATE, augmentation)
        assert np.allclose(changed.sum(axis=0), whole[0], atol=1e-4)


def gains_db(count=300, **settings):
    """Levels of all frequencies of both rows, ``[count, rows, bins]``."""
    click = np.zeros((2, 2, SAMPLES), np.float32)
    click[:, :, SAMPLES // 2] = 1
    changed = np.stack(
        [
            augment(np.random.default_rng(index), click, RATE, Augmentation(**settings, **STILL))
            for index in range(count)
        ]
    )
    return 20 * np.log10(np.abs(np.fft.rfft(changed[:, :, 0])) + 1e-9)


def test_dull_sources_lose_highs():
    levels_db = gains_db(dull_sources=(0, 0.8))
    assert np.abs(levels_db[:, 0]).max() < 0.01
    dull = np.abs(levels_db[:, 1]).max(axis=1) > 1
    assert dull.mean() == pytest.approx(0.8, abs=0.07)
    found = levels_db[dull, 1]
    assert np.abs(found[:, HERTZ < 150]).max() < 0.01
    an_octave = found[:, HERTZ.searchsorted(1000)] - found[:, HERTZ.searchsorted(2000)]
    assert 4 <= an_octave.min() < 5
    assert 13 < an_octave.max() <= 14.1


def test_boomy_sources_have_more_lows():
    levels_db = gains_db(boomy_sources=(0.6,))
    assert np.abs(levels_db[:, 1]).max() < 0.01
    boomy = np.abs(levels_db[:, 0]).max(axis=1) > 0.01
    assert boomy.mean() == pytest.approx(0.6, abs=0.08)
    found = levels_db[boomy, 0]
    assert found.min() > -0.01
    assert 14 < found[:, 10].max() < 15.01
    assert np.abs(found[:, HERTZ > 600]).max() < 0.01
    assert np.ptp(found[:, HERTZ <= 100], axis=1).max() < 0.01
