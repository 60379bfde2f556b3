"""Matrix products and attention for inference on CPUs, with oneDNN if PyTorch was built with it.

PyTorch multiplies float32 matrices with MKL, which uses half of the vector units of AMD processors
or less. oneDNN, which PyTorch uses for convolutions, detects what a processor supports.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_MIN_STEPS = 256  # with fewer, single heads are too little work per call
_BLOCK_SCORES = 1 << 19  # attention scores at a time: they fit the cache


def _pointwise() -> Any:
    """Return oneDNN's linear layer with fused activation; None: not available."""
    if not torch._C._has_mkldnn:
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


_POINTWISE = _pointwise()
_PACKED: Any = getattr(torch.ops.mkl, "_mkl_linear", None) if torch._C.has_mkl else None
_HAS_BFLOAT16 = bool(_POINTWISE) and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def has_float32_products(x: Tensor) -> bool:
    """Return whether `linear` multiplies `x` with oneDNN in float32."""
    return _product_type(x) == torch.float32


def linear_added(added: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `added` plus `torch.nn.functional.linear`, in one pass.

    Only if `has_float32_products`.

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
    """Do the same as `torch.nn.functional.linear`, optionally with a GELU behind it.

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


class FewRows:
    """Products of few rows with a matrix that no cache holds, at the rate at which it is read.

    For one row it is a matrix times a vector, for several MKL's product with a copy of the matrix
    that is packed for just so many: other products take two to three times as long.

    Parameters
    ----------
    weight : Tensor ``[outputs, inputs]``
    rows : int
    """

    def __init__(self, weight: Tensor, rows: int) -> None:
        self._weight, self._rows = weight, rows
        self._packed: Tensor | None = None
        if rows > 1 and _PACKED is not None:
            self._packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)

    def add(self, x: Tensor, total: Tensor) -> None:
        """Add the product to `total` in place; without gradients, in float32, on a CPU.

        Parameters
        ----------
        x : Tensor ``[rows, inputs]``
        total : Tensor ``[rows, outputs]``
        """
        weight = self._weight
        if self._packed is not None:
            total += _PACKED(x, self._packed, weight, None, self._rows)
        elif self._rows == 1:
            torch.addmv(total[0], weight, x[0], out=total[0])
        else:
            torch.addmm(total, x, weight.T, out=total)


def precision_of(x: Tensor) -> torch.dtype:
    """Return the precision of matrix products of `x`: autocast's if it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _product_type(x: Tensor) -> torch.dtype | None:
    """Return the precision of oneDNN's products; None: not usable, for example for gradients."""
    if _POINTWISE is None or x.device.type != "cpu" or torch.is_grad_enabled() or not x.numel():
        return None
    dtype = precision_of(x)
    is_supported = dtype == torch.float32 or (dtype == torch.bfloat16 and _HAS_BFLOAT16)
    return dtype if is_supported else None


def attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Do the same as `torch.nn.functional.scaled_dot_product_attention`.

    Parameters
    ----------
    queries : Tensor ``[batch, heads, n, features]``
    keys : Tensor ``[batch, heads, m, features]``
    values : Tensor ``[batch, heads, m, width]``
    scale : float, optional
        Factor of the scores; None: one over the square root of `features`.
    dropout : float

    Returns
    -------
    Tensor ``[batch, heads, n, width]``
        In memory the heads of a step are contiguous.
    """
    dtype = _product_type(queries)
    if dtype is None or dropout or keys.shape[2] < _MIN_STEPS:
        return functional.scaled_dot_product_attention(
            queries, keys, values, dropout_p=dropout, scale=scale
        )
    scale = queries.shape[-1] ** -0.5 if scale is None else scale
    queries, keys, values = (x.to(dtype) for x in (queries, keys, values))
    batch, heads, steps, _ = queries.shape
    result = queries.new_empty(batch, steps, heads, values.shape[-1]).transpose(1, 2)
    rows = max(1, _BLOCK_SCORES // keys.shape[2])
    for each, head in itertools.product(range(batch), range(heads)):
        blocks = torch.split(queries[each, head] * scale, rows)
        head_keys, content = keys[each, head].contiguous(), values[each, head].contiguous().mT
        for block, part in zip(blocks, torch.split(result[each, head], rows), strict=True):
            weights = torch.softmax(_product(block, head_keys), dim=-1)  # [rows, m]
            part.copy_(_product(weights, content))
    return result


class InPrecision:
    """A tensor in any precision; conversions are cached.

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
    """A dense layer that uses oneDNN for inference on CPUs."""

    def forward(self, input: Tensor) -> Tensor:
        """Map ``[..., inputs]`` to ``[..., outputs]``."""
        return linear(input, self.weight, self.bias)
