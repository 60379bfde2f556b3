"""Normalisation over all processes; what several of them make is in e2e/test_train_processes.py."""

import copy

import pytest
import torch
import torch.distributed
from torch import nn

from partita.models import create_model
from partita.training.sync_batchnorm import sync_batchnorms


@pytest.fixture
def alone(tmp_path):
    """A group of one process."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d(3), (5, 3)),
        (nn.BatchNorm1d(3, momentum=None), (4, 3, 7)),
        (nn.BatchNorm2d(3, eps=1e-3, momentum=0.01), (2, 3, 4, 6)),
    ],
)
def test_as_one_process_has_it(alone, norm, shape):
    torch.manual_seed(0)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    pair = [nn.Sequential(copy.deepcopy(norm)) for _ in range(2)]
    sync_batchnorms(pair[1])
    assert type(pair[1][0]) is not type(norm)
    for _ in range(3):
        x = 2 * torch.randn(shape) + 1
        inputs = [x.clone().requires_grad_() for _ in pair]
        outputs = [each(i) for each, i in zip(pair, inputs, strict=True)]
        assert torch.allclose(*outputs, atol=1e-5)
        weights = torch.randn(shape)
        for output in outputs:
            (output * weights).sum().backward()
        assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-5)
    for first, second in zip(*(each.parameters() for each in pair), strict=True):
        assert torch.allclose(first.grad, second.grad, atol=1e-4)
    states = [each.state_dict() for each in pair]
    assert list(states[0]) == list(states[1])
    for key, value in states[0].items():
        assert torch.allclose(value, states[1][key], atol=1e-6), key
        assert value.dtype == states[1][key].dtype
    x = torch.randn(shape)
    outputs = [each.eval()(x) for each in pair]
    assert torch.allclose(*outputs, atol=1e-6)


def test_half_precision_comes_back_as_it_was(alone):
    module = nn.Sequential(nn.BatchNorm1d(3))
    sync_batchnorms(module)
    assert module(torch.randn(5, 3).bfloat16()).dtype == torch.bfloat16


def test_parameters_stay_the_same_objects():
    sizes = {"bins": 128, "fft_samples": 256, "hop_samples": 64, "widths": [2, 4]}
    model = create_model("unet", sizes)
    before = dict(model.named_parameters())
    names = list(model.state_dict())
    sync_batchnorms(model)
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert list(model.state_dict()) == names
    assert not any(isinstance(each, nn.BatchNorm2d) for each in model.modules())
