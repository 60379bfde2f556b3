"""Changing the sources of an excerpt."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.training.augmentation import NO_AUGMENTATION, Augmentation, augment

RATE = 8000
EVERYTHING = Augmentation(
    gains=(0.5, 1.5),
    gains_db=(-9, 6),
    source_gains_db=(6,),
    dull_sources=(0.5,),
    boomy_sources=(0.5,),
    leave_out=0.2,
    flip_polarity=0.2,
    equaliser_db=6,
    mono_stems=0.35,
    change_width=0.35,
    pan=0.45,
    same_place=0.1,
    hard_panned=0.1,
    mono_mixtures=0.2,
    narrow_mixtures=0.1,
    one_sided=0.1,
    flip_channel=0.1,
    mixture_gains_db=(-40, 12),
    tilted_mixtures=0.2,
    band_limited_mixtures=0.2,
)
STILL = {"gains": (1, 1), "swap_channels": 0}


def noise(rows=4, channels=2, samples=400, seed=0):
    rng = np.random.default_rng(seed)
    return (0.2 * rng.normal(size=(rows, channels, samples))).astype(np.float32)


def drawn(sources, augmentation, index):
    return augment(np.random.default_rng(index), sources, RATE, augmentation)


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 5),
    channels=st.sampled_from([1, 2]),
    samples=st.integers(1, 500),
)
def test_what_comes_depends_on_the_seed_alone(seed, rows, channels, samples):
    sources = noise(rows, channels, samples)
    before = sources.copy()
    first, again = (drawn(sources, EVERYTHING, seed) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(sources, before)
    assert not np.shares_memory(first, sources)
    assert (first.shape, first.dtype) == (sources.shape, np.float32)
    assert np.isfinite(first).all()


def test_nothing_changes_where_nothing_is_asked_for():
    sources = noise()
    assert np.array_equal(drawn(sources, NO_AUGMENTATION, 0), sources)


@pytest.mark.parametrize("channels", [1, 2])
def test_gains_in_db(channels):
    sources = np.ones((4, channels, 1), np.float32)
    augmentation = Augmentation(gains_db=(-9, 6), **STILL)
    found = np.stack([drawn(sources, augmentation, index)[:, 0, 0] for index in range(2000)])
    found_db = 20 * np.log10(found)
    assert found_db.min() >= -9.001
    assert found_db.max() <= 6.001
    assert np.histogram(found_db, 5, (-9, 6))[0] / found.size == pytest.approx(0.2, abs=0.02)
    assert found_db.std(axis=1).min() > 0.1  # each source by itself


@pytest.mark.parametrize("channels", [1, 2])
def test_gains_by_source(channels):
    sources = np.ones((4, channels, 1), np.float32)
    augmentation = Augmentation(source_gains_db=(0, 4, 10), **STILL)
    found = np.stack([drawn(sources, augmentation, index)[:, 0, 0] for index in range(2000)])
    found_db = 20 * np.log10(found)
    assert found_db.min(axis=0) == pytest.approx(0, abs=0.02)
    assert found_db.max(axis=0) == pytest.approx([0, 4, 10, 0], abs=0.02)  # the last: the rest
    assert found_db.mean(axis=0) == pytest.approx([0, 2, 5, 0], abs=0.2)


@pytest.mark.parametrize("channels", [1, 2])
def test_sources_are_left_out_as_often_as_asked_for(channels):
    sources = np.ones((4, channels, 3), np.float32)
    augmentation = Augmentation(leave_out=0.12, **STILL)
    heard = np.stack(
        [drawn(sources, augmentation, index).any(axis=(1, 2)) for index in range(2000)]
    )
    assert (~heard).mean() == pytest.approx(0.12, abs=0.015)
    always = Augmentation(leave_out=1, **STILL)
    assert drawn(sources, always, 0).any()  # never all of them


def test_a_whole_excerpt_changes_alike():
    """Sources of one sound become so many copies of one sound."""
    sources = np.repeat(noise(rows=1), 3, axis=0)
    augmentation = Augmentation(
        mono_mixtures=0.25, narrow_mixtures=0.25, one_sided=0.25, flip_channel=0.25, **STILL
    )
    for index in range(50):
        changed = drawn(sources, augmentation, index)
        assert np.array_equal(changed[0], changed[1])
        assert np.array_equal(changed[0], changed[2])
        assert not np.array_equal(changed[0], sources[0])


def test_gains_of_whole_excerpts():
    sources = noise(samples=3)
    augmentation = Augmentation(mixture_gains_db=(-40, 12), **STILL)
    found = np.stack([drawn(sources, augmentation, index) / sources for index in range(1000)])
    found_db = 20 * np.log10(found.reshape(1000, -1))
    assert np.ptp(found_db, axis=1).max() < 1e-4
    assert -40.01 < found_db.min() < -38
    assert 10 < found_db.max() < 12.01
    assert found_db.mean() == pytest.approx(-14, abs=1.5)


def test_mono_mixtures_are_mono_whatever_else_happens():
    settings = {name: getattr(EVERYTHING, name) for name in ("gains_db", "pan", "hard_panned")}
    augmentation = Augmentation(
        mono_mixtures=1, equaliser_db=6, mono_stems=0.3, band_limited_mixtures=0.5, **settings
    )
    for index in range(50):
        changed = drawn(noise(), augmentation, index)
        assert np.array_equal(changed[:, 0], changed[:, 1])
        left, right = changed.sum(axis=0)
        assert np.array_equal(left, right)
        assert left.any()
