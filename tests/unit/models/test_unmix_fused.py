import copy
import itertools

import pytest
import torch

from common import SMALL_UNMIX
from partita.models import create_model

SAMPLES = 128 * 76 + 50  # an odd number of frames, in three pieces of the Wiener filter
SWITCHES = [
    {},
    {"bidirectional": False},
    {"channels": 1},
    {"layers": 1, "sources": ["a"]},
    {"residual": True, "wiener_iterations": 0},
    {"residual": True, "wiener_iterations": 1},
    {"wiener_iterations": 0},
    {"wiener_iterations": None},
    {"bandwidth_hz": 30000.0},
    {"level_range_db": [-14.0, -10.0]},
    {"level_range_db": [-14.0, -10.0], "wiener_iterations": None},
]
PLACES = [
    (crosses, before, after)
    for crosses, before, after in itertools.product(
        ["tanh", "lstm", "both"], [False, True], [False, True]
    )
    if before or after
]
CROSSINGS = [
    {"joins": joins, "crosses": crosses, "before_lstm": before, "after_lstm": after}
    for joins, (crosses, before, after) in itertools.product(["concatenate", "average"], PLACES)
]
CASES = [
    *(("open-unmix", switches) for switches in SWITCHES),
    *(("crosstalk-unmix", switches) for switches in [*SWITCHES, *CROSSINGS]),
]


def build(name="open-unmix", **switches):
    torch.manual_seed(0)
    config = {**SMALL_UNMIX, "sources": ["a", "b", "c"], "wiener_frames": 33, **switches}
    model = create_model(name, config)
    with torch.no_grad():
        for key, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if key.endswith("running_var") or "_scale" in key:
                tensor.uniform_(0.5, 1.5)
            elif ("bn" in key or "_mean" in key) and tensor.is_floating_point():
                tensor.normal_(0.2, 0.5)  # scales of both signs, shifts that are not zero
    return model.eval()


@pytest.mark.parametrize(("name", "switches"), CASES)
@torch.inference_mode()
def test_estimates_agree(name, switches):
    model = build(name, **switches)
    fast = model.for_inference()
    mixture = 0.1 * torch.randn(3, model.channels, SAMPLES)
    before = mixture.clone()
    expected = model(mixture)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(fast(mixture), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(fast(mixture[:1]), expected[:1], atol=1e-5, rtol=1e-4)
    assert torch.equal(mixture, before)


@pytest.mark.parametrize("name", ["open-unmix", "crosstalk-unmix"])
@torch.inference_mode()
def test_magnitudes_agree(name):
    model = build(name)
    mixture = torch.rand(3, 2, 257, 13)
    before = mixture.clone()
    found, expected = model.for_inference().magnitudes(mixture), model.magnitudes(mixture)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(mixture, before)


@pytest.mark.parametrize("samples", [1, 127, 33 * 128 - 1, 33 * 128])
@torch.inference_mode()
def test_any_length(samples):
    model = build()
    mixture = 0.1 * torch.randn(2, 2, samples)
    found = model.for_inference()(mixture)
    torch.testing.assert_close(found, model(mixture), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_strong_mean_costs_no_precision():
    model = build(wiener_iterations=0)
    for network in model.networks.values():
        network.input_mean.fill_(-20.0)
        network.input_scale.fill_(2.0)
    mixture = 0.1 * torch.randn(1, 2, SAMPLES)
    found, expected = model.for_inference()(mixture), model(mixture)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


def test_the_original_trains_on():
    model = build(dropout=0.5)
    state = copy.deepcopy(model.state_dict())
    model.train()
    fast = model.for_inference()
    mixture = 0.1 * torch.randn(2, 2, SAMPLES)
    assert not fast(mixture).requires_grad
    assert not any(module.training for module in fast.modules())
    assert all(module.training for module in model.modules())
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[key])
    model(mixture).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_weights_of_the_recurrent_layers_are_shared():
    model = build()
    fast = model.for_inference()
    shared = {parameter.data_ptr() for parameter in fast.parameters()}
    own = {p.data_ptr() for n in model.networks.values() for p in n.lstm.parameters()}
    assert shared == own
    assert fast.for_inference() is fast
    assert (fast.registry_name, fast.window, fast.learned) == (
        model.registry_name,
        model.window,
        model.learned,
    )


@pytest.mark.parametrize("name", ["open-unmix", "crosstalk-unmix"])
@torch.inference_mode()
def test_in_bfloat16_it_is_close(name):
    model = build(name)
    mixture = 0.1 * torch.randn(2, 2, SAMPLES)
    expected = model(mixture)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model.for_inference()(mixture)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.03 * expected.norm()
