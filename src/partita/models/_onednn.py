"""Matrix products and attention for inference on CPUs, by oneDNN where PyTorch was built with it.

PyTorch multiplies float32 matrices with MKL, which gives AMD's processors half of what their
vector units can do or less; oneDNN, which does PyTorch's convolutions, asks what a processor can.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_FEW_STEPS = 256  # with fewer, a head by itself is too little work
_BLOCK = 1 << 19  # scores at once: they stay in the cache


def _pointwise() -> Any:
    """Return oneDNN's product with a function behind it, None where it is not there."""
    if not torch._C._has_mkldnn:
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


_POINTWISE = _pointwise()
_HAS_BFLOAT16 = bool(_POINTWISE) and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def has_float32_products(x: Tensor) -> bool:
    """Tell whether products of `x` are oneDNN's, in float32."""
    return _product_type(x) == torch.float32


def linear_added(added: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `added` plus what `torch.nn.functional.linear` returns, in one pass.

    Only where `has_float32_products` says so.

    Parameters
    ----------
    added : Tensor ``[..., outputs]``
    x : Tensor ``[..., inputs]``
    weight : Tensor ``[outputs, inputs]``
    bias : Tensor ``[outputs]``, optional
    """
    total: Tensor = _POINTWISE.binary(x, added.contiguous(), weight, bias, "add")
    return total


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """Return what `torch.nn.functional.linear` returns, and GELU of it where asked for.

    Parameters
    ----------
    x : Tensor ``[..., inputs]``
    weight : Tensor ``[outputs, inputs]``
    bias : Tensor ``[outputs]``, optional
    gelu : bool
    """
    if (dtype := _product_type(x)) is not None:
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
        return _product(x, weight, bias, "gelu" if gelu else "none")
    product = functional.linear(x, weight, bias)
    return functional.gelu(product) if gelu else product


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: str = "none") -> Tensor:
    product: Tensor = _POINTWISE(x, weight, bias, then, [], "none")
    return product


def precision_of(x: Tensor) -> torch.dtype:
    """Return the precision of products of `x`: autocast's, if there is one."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _product_type(x: Tensor) -> torch.dtype | None:
    """Return the precision of oneDNN's products, None where it takes none: it has no gradients."""
    if _POINTWISE is None or x.device.type != "cpu" or torch.is_grad_enabled() or not x.numel():
        return None
    dtype = precision_of(x)
    is_taken = dtype == torch.float32 or (dtype == torch.bfloat16 and _HAS_BFLOAT16)
    return dtype if is_taken else None


def attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return what `torch.nn.functional.scaled_dot_product_attention` returns.

    Parameters
    ----------
    queries : Tensor ``[batch, heads, n, features]``
    keys : Tensor ``[batch, heads, m, features]``
    values : Tensor ``[batch, heads, m, width]``
    scale : float, optional
        Of the scores; None: one over the square root of `features`.
    dropout : float

    Returns
    -------
    Tensor ``[batch, heads, n, width]``
        In memory the heads of a step stand together.
    """
    dtype = _product_type(queries)
    if dtype is None or dropout or keys.shape[2] < _FEW_STEPS:
        return functional.scaled_dot_product_attention(
            queries, keys, values, dropout_p=dropout, scale=scale
        )
    scale = queries.shape[-1] ** -0.5 if scale is None else scale
    queries, keys, values = (x.to(dtype) for x in (queries, keys, values))
    batch, heads, steps, _ = queries.shape
    found = queries.new_empty(batch, steps, heads, values.shape[-1]).transpose(1, 2)
    rows = max(1, _BLOCK // keys.shape[2])
    for each, head in itertools.product(range(batch), range(heads)):
        asked = torch.split(queries[each, head] * scale, rows)
        seen, content = keys[each, head].contiguous(), values[each, head].contiguous().mT
        for some, part in zip(asked, torch.split(found[each, head], rows), strict=True):
            weights = torch.softmax(_product(some, seen), dim=-1)  # [rows, m]
            part.copy_(_product(weights, content))
    return found


class InPrecision:
    """A tensor in any precision; each is made once.

    Parameters
    ----------
    tensor : Tensor
    """

    def __init__(self, tensor: Tensor) -> None:
        self._own = tensor.detach()
        self._made: dict[torch.dtype, Tensor] = {}

    def __call__(self, dtype: torch.dtype) -> Tensor:
        """Return it in that precision."""
        if dtype == self._own.dtype:
            return self._own
        if dtype not in self._made:
            self._made[dtype] = self._own.to(dtype)
        return self._made[dtype]


class Linear(nn.Linear):
    """A dense layer; without gradients, on CPUs, its products are oneDNN's."""

    def forward(self, input: Tensor) -> Tensor:
        """Map ``[..., inputs]`` to ``[..., outputs]``."""
        return linear(input, self.weight, self.bias)
