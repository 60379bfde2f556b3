"""Replacements of operators that PyTorch's tracing ONNX exporter lacks or gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: PyTorch's gates are input, forget, cell, output; those of ONNX input, output, forget, cell.
_GATES = (0, 3, 1, 2)
_VARIABLES = 4  # of a layer and direction: weights and biases of inputs and of states


def _apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    found: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return found


class ExportableOperators(TorchFunctionMode):
    """Replaces operators within its block."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        name = getattr(func, "__name__", "")
        if name == "__get__":  # an attribute
            name = func.__self__.__name__  # type: ignore[attr-defined]
        replaced = _REPLACED.get(name, func)
        return replaced(*args, **(kwargs or {}))


class _Complex:
    """A complex tensor as real numbers ``[..., 2]``."""

    def __init__(self, parts: Tensor) -> None:
        self.parts = parts

    @classmethod
    def __torch_function__(cls, func: Callable[..., Any], *_: Any, **__: Any) -> Any:
        raise TypeError(f"{func.__name__} of complex numbers cannot be exported")

    @property
    def real(self) -> Tensor:
        return self.parts[..., 0]

    @property
    def imag(self) -> Tensor:
        return self.parts[..., 1]


class _Dft(torch.autograd.Function):
    """The operator DFT: ``[..., 1 or 2]`` along an axis, without normalisation."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor, axis: int, inverse: bool) -> Tensor:
        if inverse:
            whole = torch.fft.ifft(torch.view_as_complex(x.contiguous()), dim=axis)
            return torch.view_as_real(whole)
        return torch.view_as_real(torch.fft.rfft(x[..., 0], dim=axis))

    @staticmethod
    def symbolic(g: Any, x: Any, axis: int, inverse: bool) -> Any:
        return g.op("DFT", x, axis_i=axis, inverse_i=int(inverse), onesided_i=int(not inverse))


class _LstmLayer(torch.autograd.Function):
    """The operator LSTM: ``[steps, rows, inputs]`` to ``[steps, directions, rows, hidden]``."""

    @staticmethod
    def forward(
        _ctx: Any, x: Tensor, inputs: Tensor, states: Tensor, biases: Tensor, sizes: tuple[int, int]
    ) -> Tensor:
        directions, hidden = sizes
        flat = [
            part[_torch_order(hidden)]
            for n in range(directions)
            for part in (inputs[n], states[n], *biases[n].chunk(2))
        ]
        start = x.new_zeros(directions, x.shape[1], hidden)
        found: Tensor = torch._VF.lstm(
            x, (start, start), flat, True, 1, 0.0, False, directions == 2, False
        )[0]
        apart: Tensor = torch.unflatten(found, 2, (directions, hidden)).movedim(2, 1)
        return apart

    @staticmethod
    def symbolic(
        g: Any, x: Any, inputs: Any, states: Any, biases: Any, sizes: tuple[int, int]
    ) -> Any:
        directions, hidden = sizes
        direction = "bidirectional" if directions == 2 else "forward"
        return g.op(
            "LSTM",
            x,
            inputs,
            states,
            biases,
            hidden_size_i=hidden,
            direction_s=direction,
            outputs=3,
        )[0]


def _torch_order(hidden: int) -> Tensor:
    """Return the rows of ONNX's gates in PyTorch's order."""
    rows = torch.arange(4 * hidden).reshape(4, hidden)
    return torch.cat([rows[_GATES.index(gate)] for gate in range(4)])


def _onnx_gates(x: Tensor) -> Tensor:
    """Order the gates of ``[4 hidden, ...]`` as ONNX has them."""
    gates = x.chunk(4)
    return torch.cat([gates[gate] for gate in _GATES])


def _lstm(
    x: Tensor,
    _start: Any,
    weights: Sequence[Tensor],
    has_biases: bool,
    layers: int,
    _dropout: float,
    _train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, None, None]:
    if not has_biases:
        raise TypeError("an LSTM without biases cannot be exported")
    directions = 2 if bidirectional else 1
    steps = x.transpose(0, 1) if batch_first else x
    for layer in range(layers):
        first = layer * directions * _VARIABLES
        own = [
            weights[first + n * _VARIABLES : first + (n + 1) * _VARIABLES]
            for n in range(directions)
        ]
        inputs, states = (torch.stack([_onnx_gates(each[n]) for each in own]) for n in (0, 1))
        biases = torch.stack([torch.cat([_onnx_gates(each[n]) for n in (2, 3)]) for each in own])
        sizes = directions, int(own[0][1].shape[1])
        made: Tensor = _apply(_LstmLayer, steps, inputs, states, biases, sizes)
        steps = made.permute(0, 2, 1, 3).flatten(2)
    return (steps.transpose(0, 1) if batch_first else steps), None, None


def _transposed(x: Tensor) -> Tensor:
    axes = list(range(x.ndim))
    axes[-2:] = axes[-1], axes[-2]
    return x.permute(axes)


def _unfolded(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    axis = dimension % x.ndim
    count = (x.shape[axis] - size) // step + 1
    places = torch.arange(count)[:, None] * step + torch.arange(size)  # [count, size]
    frames = _unflattened(x.index_select(axis, places.flatten()), axis, (count, size))
    axes = list(range(frames.ndim))
    axes.append(axes.pop(axis + 1))
    return frames.permute(axes)


def _split(x: Tensor, sizes: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Split into parts of given sizes; pieces of one size are for memory and may be one piece."""
    if not isinstance(sizes, list | tuple):
        return (x,)
    parts: tuple[Tensor, ...] = torch.split_with_sizes(x, list(sizes), dim)
    return parts


