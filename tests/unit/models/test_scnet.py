"""SCNet: bands, lengths, windows, half precision, and what its recipes learn."""

import pytest
import torch

from common import losses_of_recipe
from partita.errors import ModelError
from partita.models import _dual_path, create_model
from partita.models.scnet import Band, ScNetConfig
from partita.training.recipes import load_recipe

SMALL = {
    "sources": ["a", "b"],
    "fft_samples": 512,
    "hop_samples": 128,
    "widths": [8, 12],
    "dual_layers": 2,
}


def build(name="scnet", **config):
    torch.manual_seed(0)
    return create_model(name, {**SMALL, **config}).eval()


def test_sizes_of_the_paper():
    assert ScNetConfig.from_dict(load_recipe("scnet").config) == ScNetConfig()
    levels = ScNetConfig().levels
    assert [[band.bins for band in bands] for bands in levels] == [
        [359, 803, 887],
        [108, 242, 266],
        [33, 73, 80],
    ]
    assert [band.compressed for band in levels[0]] == [359, 201, 56]
    model = create_model("scnet", initialise=False)
    assert sum(p.numel() for p in model.parameters()) == 10_578_768  # as MSST has it


@pytest.mark.parametrize("stride", [1, 2, 4, 16])
@pytest.mark.parametrize("bins", [1, 16, 17, 100])
def test_bands_get_their_bins_back(bins, stride):
    band = Band(bins, stride, kernel=max(stride, 3) if stride == 1 else stride)
    conv = torch.nn.Conv1d(1, 1, band.kernel, band.stride)
    padded = torch.nn.functional.pad(torch.zeros(1, 1, bins), band.padding)
    compressed = conv(padded)
    assert compressed.shape[-1] == band.compressed
    back = torch.nn.ConvTranspose1d(1, 1, band.kernel, band.stride)(compressed)
    assert back.shape[-1] == band.restored
    assert back[..., band.kept].shape[-1] == bins


@pytest.mark.parametrize("samples", [1, 127, 128, 256, 257, 1000, 1024, 5000])
def test_frames_are_even_and_can_be_mirrored(samples):
    config = ScNetConfig(fft_samples=512, hop_samples=128)
    padded = config.padded_samples(samples)
    assert padded % 128 == 0
    assert padded // 128 % 2 == 1  # one frame more than hops
    assert padded > max(samples, 256)
    assert padded - max(samples, 256) <= 256


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.75, 0.99])
@pytest.mark.parametrize("segment_s", [0.001, 0.5, 11.0])
def test_windows_begin_with_frames(segment_s, overlap):
    window = ScNetConfig(segment_s=segment_s, overlap=overlap).window
    assert window.length % 2048 == 0
    assert window.step == 1024
    if segment_s > 1:
        assert window.length == pytest.approx(segment_s * 44100, rel=0.01)
        assert window.overlap == pytest.approx(overlap * window.length, abs=1024)


@pytest.mark.parametrize(
    "config",
    [
        {"widths": []},
        {"widths": [2]},
        {"band_shares": [0.5, 0.5]},
        {"band_shares": [0.0, 0.5]},
        {"strides": [1, 4]},
        {"kernels": [3, 5, 16]},
        {"kernels": [0, 4, 16]},
        {"widths": [8] * 17},
        {"conv_kernel": 2},
        {"dual_layers": 3},
        {"hop_samples": 100},
        {"convolutions": [1, 2, -1]},
        {"expansion": 0},
        {"overlap": 1.0},
    ],
)
def test_impossible_settings(config):
    with pytest.raises(ModelError):
        build(**config)


@pytest.mark.parametrize("name", ["scnet", "scnet-masked"])
@torch.inference_mode()
def test_half_precision_is_close(name):
    model = build(name)
    mixture = 0.3 * torch.randn(1, 2, 6000, generator=torch.Generator().manual_seed(1))
    expected = model(mixture)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(mixture)
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("rows", [7, 1000])
@pytest.mark.parametrize("config", [{}, {"expansion": 2, "dual_layers": 4}, {"dual_layers": 0}])
def test_inference_gives_what_training_does(config, rows, monkeypatch):
    monkeypatch.setattr(_dual_path, "_MIN_ROWS", rows)
    monkeypatch.setattr(_dual_path, "_CACHED_NUMBERS", 1)
    model = build(**config)
    mixture = 0.1 * torch.randn(2, 2, 5000)
    expected = model(mixture).detach()
    with torch.inference_mode():
        found = model(mixture)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_silence_is_silent_beside_music():
    """Of a batch, only the mixture that is zero has estimates that are zero."""
    model = build()
    mixture = torch.zeros(2, 2, 3000)
    mixture[1, 0, 5] = 1e-6
    silent, other = model(mixture)
    assert not silent.any()
    assert other.any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scnet", "scnet-tiny"])
def test_the_recipes_learn(name):
    losses = losses_of_recipe(
        name,
        {
            "widths": "8,8",
            "dual_layers": 2,
            "fft_samples": 1024,
            "hop_samples": 256,
            "learning_rate": 1e-2,
        },
    )
    assert losses[-1] < 0.7 * losses[0]
