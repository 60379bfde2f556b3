import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.dsp.masks import extend_masks, ratio_masks


@given(st.integers(1, 5), st.floats(0.5, 3.0), st.integers(0, 1000))
def test_masks_share_everything_out(sources, exponent, seed):
    magnitudes = torch.rand(2, sources, 2, 6, 5, generator=torch.Generator().manual_seed(seed))
    magnitudes[..., 0, :] = 0  # a silent bin
    masks = extend_masks(ratio_masks(magnitudes, exponent), 9)
    assert masks.shape == (2, sources, 2, 9, 5)
    assert (masks >= 0).all()
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, 2, 9, 5))


def test_silence_is_shared_equally():
    masks = ratio_masks(torch.zeros(1, 4, 2, 3, 3))
    torch.testing.assert_close(masks, torch.full_like(masks, 0.25))


def test_new_bins_hold_the_frames_mean():
    masks = torch.rand(1, 2, 1, 4, 3)
    extended = extend_masks(masks, 6)
    torch.testing.assert_close(extended[..., 5, :], masks.mean(dim=-2))
    assert torch.equal(extended[..., :4, :], masks)