def _eye(count: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    places = torch.arange(count, device=device)
    return (places[:, None] == places).to(dtype)


def _group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise; means are taken axis by axis, because ONNX Runtime sums float32 one by one."""
    apart = _unflattened(x, 1, (groups, -1))  # [B, groups, channels, ...]
    axes = list(range(2, apart.ndim))
    centred = apart - _mean(apart, axes)
    normalised = (centred * torch.rsqrt(_mean(centred * centred, axes) + eps)).reshape(x.shape)
    shape = [-1, *[1] * (x.ndim - 2)]
    if weight is not None:
        normalised = normalised * weight.reshape(shape)
    return normalised if bias is None else normalised + bias.reshape(shape)


def _softmax(x: Tensor, dim: int, *_: Any, **__: Any) -> Tensor:
    """Take it step by step along axes that are not the last: ONNX Runtime would transpose twice."""
    if dim % x.ndim == x.ndim - 1:
        return x.softmax(dim)
    exponentials = (x - x.amax(dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _mean(x: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in reversed(axes):
        x = x.mean(dim=axis, keepdim=True)
    return x


def _unflattened(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    axis = dim % x.ndim
    return x.reshape([*x.shape[:axis], *sizes, *x.shape[axis + 1 :]])


def _rfft(x: Tensor, n: None = None, dim: int = -1, norm: str = "ortho") -> _Complex:
    axis = _orthonormal(x, n, dim, norm)
    spectrum = _apply(_Dft, x.unsqueeze(-1), axis, False)
    return _Complex(spectrum / _root(x.shape[axis]))


def _irfft(x: _Complex, n: None = None, dim: int = -1, norm: str = "ortho") -> Tensor:
    axis = _orthonormal(x.parts[..., 0], n, dim, norm)
    bins = x.parts.shape[axis]
    # The other half of the spectrum of an even length: reversed and conjugate.
    others = x.parts.narrow(axis, 1, bins - 2).flip(axis) * torch.tensor([1.0, -1.0])
    whole = torch.cat([x.parts, others], dim=axis)
    return _apply(_Dft, whole, axis, True)[..., 0] * _root(whole.shape[axis])


def _orthonormal(x: Tensor, n: None, dim: int, norm: str) -> int:
    if n is not None or norm != "ortho":
        raise TypeError("only orthonormal Fourier transforms of whole axes can be exported")
    return dim % x.ndim


def _root(length: Any) -> Tensor:
    return torch.as_tensor(length).float().sqrt()


def _complex(real: Tensor, imaginary: Tensor) -> _Complex:
    return _Complex(torch.stack([real, imaginary], dim=-1))


_REPLACED: dict[str, Callable[..., Any]] = {
    "mT": _transposed,
    "lstm": _lstm,
    "unfold": _unfolded,
    "split": _split,
    "eye": _eye,
    "group_norm": _group_norm,
    "softmax": _softmax,
    "unflatten": _unflattened,
    "fft_rfft": _rfft,
    "fft_irfft": _irfft,
    "complex": _complex,
}
