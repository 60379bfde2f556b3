import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.dsp.masks import apply_masks, ratio_masks


@given(st.integers(1, 5), st.floats(0.5, 3.0), st.integers(0, 1000))
def test_masks_share_everything_out(sources, exponent, seed):
    magnitudes = torch.rand(2, sources, 2, 6, 5, generator=torch.Generator().manual_seed(seed))
    magnitudes[..., 0, :] = 0  # a silent bin
    masks = ratio_masks(magnitudes, exponent)
    assert (masks >= 0).all()
    spectrogram = torch.randn(2, 2, 9, 5, dtype=torch.complex64)
    estimates = apply_masks(masks, spectrogram)
    assert estimates.shape == (2, sources, 2, 9, 5)
    torch.testing.assert_close(estimates.sum(dim=1), spectrogram)


def test_silence_is_shared_equally():
    masks = ratio_masks(torch.zeros(1, 4, 2, 3, 3))
    torch.testing.assert_close(masks, torch.full_like(masks, 0.25))


def test_bins_beyond_the_masks_take_the_mean_of_the_treble():
    masks = torch.rand(1, 2, 1, 4, 3)
    estimates = apply_masks(masks, torch.ones(1, 1, 6, 3, dtype=torch.complex64)).real
    torch.testing.assert_close(estimates[..., 5, :], masks[..., 2:, :].mean(dim=-2))
    assert torch.equal(estimates[..., :4, :], masks)
