import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import median_filter as scipys

from partita.dsp.hpss import hpss, median_filter
from partita.dsp.stft import Stft
from unit.dsp.test_nmf import magnitudes


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 60),
    half=st.integers(0, 20),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_median_filter_equals_scipys(seed, size, half, dtype):
    values = magnitudes(seed, 2, size, 3, dtype=dtype)
    length = 2 * half + 1
    expected = scipys(values.numpy(), (1, length, 1), mode="nearest")
    assert torch.equal(median_filter(values, length, dim=1), torch.from_numpy(expected))
    turned = median_filter(values.movedim(1, -1), length, dim=-1).movedim(-1, 1)
    assert torch.equal(turned, torch.from_numpy(expected))


def test_blocks_do_not_matter(monkeypatch):
    values = magnitudes(0, 30, 40)
    whole = median_filter(values, 7, dim=0)
    monkeypatch.setattr("partita.dsp.hpss._BLOCK_ELEMENTS", 100)
    assert torch.equal(median_filter(values, 7, dim=0), whole)


@given(
    seed=st.integers(0, 1000),
    margin=st.sampled_from([1.0, 1.5, 3.0]),
    exponent=st.sampled_from([1.0, 2.0, 8.0]),
    scale=st.sampled_from([1e-30, 1.0, 1e30]),
)
def test_masks_add_up_to_one(seed, margin, exponent, scale):
    values = magnitudes(seed, 2, 12, 15, dtype=torch.float32) * scale
    before = values.clone()
    masks = hpss(values, harmonic_frames=5, percussive_bins=3, margin=margin, exponent=exponent)
    assert torch.equal(values, before)
    assert all(mask.shape == values.shape for mask in masks)
    assert all(bool(((mask >= 0) & (mask <= 1)).all()) for mask in masks)
    torch.testing.assert_close(sum(masks), torch.ones_like(values))
    if margin == 1:
        assert float(masks[2].max()) < 1e-6


def test_silence_is_shared_evenly():
    harmonic, percussive, residual = hpss(torch.zeros(9, 9), margin=2.0)
    torch.testing.assert_close(harmonic, torch.full((9, 9), 0.2))  # 1 / (1 + 2²)
    torch.testing.assert_close(percussive, harmonic)
    torch.testing.assert_close(residual, torch.full((9, 9), 0.6))


def test_a_tone_and_a_click():
    stft = Stft(1024, 256)
    tone = torch.sin(2 * torch.pi * 40 / 1024 * torch.arange(32768))
    click = torch.zeros(32768)
    click[16384] = 100
    harmonic, percussive, _ = hpss(stft.analyse(tone + click).abs(), margin=2.0)
    assert float(harmonic[40, 20:50].min()) > 0.99
    assert float(percussive[200:, 64].min()) > 0.99


def test_noise_is_residual():
    noise = torch.randn(65536, generator=torch.Generator().manual_seed(0))
    _, _, residual = hpss(Stft(1024, 256).analyse(noise).abs(), margin=4.0)
    assert float(residual.mean()) > 0.8


def test_high_exponents_are_driedgers_binary_masks():
    values = magnitudes(4, 20, 30)
    masks = hpss(values, harmonic_frames=5, percussive_bins=5, margin=1.5, exponent=200.0)
    tones = median_filter(values, 5, dim=-1)
    beats = median_filter(values, 5, dim=-2)
    for mask, strong, weak in ((masks[0], tones, beats), (masks[1], beats, tones)):
        clear = (strong - 1.5 * weak).abs() > 0.05 * strong  # a soft mask has a narrow slope
        assert float(clear.double().mean()) > 0.8
        binary = (strong > 1.5 * weak).double()
        torch.testing.assert_close(mask[clear], binary[clear], atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 0.5}, "margin"),
        ({"exponent": 0.0}, "exponent"),
        ({"harmonic_frames": 4}, "odd"),
        ({"percussive_bins": 0}, "odd"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        hpss(torch.ones(6, 7), **options)
