"""Conv-TasNet: what it sees, what it waits for, how it is built and trained."""

import pytest
import torch

from common import losses_of_recipe
from partita.dsp.overlap_add import Window
from partita.errors import ModelError
from partita.models import create_model

SMALL = {
    "sources": ["a", "b"],
    "filters": 12,
    "filter_samples": 10,
    "bottleneck": 8,
    "hidden": 12,
    "blocks": 3,
    "repeats": 2,
    "segment_s": 0.1,
}


def build(**config):
    torch.manual_seed(0)
    return create_model("conv-tasnet", {**SMALL, **config}).eval()


def noise(*shape, seed=1):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_as_published():
    """The size of demucs's own, without a weight drawn."""
    model = create_model("conv-tasnet", initialise=False)
    assert model.sources == ("vocals", "drums", "bass", "other")
    assert sum(parameter.numel() for parameter in model.parameters()) == 10_977_872
    assert [block.depthwise.dilation for block in model.blocks] == 4 * [
        (1 << block,) for block in range(10)
    ]
    assert model.window == Window(8 * 44100, 2 * 44100, 10)


@pytest.mark.parametrize("filter_samples", [2, 7, 10, 20])
@pytest.mark.parametrize("channels", [1, 2])
@torch.inference_mode()
def test_any_number_of_samples(filter_samples, channels):
    model = build(filter_samples=filter_samples, channels=channels)
    for samples in (1, 2, 6, 7, 9, 10, 11, 19, 20, 21, 333):
        estimates = model(noise(2, channels, samples))
        assert estimates.shape == (2, 2, channels, samples)
        assert estimates.isfinite().all()
        assert estimates.any()


@torch.inference_mode()
def test_the_last_samples_have_estimates():
    """The last frame is filled up with zeros; what follows it would only add its own to it."""
    model = build(norm="cLN", causal=True)
    mixture = noise(1, 2, 503)
    estimates, longer = model(mixture), model(torch.nn.functional.pad(mixture, (0, 100)))
    torch.testing.assert_close(estimates[..., :500], longer[..., :500], atol=1e-6, rtol=1e-5)
    assert estimates[..., -1].all()


@pytest.mark.parametrize("norm", ["cLN", "BN"])
@pytest.mark.parametrize("config", [{}, {"filter_samples": 7}, {"kernel": 2}, {"mask": "softmax"}])
@torch.inference_mode()
def test_causal(norm, config):
    """An estimate knows its future for `latency` samples, and not for one more."""
    model = build(norm=norm, causal=True, **config)
    latency = model.config.latency
    assert latency == model.config.filter_samples - 1
    mixture = noise(1, 2, 400)
    estimates, reached = model(mixture), 0
    for time in range(200, 200 + model.config.hop_samples):  # every place within a frame
        changed = mixture.clone()
        changed[..., time + latency + 1 :] = noise(1, 2, 400 - time - latency - 1, seed=2)
        torch.testing.assert_close(
            model(changed)[..., : time + 1], estimates[..., : time + 1], atol=1e-7, rtol=0
        )
        changed[..., time + latency] += 1.0
        reached += bool((model(changed) - estimates)[..., time].abs().max() > 1e-5)
    assert reached >= 1  # the latency is not longer than it must be


@pytest.mark.parametrize("config", [{}, {"norm": "cLN"}, {"causal": True}], ids=str)
@torch.inference_mode()
def test_others_wait_for_all_of_their_window(config):
    model = build(**config)
    assert model.config.latency is None
    mixture = noise(1, 2, 400)
    changed = mixture.clone()
    changed[..., 250:] = 0
    assert (model(changed) - model(mixture))[..., 200:225].abs().max() > 1e-5


@pytest.mark.parametrize("mask", ["relu", "softmax"])
@pytest.mark.parametrize("norm", ["gLN", "cLN", "BN"])
@torch.inference_mode()
def test_silence_stays_silent(norm, mask):
    assert not build(norm=norm, mask=mask)(torch.zeros(2, 2, 777)).any()


@torch.inference_mode()
def test_levels_carry_over():
    """Masks do not depend on the level but where it comes near gLN's eps."""
    model = build()
    mixture = noise(1, 2, 1000)
    torch.testing.assert_close(model(30 * mixture), 30 * model(mixture), atol=1e-4, rtol=1e-3)


@torch.inference_mode()
def test_softmax_masks_add_up_to_one():
    model = build(mask="softmax", sources=["a", "b", "c"])
    mixture = noise(1, 2, 1000)
    everything = model.decoder(model.encoder(mixture).relu())
    torch.testing.assert_close(model(mixture).sum(dim=1), everything, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("segment_s", [0.001, 0.1, 1.2345])
@pytest.mark.parametrize("filter_samples", [7, 10, 20])
def test_windows_begin_and_end_with_frames(filter_samples, segment_s, overlap):
    config = build(filter_samples=filter_samples, segment_s=segment_s, overlap=overlap).config
    window = config.window
    assert (window.length - filter_samples) % config.hop_samples == 0
    assert window.hop % config.hop_samples == 0
    assert abs(window.length - 44100 * segment_s) <= filter_samples
    assert abs(window.overlap - overlap * 44100 * segment_s) <= 2 * filter_samples


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"filters": 0}, "filters must be positive"),
        ({"bottleneck": 0}, "bottleneck must be positive"),
        ({"hidden": 0}, "hidden must be positive"),
        ({"blocks": 0}, "blocks must be positive"),
        ({"repeats": 0}, "repeats must be positive"),
        ({"filter_samples": 1}, "filter_samples must be at least 2"),
        ({"kernel": 1}, "kernel must be at least 2"),
        ({"kernel": 4}, "kernel must be odd, unless causal"),
        ({"norm": "gln"}, "norm must be one of gLN, cLN, BN"),
        ({"mask": "sigmoid"}, "mask must be one of relu, softmax"),
        ({"segment_s": 0.0}, "segment_s must be positive"),
        ({"overlap": 1.0}, "overlap must be 0 or more and below 1"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ModelError, match=message):
        create_model("conv-tasnet", {**SMALL, **values})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv-tasnet", "conv-tasnet-light"])
def test_recipes_train(name):
    """Some steps on one batch, in small: the loss falls."""
    sizes = {"filters": 16, "bottleneck": 8, "hidden": 16, "blocks": 2, "repeats": 1}
    losses = losses_of_recipe(name, sizes, noise_level=0.1)
    assert losses[-1] < 0.97 * losses[0]
