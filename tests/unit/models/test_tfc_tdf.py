"""The TFC-TDF U-Net: sizes, images, any number of bins and frames, and that masks share out."""

import pytest
import torch

from common import losses_of_recipe
from partita.errors import ModelError
from partita.models import create_model
from partita.models.tfc_tdf import Convolution, RecurrentPath, TfcTdfConfig
from partita.training.recipes import load_recipe

SMALL = {
    "sources": ["a", "b", "c"],
    "fft_samples": 256,
    "hop_samples": 64,
    "bins": 128,
    "width": 6,
    "growth": 2,
    "depth": 2,
    "latent_layers": 1,
}


def build(**config):
    torch.manual_seed(0)
    return create_model("tfc-tdf", {**SMALL, **config}).eval()


def spectra(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.complex64)


def test_defaults():
    config = TfcTdfConfig()
    assert (config.stride, config.places) == (8, 256)
    assert config.mask_exponent == 1
    model = create_model("tfc-tdf", initialise=False)
    assert [block.dense.first.in_features for block in model.network.encoder] == [256, 128, 64]
    assert [block.dense.first.out_features for block in model.network.encoder] == [32, 16, 8]
    assert [len(block.convolutions) for block in model.network.encoder] == [2, 2, 2]
    assert [len(block.convolutions) for block in model.network.decoder] == [1, 1, 1]
    assert [path.axis for path in model.network.paths] == [1, 2, 1, 2]
    assert sum(parameter.numel() for parameter in model.parameters()) < 400_000


def test_windows_keep_the_grid():
    """All windows see a song through the same halvings, and fill nothing up."""
    config = TfcTdfConfig()
    assert config.frames % config.stride == 0
    assert (config.frames - 1 - config.overlap_frames) % config.stride == 0


def test_the_recipe_is_the_default():
    recipe = load_recipe("tfc-tdf")
    assert TfcTdfConfig.from_dict(recipe.config) == TfcTdfConfig()
    samples = int(recipe.training.excerpt_s * 44100)
    assert (samples // 1024 + 1) % TfcTdfConfig().stride == 0  # nothing is filled up


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bins", [1, 15, 16, 17, 100, 129])
@pytest.mark.parametrize("frames", [1, 3, 4, 5, 18])
@torch.inference_mode()
def test_any_number_of_bins_and_frames(channels, bins, frames):
    model = build(channels=channels, bins=bins)
    mixture = spectra(2, channels, bins, frames)
    before = mixture.clone()
    masks = model.magnitudes(mixture)
    assert masks.shape == (2, 3, channels, bins, frames)
    assert (masks >= 0).all()
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, channels, bins, frames))
    assert torch.equal(mixture, before)


@pytest.mark.parametrize("fold_bins", [1, 3, 8])
@pytest.mark.parametrize("depth", [1, 3])
@torch.inference_mode()
def test_any_fold_and_depth(fold_bins, depth):
    model = build(fold_bins=fold_bins, depth=depth, growth=0, latent_layers=0, convolutions=1)
    assert model.config.places * fold_bins >= 128
    assert model.config.places % model.config.stride == 0
    assert model.magnitudes(spectra(1, 2, 128, 9)).shape == (1, 3, 2, 128, 9)


