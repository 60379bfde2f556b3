"""Products and attention by oneDNN are PyTorch's own."""

import pytest
import torch
from torch.nn import functional

from partita.models import _onednn
from partita.models._onednn import FewRows, Linear, attention, linear


@pytest.fixture(params=["onednn", "without"])
def either(request, monkeypatch):
    if request.param == "without":
        monkeypatch.setattr(_onednn, "_POINTWISE", None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 3, 5), (40, 64, 33)])
@torch.inference_mode()
def test_linear(either, shape, dtype):
    rows, inputs, outputs = shape
    torch.manual_seed(0)
    x, weight = torch.randn(2, rows, inputs, dtype=dtype), torch.randn(outputs, inputs, dtype=dtype)
    bias = torch.randn(outputs, dtype=dtype)
    tolerance = 3e-2 if dtype == torch.bfloat16 else 1e-5
    for seen in (x, x.mT.contiguous().mT, torch.cat([x, x], dim=-1)[..., :inputs]):
        expected = functional.linear(seen, weight, bias)
        torch.testing.assert_close(
            linear(seen, weight, bias), expected, rtol=tolerance, atol=tolerance
        )
        found = linear(seen, weight, bias, gelu=True)
        torch.testing.assert_close(found, functional.gelu(expected), rtol=tolerance, atol=tolerance)
    if dtype != torch.bfloat16:
        torch.testing.assert_close(
            linear(x, weight), functional.linear(x, weight), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 4])
@torch.inference_mode()
def test_products_of_few_rows(monkeypatch, rows, packed):
    if not packed:
        monkeypatch.setattr(_onednn, "_PACKED", None)
    torch.manual_seed(rows)
    x, weight, total = torch.randn(rows, 33), torch.randn(70, 33), torch.randn(rows, 70)
    expected = torch.addmm(total, x, weight.T)
    FewRows(weight, rows).add(x, total)
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("block", [1, 100, 1 << 19])
@torch.inference_mode()
def test_attention(either, block, monkeypatch):
    monkeypatch.setattr(_onednn, "_BLOCK_SCORES", block)
    monkeypatch.setattr(_onednn, "_MIN_STEPS", 1)
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 3, 17, 8), torch.randn(2, 3, 11, 8)
    values = torch.randn(2, 11, 3, 8).transpose(1, 2)
    for scale in (None, 0.7):
        expected = functional.scaled_dot_product_attention(queries, keys, values, scale=scale)
        found = attention(queries, keys, values, scale=scale)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_gradients_are_pytorchs():
    layer = Linear(3, 2)
    x = torch.randn(4, 3, requires_grad=True)
    layer(x).sum().backward()
    assert torch.equal(x.grad, layer.weight.detach().sum(dim=0).expand(4, 3))
    assert attention(*[x[None, None]] * 3).requires_grad


@torch.no_grad()
def test_autocast_gives_its_precision():
    layer = Linear(3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(4, 3)).dtype == torch.bfloat16
        assert attention(*[torch.randn(1, 1, 300, 3)] * 3).dtype == torch.bfloat16
