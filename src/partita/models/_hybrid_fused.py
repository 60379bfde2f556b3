"""Levels of the hybrid Demucs for inference on CPUs: fewer passes over memory, faster products.

Channels are the last axis, ``[batch, rows, columns, channels]``: rows are bins and columns frames;
in the time branch rows are steps, in one column. Then a convolution of kernel size 1 is a matrix
product, transposed convolutions become plain ones, and a block of rows passes a whole level while
it is in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._dconv import DConv, LayerScale
from partita.models._hybrid_layers import DecoderLayer, EncoderLayer
from partita.models._onednn import InPrecision, linear, precision_of

_BLOCK_NUMBERS = 1 << 20  # outputs of a level at a time: few calls, and caches hold them


class Convolution:
    """A convolution of ``[batch, rows, columns, channels]``.

    Parameters
    ----------
    weight : Tensor ``[outputs, channels, rows, columns]``
    bias : Tensor or None
    stride : int
        Over the rows.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: int = 1) -> None:
        self.kernel, self.kernel_along_row = (
            InPrecision(each.contiguous(memory_format=torch.channels_last))
            for each in (weight.detach(), weight.detach().mT)
        )
        self.bias = None if bias is None else InPrecision(bias)
        self.stride = stride
        self.matrix = InPrecision(weight.detach()[:, :, 0, 0])
        self.outputs, _, self.reach, self.width = weight.shape

    def __call__(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        """Convolve ``[batch, rows, columns, channels]``, padded along the columns only."""
        bias = None if self.bias is None else self.bias(x.dtype)
        if self.reach == self.width == self.stride == 1:
            return linear(x, self.matrix(x.dtype), bias, gelu=gelu)
        if x.shape[2] == 1 and self.stride > 1:
            made = self._along_row(x, bias)
        else:
            stride, padding = (self.stride, 1), (0, self.width // 2)
            x = x.permute(0, 3, 1, 2)
            made = functional.conv2d(x, self.kernel(x.dtype), bias, stride, padding)
            made = made.permute(0, 2, 3, 1)
        return torch.ops.aten.gelu_(made) if gelu else made

    def _along_row(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve one column as one row: oneDNN's strides are four times as fast along rows."""
        batch, rows, _, channels = x.shape
        strides = (x.stride(0), 1, rows * channels, channels)
        row = x.as_strided((batch, channels, 1, rows), strides)
        made = functional.conv2d(row, self.kernel_along_row(x.dtype), bias, (1, self.stride))
        return made.permute(0, 3, 2, 1)  # [B, rows, 1, O]


class Gated:
    """A convolution and a gated linear unit."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        parts = zip(weight.chunk(2), bias.chunk(2), strict=True)
        self.content, self.gate = (Convolution(*part) for part in parts)

    def __call__(self, x: Tensor) -> Tensor:
        """Map ``[batch, rows, columns, channels]``."""
        return self.content(x).mul_(self.gate(x).sigmoid_())


def _blocks(rows: int, numbers: int) -> Iterator[tuple[int, int]]:
    """Divide rows of so many numbers each into blocks that fit the cache."""
    some = max(1, _BLOCK_NUMBERS // max(1, numbers))
    for start in range(0, rows, some):
        yield start, min(rows, start + some)


def _rows(x: Tensor, start: int, stop: int) -> Tensor:
    """Return rows of ``[batch, rows, columns, channels]``, zeros outside."""
    count = x.shape[1]
    inside = x[:, max(0, start) : min(count, stop)]
    before, behind = max(0, -start), max(0, stop - count)
    return functional.pad(inside, (0, 0, 0, 0, before, behind)) if before or behind else inside


class FusedDConv:
    """A `DConv` of plain convolutions, in place.

    Its second normalisation needs no pass over memory: mean and deviation of a product follow from
    the matrix and from mean and covariance of the other factor.
    """

    def __init__(self, dconv: DConv) -> None:
        self.layers = [FusedBranch(cast("nn.Sequential", layer)) for layer in dconv.layers]

    def __call__(self, x: Tensor) -> None:
        """Add to ``[batch, steps, channels]`` in place."""
        for layer in self.layers:
            layer(x)


class FusedBranch:
    """A residual layer of a `DConv`."""

    def __init__(self, layer: nn.Sequential) -> None:
        narrow, norm, _, wide, wide_norm, _, scale = layer
        assert isinstance(narrow, nn.Conv1d)
        assert isinstance(norm, nn.GroupNorm)
        assert isinstance(wide, nn.Conv1d)
        assert isinstance(wide_norm, nn.GroupNorm)
        assert isinstance(scale, LayerScale)
        assert narrow.bias is not None
        assert wide.bias is not None
        self.dilation, self.width = narrow.dilation[0], narrow.out_channels
        taps = narrow.weight.detach().permute(2, 0, 1).flatten(0, 1)  # [3 width, C]
        self.taps, self.narrow_bias = InPrecision(taps), narrow.bias.detach()
        self.norm, self.eps = norm, wide_norm.eps
        matrix, bias = wide.weight.detach()[..., 0], wide.bias.detach()
        gain, shift = wide_norm.weight.detach(), wide_norm.bias.detach()
        self.matrix, self.bias, self.gram = matrix, bias, matrix.T @ matrix
        # The normalised product is (gain matrix) (h / s) + (gain bias) / s - gain (m / s) + shift.
        folded = torch.cat([matrix, bias[:, None], -torch.ones_like(bias)[:, None]], dim=1)
        folded = folded * gain[:, None]  # [2 C, width + 2]
        content, gate = folded.chunk(2)
        factor = scale.scale.detach()
        self.content, self.gate = InPrecision(content * factor[:, None]), InPrecision(gate)
        shift_content, shift_gate = shift.chunk(2)
        self.shift_content = InPrecision(shift_content * factor)
        self.shift_gate = InPrecision(shift_gate)

    def __call__(self, x: Tensor) -> None:
        """Add to ``[batch, steps, channels]`` in place."""
        hidden = self._normalised(x).to(x.dtype)
        dtype = x.dtype
        content, gate = self.content(dtype), self.gate(dtype)
        shift_content, shift_gate = self.shift_content(dtype), self.shift_gate(dtype)
        for start, stop in _blocks(x.shape[1], x.shape[0] * x.shape[2]):
            part = hidden[:, start:stop]
            gates = linear(part, gate, shift_gate).sigmoid_()
            x[:, start:stop].addcmul_(linear(part, content, shift_content), gates)

    def _hidden(self, x: Tensor) -> Tensor:
        """Return the output of the first convolution, ``[batch, steps, width]``."""
        width, away = self.width, self.dilation
        taps = linear(x, self.taps(x.dtype)).to(self.bias.dtype)
        hidden = taps[..., width : 2 * width] + self.narrow_bias
        hidden[:, away:] += taps[:, : max(0, x.shape[1] - away), :width]
        hidden[:, : max(0, x.shape[1] - away)] += taps[:, away:, 2 * width :]
        return hidden

    def _normalised(self, x: Tensor) -> Tensor:
        """Return the input of the second convolution with its folded normalisation."""
        hidden = self._hidden(x)
        batch, steps, width = hidden.shape
        flat = functional.layer_norm(hidden.flatten(1), [steps * width], eps=self.norm.eps)
        hidden = torch.addcmul(self.norm.bias, flat.view_as(hidden), self.norm.weight)
        hidden = torch.ops.aten.gelu_(hidden)
        mean_hidden = hidden.mean(dim=1, keepdim=True)  # [batch, 1, width]
        centred = hidden - mean_hidden
        spread = (centred.mT @ centred * self.gram).sum(dim=(1, 2)) / (steps * len(self.bias))
        means = torch.addmm(self.bias, mean_hidden[:, 0], self.matrix.T)  # [batch, 2 C]
        variance, mean = torch.var_mean(means, dim=1, correction=0)
        scale = (variance + spread + self.eps).rsqrt()[:, None, None]  # [batch, 1, 1]
        normalised: Tensor = hidden.new_empty(batch, steps, width + 2)
        torch.mul(hidden, scale, out=normalised[..., :width])
        normalised[..., width:] = torch.cat([scale, mean[:, None, None] * scale], dim=2)
        return normalised


class FusedEncoder(nn.Module):
    """An `EncoderLayer` without normalisation and without context."""

    def __init__(self, layer: EncoderLayer) -> None:
        super().__init__()
        self.shape = shape = layer.shape
        self.conv = Convolution(*_rows_first(layer.conv), shape.stride)
        self.rewrite = Gated(*_rows_first(layer.rewrite))
        self.dconv = None if layer.dconv is None else FusedDConv(layer.dconv)

    @torch.no_grad()
    def forward(self, x: Tensor, inject: Tensor | None = None) -> Tensor:
        """Go one level down; see `EncoderLayer.forward`."""
        assert inject is None
        shape = self.shape
        x = _channels_last(x, precision_of(x))
        missing = 0 if shape.over_frequency else -x.shape[1] % shape.stride
        count = (x.shape[1] + missing + 2 * shape.pad - shape.kernel) // shape.stride + 1
        out = x.new_empty(len(x), count, x.shape[2], self.conv.outputs)
        each = out[:, 0].numel()
        for start, stop in _blocks(count, each):
            first, last = start * shape.stride - shape.pad, (stop - 1) * shape.stride - shape.pad
            made = self.conv(_rows(x, first, last + shape.kernel), gelu=True)
            if shape.over_frequency:
                if self.dconv is not None:
                    self.dconv(made.flatten(0, 1))
                made = self.rewrite(made)
            out[:, start:stop] = made
        if not shape.over_frequency:
            if self.dconv is not None:
                self.dconv(out.flatten(1, 2))
            for start, stop in _blocks(count, each):
                out[:, start:stop] = self.rewrite(out[:, start:stop])
        return _channels_first(out, shape.over_frequency)


class FusedDecoder(nn.Module):
    """A `DecoderLayer` without normalisation."""

    def __init__(self, layer: DecoderLayer) -> None:
        super().__init__()
        self.shape, self.outermost = layer.shape, layer.outermost
        self.rewrite = Gated(*_rows_first(layer.rewrite))
        self.dconv = None if layer.dconv is None else FusedDConv(layer.dconv)
        weight, bias = _rows_first(layer.conv_tr)
        self.channels = weight.shape[1]
        # A row of the input and the one before give `stride` rows of the output.
        taps = torch.unflatten(weight[..., 0], 2, (2, -1)).flip(2)  # [C, O, 2, stride]
        taps = taps.permute(3, 1, 0, 2).flatten(0, 1).unsqueeze(-1)  # [stride O, C, 2, 1]
        self.conv = Convolution(taps, bias.repeat(self.shape.stride))

    @torch.no_grad()
    def forward(self, x: Tensor | None, skip: Tensor | None, length: int) -> tuple[Tensor, Tensor]:
        """Go one level up; see `DecoderLayer.forward`."""
        shape = self.shape
        first = skip if x is None else x
        assert first is not None
        dtype = precision_of(first)
        parts = [_channels_last(part, dtype) for part in (x, skip) if part is not None]
        before = self._before(parts)
        rows, columns = before.shape[1:3]
        out = before.new_empty(len(before), rows + 1, shape.stride, columns, self.channels)
        for start, stop in _blocks(rows + 1, out[:, 0].numel()):
            made = self.conv(_rows(before, start - 1, stop))  # [B, rows, columns, stride O]
            made = torch.unflatten(made, 3, (shape.stride, -1)).transpose(2, 3)
            out[:, start:stop] = made if self.outermost else functional.gelu(made)
        result = out.flatten(1, 2)
        if shape.over_frequency:
            result = result[:, shape.pad : result.shape[1] - shape.pad]
        else:
            result = result[:, shape.pad : shape.pad + length]
        result, before = (_channels_first(each, shape.over_frequency) for each in (result, before))
        return result, before

    def _before(self, parts: list[Tensor]) -> Tensor:
        """Return the input of the transposed convolution, ``[batch, rows, columns, channels]``."""
        rows, shape = parts[0].shape[1], self.shape
        edge = self.rewrite.content.reach // 2
        out = torch.empty_like(parts[0])
        for start, stop in _blocks(rows, out[:, 0].numel()):
            rows_in = [_rows(part, start - edge, stop + edge) for part in parts]
            made = self.rewrite(rows_in[0] + rows_in[1] if len(rows_in) == 2 else rows_in[0])
            if shape.over_frequency and self.dconv is not None:
                self.dconv(made.flatten(0, 1))
            out[:, start:stop] = made
        if not shape.over_frequency and self.dconv is not None:
            self.dconv(out.flatten(1, 2))
        return out


def _rows_first(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a convolution's weight ``[outputs, channels, rows, columns]`` and bias."""
    weight, bias = (conv.get_parameter(name).detach() for name in ("weight", "bias"))
    return (weight if weight.ndim == 4 else weight.unsqueeze(-1)), bias


def _channels_last(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Map ``[batch, channels, …]`` to ``[batch, rows, columns, channels]``."""
    if x.ndim == 3:
        x = x.unsqueeze(-1)
    return x.permute(0, 2, 3, 1).to(dtype).contiguous()


def _channels_first(x: Tensor, over_frequency: bool) -> Tensor:
    x = x.permute(0, 3, 1, 2)
    return x if over_frequency else x.squeeze(-1)


def fused_level(layer: nn.Module) -> nn.Module:
    """Return a level in its form for inference, or itself if it has none."""
    if not isinstance(layer, (EncoderLayer, DecoderLayer)):
        return layer
    shape, twice = layer.shape, 2 * layer.shape.stride
    is_usual = shape.kernel == twice and 4 * shape.pad == twice
    if shape.only_conv or shape.norm_groups or not is_usual:
        return layer
    if layer.dconv is not None and shape.dconv and (shape.dconv.attention or shape.dconv.lstm):
        return layer
    if isinstance(layer, DecoderLayer):
        return FusedDecoder(layer)
    return layer if shape.context else FusedEncoder(layer)
