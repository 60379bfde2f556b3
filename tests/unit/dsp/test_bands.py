import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.dsp.bands import band_matrix

SIZES = st.integers(2, 300).flatmap(lambda bins: st.tuples(st.just(bins), st.integers(2, bins)))
USUAL = [(2049, 256), (1025, 160), (2049, 40), (2049, 2)]


def places(bins, bands):
    """Where each bin lies among the bands, 0 for the first band's centre: [bins]."""
    matrix = band_matrix(bins, bands).double()
    return torch.arange(bands, dtype=torch.float64) @ matrix / matrix.sum(dim=0)


@given(SIZES)
def test_shares_of_a_bin_add_up_to_one_in_neighbouring_bands(sizes):
    bins, bands = sizes
    matrix = band_matrix(bins, bands)
    assert matrix.shape == (bands, bins)
    assert bool((matrix >= 0).all())
    torch.testing.assert_close(matrix.sum(dim=0), torch.ones(bins), atol=1e-6, rtol=0)
    assert bool(((matrix > 0).sum(dim=0) <= 2).all())


@given(SIZES)
def test_no_band_is_empty_and_both_ends_are_centres(sizes):
    matrix = band_matrix(*sizes)
    assert bool((matrix.amax(dim=1) > 0.1).all())
    assert float(matrix[0, 0]) == 1
    assert float(matrix[-1, -1]) == pytest.approx(1, abs=1e-5)


@given(SIZES)
def test_bands_ascend_and_grow(sizes):
    place = places(*sizes)
    steps = place.diff()  # bands per bin
    assert bool((steps > 0).all())
    assert bool((steps <= 1 + 1e-5).all())  # no band is narrower than a bin
    assert bool((steps.diff() <= 1e-5).all())
    centres = band_matrix(*sizes).argmax(dim=1)
    assert bool((centres.diff() > 0).all())


@pytest.mark.parametrize(("bins", "bands"), USUAL)
def test_narrow_up_to_a_corner_then_as_broad_as_the_frequency(bins, bands):
    steps = places(bins, bands).diff()
    is_bin = steps > 1 - 1e-4
    corner = int(is_bin.sum())
    assert bool(is_bin[:corner].all())
    above = torch.arange(corner + 1, bins - 1, dtype=torch.float64) + 0.5
    widths = 1 / (steps[corner + 1 :] * above)  # in parts of the frequency
    assert float(widths.max() / widths.min()) < 1.2


@given(bins=st.integers(2, 300))
def test_as_many_bands_as_bins_change_nothing(bins):
    torch.testing.assert_close(band_matrix(bins, bins), torch.eye(bins), atol=1e-5, rtol=0)


@given(SIZES, st.integers(0, 10**6))
def test_the_sum_is_kept_and_masks_still_add_up(sizes, seed):
    bins, bands = sizes
    generator = torch.Generator().manual_seed(seed)
    matrix = band_matrix(bins, bands)
    magnitudes = torch.rand(bins, 3, generator=generator)
    torch.testing.assert_close((matrix @ magnitudes).sum(dim=0), magnitudes.sum(dim=0))
    mask = torch.rand(bands, 3, generator=generator)
    spread = matrix.T @ torch.stack([mask, 1 - mask])
    torch.testing.assert_close(spread.sum(dim=0), torch.ones(bins, 3))
    assert bool((spread >= 0).all())


def test_whoever_asks_first_it_takes_part_in_gradients():
    band_matrix.cache_clear()
    with torch.inference_mode():
        band_matrix(20, 10)
    values = torch.ones(20, requires_grad=True)
    (band_matrix(20, 10) @ values).sum().backward()
    torch.testing.assert_close(values.grad, torch.ones(20))


@pytest.mark.parametrize(("bins", "bands"), [(10, 11), (10, 1), (10, 0), (10, -3), (1, 1), (0, 0)])
def test_refuses(bins, bands):
    with pytest.raises(ValueError, match=f"bands must be 2 to {bins}, not {bands}"):
        band_matrix(bins, bands)
