"""Convolutions of exported networks in forms that ONNX Runtime computes faster."""

import io
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from partita.weights.exported.convolutions import fast_convolutions
from partita.weights.exported.session import new_session

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore")  # of PyTorch's exporter


class Growing(nn.Module):
    """A transposed convolution, cropped to twice the size."""

    def __init__(self, channels, kernel, cut, activation):
        super().__init__()
        self.conv = nn.ConvTranspose2d(3, channels, kernel, stride=2)
        self.cut, self.activation = cut, activation

    def forward(self, x):
        begin, end = self.cut
        grown = self.conv(x)[..., begin : -end or None, begin : -end or None]
        return torch.relu(grown) + 1 if self.activation else grown


class Padded(nn.Module):
    """A convolution behind zeros, or behind something else."""

    def __init__(self, value):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5, stride=2, padding=1)
        self.value = value

    def forward(self, x):
        return self.conv(torch.constant_pad_nd(x, (1, 2, 0, 3), self.value))


def graph_of(module):
    file = io.BytesIO()
    axes = {"x": {2: "rows", 3: "columns"}}
    module.eval().requires_grad_(False)
    torch.onnx.export(
        module,
        torch.randn(1, 3, 6, 8),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        dynamic_axes=axes,
    )
    return file.getvalue()


def operators(graph):
    return Counter(node.op_type for node in onnx.load_from_string(graph).graph.node)


def assert_equal(module, before, after):
    x = torch.randn(2, 3, 7, 10)[:1]
    for graph in (before, after):
        (found,) = new_session(graph).run(None, {"x": x.numpy()})
        np.testing.assert_allclose(found, module(x).numpy(), atol=1e-5)


@pytest.mark.parametrize("activation", [False, True])
@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize(("kernel", "cut"), [(5, (1, 2)), (5, (2, 1)), (4, (1, 1)), (3, (0, 1))])
def test_transposed_convolutions(kernel, cut, channels, activation):
    torch.manual_seed(0)
    module = Growing(channels, kernel, cut, activation)
    before = graph_of(module)
    after = fast_convolutions(before)
    found = operators(after)
    assert "Slice" in operators(before)
    assert "Slice" not in found
    assert found["Conv"] == (4 if channels == 16 else 0)
    assert found["ConvTranspose"] == (0 if channels == 16 else 1)
    assert_equal(module, before, after)


@pytest.mark.parametrize(("kernel", "cut"), [(5, (1, 1)), (2, (0, 0)), (5, (0, 0))])
def test_other_transposed_convolutions_stay(kernel, cut):
    torch.manual_seed(0)
    module = Growing(16, kernel, cut, activation=True)
    before = graph_of(module)
    after = fast_convolutions(before)
    assert operators(after)["ConvTranspose"] == 1
    assert_equal(module, before, after)


@pytest.mark.parametrize(("value", "pads"), [(0.0, 0), (0.5, 1)])
def test_zeros_around_images(value, pads):
    torch.manual_seed(0)
    module = Padded(value)
    before = graph_of(module)
    after = fast_convolutions(before)
    assert operators(before)["Pad"] == 1
    assert operators(after)["Pad"] == pads
    assert_equal(module, before, after)
