"""TFC-TDF v3 (MDX23C): sizes, lengths, windows, norms, and what its recipes learn."""

import pytest
import torch

from common import losses_of_recipe
from partita.errors import ModelError
from partita.models import create_model
from partita.models.tfc_tdf_v3 import TfcTdfV3Config
from partita.training.recipes import load_recipe

SMALL = {
    "sources": ["a", "b"],
    "fft_samples": 512,
    "hop_samples": 128,
    "bins": 240,
    "subbands": 2,
    "width": 8,
    "growth": 4,
    "depth": 2,
    "blocks": 1,
}


def build(**config):
    torch.manual_seed(0)
    return create_model("mdx23c", {**SMALL, **config}).eval()


def test_defaults_are_the_recipe():
    config = TfcTdfV3Config(sources=("vocals", "bass", "drums", "other"))
    assert TfcTdfV3Config.from_dict(load_recipe("mdx23c").config) == config
    assert config.widths == [128, 256, 384, 512, 640, 768]
    assert config.places == [1024, 512, 256, 128, 64, 32]
    assert config.window.length == 261_120  # a chunk of MSST's
    assert config.padded_samples(261_120) == 261_120


@pytest.mark.parametrize("samples", [1, 256, 257, 5000])
@pytest.mark.parametrize("scale", [[2, 2], [3, 2], [1, 1]])
def test_frames_are_whole_strides(samples, scale):
    config = build(scale=scale).config
    padded = config.padded_samples(samples)
    assert (padded // 128 + 1) % config.stride == 0
    assert padded >= max(samples, 257)
    assert config.padded_samples(padded) == padded


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.75, 0.99])
@pytest.mark.parametrize("segment_s", [0.001, 6.0])
def test_windows_keep_the_grid(segment_s, overlap):
    config = TfcTdfV3Config(segment_s=segment_s, overlap=overlap)
    window = config.window
    assert window.hop % (32 * 1024) == 0
    assert config.padded_samples(window.length) == window.length


@pytest.mark.parametrize("samples", [1, 3000])
@torch.inference_mode()
def test_a_level_may_narrow_to_one_place(samples):
    model = build(bottleneck=30)
    assert model(torch.randn(1, 2, samples)).isfinite().all()


@pytest.mark.parametrize(
    ("norm", "kind"),
    [
        ("InstanceNorm", torch.nn.InstanceNorm2d),
        ("BatchNorm", torch.nn.BatchNorm2d),
        ("GroupNorm4", torch.nn.GroupNorm),
        ("none", torch.nn.Identity),
    ],
)
def test_norms(norm, kind):
    model = build(norm=norm)
    assert type(model.bottleneck_block.blocks[0].tfc1[0]) is kind


@pytest.mark.parametrize(
    "config",
    [
        {"bins": 258},
        {"bins": 238},
        {"bottleneck": 31},
        {"scale": [2]},
        {"scale": [0, 2]},
        {"norm": "LayerNorm"},
        {"norm": "GroupNorm"},
        {"norm": "GroupNorm0"},
        {"norm": "GroupNorm3"},
        {"norm": "GroupNorm99"},
        {"activation": "elu"},
        {"activation": "eluinf"},
        {"activation": "silu"},
        {"fft_samples": 500},
        {"segment_s": 0.0},
    ],
)
def test_impossible_settings(config):
    with pytest.raises(ModelError):
        build(**config)


@pytest.mark.parametrize("channels", [1, 2])
@torch.inference_mode()
def test_bins_above_are_silent(channels):
    model = build(bins=64, channels=channels)
    estimates = model(torch.randn(1, channels, 127 * 128))
    spectrum = model.stft.analyse(estimates).abs()[..., 8:-8]  # the ends are mirrored
    assert spectrum[..., 80:, :].max() < 0.02 * spectrum.max()


@torch.inference_mode()
def test_half_precision_is_close():
    model = build()
    mixture = 0.3 * torch.randn(1, 2, 6000, generator=torch.Generator().manual_seed(1))
    expected = model(mixture)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(mixture)
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mdx23c", "mdx23c-tiny"])
def test_the_recipes_learn(name):
    sizes = {key: value for key, value in SMALL.items() if key != "sources"}
    losses = losses_of_recipe(name, {**sizes, "learning_rate": 1e-2})
    assert losses[-1] < 0.7 * losses[0]
