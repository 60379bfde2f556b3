"""RoFormers beyond what every model must do."""

import pytest
import torch

from msst_files import SMALL_BS, SMALL_MEL, small_model
from partita.errors import ModelError
from partita.models import _roformer, create_model
from partita.models.bs_roformer import BsRoformerConfig
from partita.models.mel_band_roformer import MelBandRoformerConfig, mel_bands


def noise(samples=9000, channels=2):
    return 0.1 * torch.randn(2, channels, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["bs-roformer", "mel-band-roformer"])
@pytest.mark.parametrize("config", [{}, {"positions": "polar"}, {"shared_bias": True}])
def test_some_rows_at_a_time_give_what_all_together_do(name, config, monkeypatch):
    model = small_model(name, **config)
    expected = model(noise()).detach()  # gradients want all together
    for tokens in (1, 300):
        monkeypatch.setattr(_roformer, "_CACHED_TOKENS", tokens)
        with torch.inference_mode():
            torch.testing.assert_close(model(noise()), expected, rtol=0, atol=1e-6)


def test_values_of_the_first_layer_are_those_of_all_rows(monkeypatch):
    model = small_model(value_residual=True, layers=3)
    monkeypatch.setattr(_roformer, "_CACHED_TOKENS", 1)
    expected = model(noise()).detach()
    with torch.inference_mode():
        torch.testing.assert_close(model(noise()), expected, rtol=0, atol=1e-6)


def test_estimates_are_as_long_as_the_mixture():
    model = small_model()
    for samples in (1, 127, 128, 129, 9000, 9001, 9063):
        with torch.inference_mode():
            assert model(noise(samples)).shape == (2, 2, 2, samples)


def test_the_residual_is_what_is_left():
    model = small_model(sources=["a", "b", "rest"], residual=True)
    assert model.learned == ("a", "b")
    assert list(model.networks) == ["a", "b"]
    with torch.inference_mode():
        torch.testing.assert_close(model(noise()).sum(dim=1), noise(), rtol=0, atol=1e-6)


def test_the_lowest_bin_is_silent_where_it_should_be():
    steady = torch.ones(1, 2, 9000)
    with torch.inference_mode():
        quiet = small_model(zero_dc=True)(steady)[..., 1000:8000]
        loud = small_model(zero_dc=False)(steady)[..., 1000:8000]
    assert quiet.abs().mean() < 0.7 * loud.abs().mean()


@pytest.mark.parametrize(
    ("segment", "overlap", "window"),
    [
        (12800, 6400, (12800, 6400, 64)),
        (12800, 0, (12800, 0, 64)),
        (12801, 6400, (12801, 6401, 64)),  # 100 hops
        (1000, 999, (1000, 936, 64)),  # a hop at least
        (40, 20, (40, 20, 1)),  # shorter than one
    ],
)
def test_windows_begin_at_whole_hops(segment, overlap, window):
    config = {**SMALL_BS, "segment_samples": segment, "overlap_samples": overlap}
    found = BsRoformerConfig.from_dict(config).window
    assert (found.length, found.overlap, found.step) == window


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"band_bins": [100, 20]}, "band_bins have 120 bins in all, the transform has 129"),
        ({"band_bins": [129, 0]}, "band_bins must be positive"),
        ({"hop_samples": 200}, "hop_samples exceed half a window"),
        ({"window_samples": 512}, "fft_samples must be even and not below"),
        ({"dropout": 1.0}, "dropout must be 0 or more"),
        ({"overlap_samples": 12800}, "overlap_samples must be below"),
        ({"linear_depth": -1}, "linear_depth must not be negative"),
        ({"residual": True, "sources": ["a"]}, "a residual needs other sources"),
    ],
)
def test_settings_that_fit_no_model(change, says):
    with pytest.raises(ModelError, match=says):
        create_model("bs-roformer", {**SMALL_BS, **change})


def test_bands_of_the_mel_scale():
    passes = mel_bands(44100, 2048, 60)
    assert passes.any(axis=0).all()
    assert passes[0, 0]
    assert passes[-1, -1]
    widths = passes.sum(axis=1)
    assert 0 < widths[0] < 10
    assert widths[-1] > 100
    with pytest.raises(ModelError, match="some are empty"):
        create_model("mel-band-roformer", {**SMALL_MEL, "bands": 200})
    assert MelBandRoformerConfig().window.length == 352_800


def test_bands_may_be_those_of_another_rate():
    model = small_model("mel-band-roformer", sample_rate=22050, bands_rate=44100)
    sizes = [len(layers[0].gamma) for layers in model.band_split.to_features]
    assert sizes == [4 * int(size) for size in mel_bands(44100, 256, 6).sum(axis=1)]
