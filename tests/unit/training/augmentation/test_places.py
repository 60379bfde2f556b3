"""Places in the stereo field."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.training.augmentation import Augmentation
from partita.training.augmentation.places import apply_place, draw_places, pan_matrix

DRAWS = 2000
AS_IT_IS = np.eye(2)
MONO = np.full((2, 2), 0.5)


def drawn(rows=4, draws=DRAWS, **settings):
    """Places of many excerpts, ``[draws, rows, 2, 2]``."""
    rng = np.random.default_rng(0)
    return np.stack([draw_places(rng, rows, Augmentation(**settings)) for _ in range(draws)])


def is_like(places, matrix):
    return (np.abs(places - matrix) < 1e-12).all(axis=(-2, -1))


def are_mono(places):
    return (places[..., 0, :] == places[..., 1, :]).all(axis=-1)


def test_nothing_is_drawn_where_nothing_is_asked_for():
    rng = np.random.default_rng(0)
    assert (draw_places(rng, 4, Augmentation()) == AS_IT_IS).all()
    assert rng.random() == np.random.default_rng(0).random()


def test_sources_become_mono_or_of_another_width_as_often_as_asked_for():
    places = drawn(mono_stems=0.35, change_width=0.25)
    mono, same = is_like(places, MONO), is_like(places, AS_IT_IS)
    assert mono.mean() == pytest.approx(0.35, abs=0.02)
    assert same.mean() == pytest.approx(0.4, abs=0.02)
    assert are_mono(places)[mono].all()
    others = places[~mono & ~same]
    widths = others[:, 0, 0] - others[:, 0, 1]
    assert np.allclose(others.sum(axis=-1), 1)  # the mid stays
    assert np.allclose(others, others.transpose(0, 2, 1))
    assert widths.min() > 0
    assert widths.max() < 1.5
    assert np.mean(widths) == pytest.approx(0.75, abs=0.03)
    # Each source of an excerpt by itself.
    assert (mono.sum(axis=1) == 4).mean() == pytest.approx(0.35**4, abs=0.01)


def test_pans_are_anywhere_and_keep_the_power_of_mono_sources():
    places = drawn(pan=0.45)
    panned = places[~is_like(places, AS_IT_IS)]
    assert len(panned) / (DRAWS * 4) == pytest.approx(0.45, abs=0.02)
    gains = np.einsum("nii->ni", panned)
    assert np.allclose(np.square(gains).sum(axis=1), 2)
    assert np.allclose(panned, panned * AS_IT_IS)
    positions = np.arctan2(gains[:, 1], gains[:, 0]) / (np.pi / 2)  # 0 to 1
    assert np.histogram(positions, 4, (0, 1))[0] / len(positions) == pytest.approx(0.25, abs=0.03)


def test_pans_at_the_ends_leave_one_channel_silent():
    assert np.allclose(pan_matrix(0), AS_IT_IS)
    assert np.array_equal(pan_matrix(-1) != 0, [[True, False], [False, False]])
    assert np.array_equal(pan_matrix(1) != 0, [[False, False], [False, True]])


def test_sources_at_one_place():
    places = drawn(same_place=0.5, pan=0.2)
    alike = is_like(places[:, :, None], places[:, None]).sum(axis=2).max(axis=1)  # [draws]
    assert (alike >= 3).mean() > 0.5
    first = places[:, 0]
    whole_band_mono = are_mono(places).all(axis=1).mean()
    # Half of these are mono, in half of them one source keeps its place; 80 % are not panned.
    assert whole_band_mono == pytest.approx(0.5 * 0.5 * 0.5 * 0.8, abs=0.025)
    widths = (first[:, 0, 0] - first[:, 0, 1])[~is_like(first, AS_IT_IS)]
    assert widths.min() >= 0


def test_hard_panned_sources_are_mono_and_at_three_places():
    places = drawn(hard_panned=1)
    left, middle, right = (np.diag(g) @ MONO for g in ((2**0.5, 0), (1, 1), (0, 2**0.5)))
    for matrix in (left, middle, right):
        assert is_like(places, matrix).mean() == pytest.approx(1 / 3, abs=0.02)
    assert not is_like(drawn(hard_panned=0.25), AS_IT_IS).all(axis=1).mean() > 0.8


def test_whole_excerpts():
    places = drawn(
        mono_stems=0.3,
        pan=0.3,
        mono_mixtures=0.2,
        narrow_mixtures=0.3,
        one_sided=0.1,
        flip_channel=0.15,
    )
    assert are_mono(places).all(axis=1).mean() == pytest.approx(0.2 + 0.3**4 * 0.7**4, abs=0.03)
    whole = drawn(rows=1, mono_mixtures=0.2, narrow_mixtures=0.3, one_sided=0.1, flip_channel=0.15)
    whole = whole[:, 0]
    mono, same = is_like(whole, MONO), is_like(whole, AS_IT_IS)
    flipped = np.linalg.det(whole) < -0.5
    one_sided = ~same & ~flipped & (whole == whole * AS_IT_IS).all(axis=(1, 2))
    narrow = ~(mono | same | flipped | one_sided)
    for found, share in ((mono, 0.2), (flipped, 0.15), (one_sided, 0.1), (narrow, 0.3)):
        assert found.mean() == pytest.approx(share, abs=0.03)
    widths_db = 20 * np.log10(whole[narrow][:, 0, 0] - whole[narrow][:, 0, 1])
    assert -60.01 < widths_db.min() < -55
    assert -11 < widths_db.max() < -5.99
    quieter = np.sort(np.einsum("nii->ni", whole[one_sided]), axis=1)
    assert (quieter[:, 1] == 1).all()
    assert (quieter[:, 0] == 0).mean() == pytest.approx(0.5, abs=0.15)
    assert quieter[:, 0].max() < 0.51
    silent = whole[one_sided].diagonal(axis1=1, axis2=2).argmin(axis=1)
    assert silent.mean() == pytest.approx(0.5, abs=0.15)  # left or right


@given(
    seed=st.integers(0, 2**32),
    settings_=st.fixed_dictionaries(
        {name: st.sampled_from([0, 0.25]) for name in ("mono_stems", "change_width", "same_place")}
        | {name: st.sampled_from([0, 1]) for name in ("pan", "mono_mixtures")}
    ),
)
def test_mono_is_exact_and_places_do_not_touch_what_they_are_given(seed, settings_):
    sources = np.random.default_rng(seed).normal(size=(3, 2, 101)).astype(np.float32)
    before = sources.copy()
    places = draw_places(np.random.default_rng(seed), 3, Augmentation(**settings_))
    placed = [apply_place(place, source) for place, source in zip(places, sources, strict=True)]
    assert np.array_equal(sources, before)
    for place, source, after in zip(places, sources, placed, strict=True):
        assert after.dtype == np.float32
        assert np.allclose(after, place @ source, atol=1e-5)
        if settings_["mono_mixtures"] or are_mono(place):
            assert np.array_equal(after[0], after[1])
    if settings_["mono_mixtures"]:
        left, right = np.sum(placed, axis=0)
        assert np.array_equal(left, right)