@torch.inference_mode()
def test_bins_keep_their_place():
    """What a head without weights says of a channel, bin and source comes out at just these."""
    model, fold = build(), 4
    head = model.network.head
    head.weight.zero_()
    logits = torch.randn(3, 2, fold, generator=torch.Generator().manual_seed(2))
    head.bias.copy_(logits.flatten())
    masks = model.magnitudes(spectra(1, 2, 128, 5))[0]  # [S, C, bins, N]
    expected = logits.softmax(dim=0).repeat(1, 1, 128 // fold)[..., None].expand(-1, -1, -1, 5)
    torch.testing.assert_close(masks, expected)


@torch.inference_mode()
def test_the_network_sees_left_right_and_their_difference():
    model, seen = build(), []
    model.network.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    mixture = spectra(1, 2, 128, 4)
    model.magnitudes(mixture)
    left, right = mixture[0].mT  # [N, bins]
    for image, expected in enumerate((left, right, (left - right) / 2)):
        folded = seen[0][0, 4 * image : 4 * image + 4]  # [fold, N, P]
        torch.testing.assert_close(folded.permute(1, 2, 0).flatten(1), expected.abs() ** 0.25)


@torch.inference_mode()
def test_learned_statistics_normalise_bins():
    model, seen = build(), []
    model.network.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    noise = torch.randn(1, 2, 60000, generator=torch.Generator().manual_seed(3))
    coloured = torch.cumsum(noise, dim=-1) * 0.01 + noise
    model.learn_statistics([coloured])
    model(coloured)
    images = seen[0][0].unflatten(0, (3, 4))  # [V, fold, N, P]
    torch.testing.assert_close(images.mean(dim=2), torch.zeros(3, 4, 32), atol=1e-4, rtol=0)
    torch.testing.assert_close(images.std(dim=2), torch.ones(3, 4, 32), atol=1e-2, rtol=0)


@torch.inference_mode()
def test_statistics_are_those_of_the_level_that_the_network_sees():
    noise = torch.randn(1, 2, 9000, generator=torch.Generator().manual_seed(3))
    models = [build(level_range_db=[-20, -20]) for _ in range(2)]
    for model, gain in zip(models, (0.1, 1.0), strict=True):
        model.learn_statistics([gain * noise])
    torch.testing.assert_close(models[0].input_mean, models[1].input_mean)
    torch.testing.assert_close(models[0].input_scale, models[1].input_scale)


@torch.inference_mode()
def test_silence_and_nothing_teach_nothing():
    model = build()
    for mixtures in ([], [torch.zeros(1, 2, 5000)]):
        model.learn_statistics(mixtures)
        assert not model.input_mean.any()
        assert (model.input_scale == 1).all()


@torch.inference_mode()
def test_estimates_add_up_and_do_not_hear_their_neighbours():
    model = build()
    mixture = 0.1 * torch.randn(3, 2, 9001, generator=torch.Generator().manual_seed(4))
    together = model(mixture)
    torch.testing.assert_close(together.sum(dim=1), mixture)
    for index in range(3):
        alone = model(mixture[index : index + 1])[0]
        torch.testing.assert_close(together[index], alone, atol=1e-6, rtol=1e-4)


@torch.inference_mode()
def test_paths_reach_from_end_to_end():
    """Convolutions reach some frames, the dense layers all bins; a path reaches all frames."""
    mixture = spectra(1, 2, 128, 240)
    changed = mixture.clone()
    changed[..., -1] += 5
    for layers, reaches in ((1, True), (0, False)):
        model = build(latent_layers=layers)
        moved = (model.magnitudes(changed) - model.magnitudes(mixture))[..., 60]
        assert bool(moved.any()) == reaches


@pytest.mark.parametrize("axis", [1, 2])
@torch.inference_mode()
def test_a_path_follows_one_axis(axis):
    torch.manual_seed(0)
    path = RecurrentPath(6, axis)
    x = spectra(2, 5, 7, 6).real
    changed = x.clone()
    changed[1, 2, 3, 0] += 1
    moved = (path(changed) - path(x)).abs().amax(dim=-1) > 0  # [B, N, P]
    assert not moved[0].any()
    line = moved[1, :, 3] if axis == 1 else moved[1, 2]
    assert line.all()
    assert moved.sum() == line.numel()


@torch.inference_mode()
def test_the_form_for_inference_normalises_nothing():
    model = build()
    fused = model.for_inference()
    norms = [m for m in fused.modules() if isinstance(m, Convolution)]
    assert norms
    assert all(isinstance(module.norm, torch.nn.Identity) for module in norms)
    again = fused.for_inference()
    mixture = 0.1 * torch.randn(1, 2, 5000, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(again(mixture), fused(mixture), atol=1e-6, rtol=0)
    assert all(isinstance(m.norm, torch.nn.BatchNorm2d) for m in model.modules()
               if isinstance(m, Convolution))  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sources": ["a"]}, "two sources or more"),
        ({"fold_bins": 0}, "fold_bins must be at least 1"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"convolutions": 0}, "convolutions must be at least 1"),
        ({"bottleneck": 0}, "bottleneck must be at least 1"),
        ({"width": 1}, "width must be at least 2"),
        ({"growth": -1}, "growth must not be negative"),
        ({"latent_layers": -1}, "latent_layers must not be negative"),
        ({"bins": 130}, "bins exceed"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ModelError, match=message):
        build(**values)


@pytest.mark.slow
def test_the_recipe_trains():
    """Some steps on one batch, in small: the loss falls."""
    sizes = {"fft_samples": 256, "hop_samples": 64, "bins": 128, "width": 6, "depth": 2}
    losses = losses_of_recipe("tfc-tdf", sizes)
    assert losses[-1] < 0.8 * losses[0]
