"""Softmax masks: the weight of the difference of the channels."""

import itertools

import pytest
import torch

from partita.models import create_model
from partita.models._protocol import SongFacts

SMALL = {
    "band-split": {"features": 8, "hidden": 6, "layers": 1, "mask_hidden": 8},
    "tfc-tdf": {"bins": 256, "width": 4, "growth": 4, "depth": 2},
}


@pytest.fixture(params=list(SMALL))
def model(request):
    torch.manual_seed(0)
    return create_model(request.param, SMALL[request.param]).eval()


def facts(*side):
    return SongFacts(side=torch.tensor(side))


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_full_weight_changes_nothing(model):
    assert model.for_song(facts(1.0)) is model
    assert model.for_song(SongFacts()) is model


@torch.inference_mode()
def test_a_side_without_weight_is_not_seen(model):
    mixture = noise(1, 1, 20000).expand(1, 2, -1)
    side = 1e-3 * noise(1, 1, 20000).flip(-1) * torch.tensor([[1.0], [-1.0]])
    song = model.for_song(facts(0.0))
    changes = []
    for network in (model, song):
        masks = [
            network.magnitudes(network.observe(x).network_input) for x in (mixture, mixture + side)
        ]
        changes.append((masks[1] - masks[0]).square().mean().sqrt())
    assert changes[1] < 0.1 * changes[0]
    # Equal channels have equal masks, and estimates add up.
    estimates = song(mixture)
    torch.testing.assert_close(estimates[:, :, 0], estimates[:, :, 1], atol=1e-6, rtol=0)
    torch.testing.assert_close(estimates.sum(dim=1), mixture, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_networks_trained_on_mono_see_half_a_difference(model, monkeypatch):
    torch.nn.init.normal_(model.input_mean)
    values = {**SMALL[model.registry_name], "any_width": True}
    network = create_model(model.registry_name, values).eval()
    network.load_state_dict(model.state_dict())
    mixture = noise(1, 1, 20000).expand(1, 2, -1)
    side = 1e-3 * noise(1, 1, 20000).flip(-1) * torch.tensor([[1.0], [-1.0]])
    seen = []
    logits = type(model).logits
    monkeypatch.setattr(type(model), "logits", lambda *a: seen.append(a[1]) or logits(*a))
    for each in (model, network):
        for song in (mixture, mixture + side):
            each.for_song(facts(0.0))(song)
    typical, narrow_typical, half, narrow_half = seen  # [B, N, 3, F] each
    none = -model.input_mean[2] * model.input_scale[2]
    torch.testing.assert_close(half[:, :, 2], (typical[:, :, 2] + none) / 2)
    torch.testing.assert_close(narrow_half[:, :, 2], (narrow_typical[:, :, 2] + none) / 2)
    torch.testing.assert_close(half[:, :, :2], typical[:, :, :2])
    mono, narrow = (network.observe(x).network_input for x in (mixture, mixture + side))
    without, with_side = network.for_song(facts(0.0)), network
    errors = [
        (each.magnitudes(narrow) - each.magnitudes(mono)).square().mean()
        for each in (without, with_side)
    ]
    assert errors[0] < 0.1 * errors[1]
    assert network.for_song(facts(1.0)) is network


@torch.inference_mode()
def test_the_weight_acts_smoothly_and_the_model_does_not_change(model):
    mixture = noise(1, 2, 20000)
    before = model(mixture)
    outputs = [model.for_song(facts(weight))(mixture) for weight in torch.linspace(0, 1, 9)]
    steps = [(a - b).norm() for a, b in itertools.pairwise(outputs)]
    assert max(steps) < 0.4 * (outputs[0] - outputs[-1]).norm()
    assert torch.equal(model(mixture), before)
    assert torch.equal(outputs[-1], before)


@torch.inference_mode()
def test_groups_have_their_own_weight_in_every_window(model):
    windows = noise(3 * 2, 2, 20000)  # three windows of two groups
    found = model.for_song(facts(0.0, 1.0))(windows)
    torch.testing.assert_close(found[0::2], model.for_song(facts(0.0))(windows[0::2]))
    torch.testing.assert_close(found[1::2], model(windows[1::2]))


def test_one_channel_has_no_side():
    mono = create_model("band-split", {**SMALL["band-split"], "channels": 1}).eval()
    assert mono.for_song(facts(0.0)) is mono
