"""Demucs for inference on CPUs: every convolution is a matrix product, computed in blocks.

Time is the first axis, ``[steps, channels]``. Then the input of one output step is contiguous in
memory, for strided and for transposed convolutions, and a block of steps passes a whole level while
it is in the cache: signals are read and written once a level, by PyTorch's layers a dozen times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._demucs_blocks import DemucsConfig, Down, Recurrence, Up
from partita.models._demucs_signal import separate_with
from partita.models._lstm import Lstm, WideLstm
from partita.models._protocol import SeparationModel
from partita.models._shared_weights import with_shared_weights

_BLOCK_NUMBERS = 1 << 18  # outputs of a level at a time: 1 MB, which caches hold


class Product(nn.Module):
    """A convolution as a matrix product: ``[steps, channels]`` to ``[steps, outputs]``.

    Parameters
    ----------
    matrix : Tensor ``[reach * channels, outputs]``
    bias : Tensor ``[outputs]``
    reach, stride : int
        Kernel size and stride.
    """

    matrix: Tensor
    bias: Tensor

    def __init__(self, matrix: Tensor, bias: Tensor, reach: int, stride: int = 1) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix.detach().contiguous(), persistent=False)
        self.register_buffer("bias", bias.detach(), persistent=False)
        self.reach, self.stride = reach, stride

    @classmethod
    def of_convolution(cls, weight: Tensor, bias: Tensor, stride: int = 1) -> Product:
        """Build it from a weight ``[outputs, channels, reach]``."""
        return cls(weight.permute(2, 1, 0).flatten(0, 1), bias, weight.shape[-1], stride)

    @classmethod
    def of_transposed(cls, weight: Tensor, bias: Tensor, stride: int) -> Product:
        """Build it from the weight ``[channels, outputs, kernel]`` of a transposed convolution.

        A row of its output is `stride` steps, which depend on the last `reach` steps of its input.
        """
        reach = math.ceil(weight.shape[-1] / stride)
        padded = functional.pad(weight, (0, reach * stride - weight.shape[-1]))
        taps = padded.reshape(*weight.shape[:2], reach, stride).flip(2)  # the latest step first
        matrix = taps.permute(2, 0, 3, 1).reshape(reach * weight.shape[0], -1)  # [R C, s O]
        return cls(matrix, bias.repeat(stride), reach)

    def to_dtype(self, dtype: torch.dtype) -> Product:
        """Return it in another precision."""
        if self.matrix.dtype == dtype:
            return self
        return Product(self.matrix.to(dtype), self.bias.to(dtype), self.reach, self.stride)

    def places(self, steps: int) -> int:
        """Return how many outputs a signal has."""
        return (steps - self.reach) // self.stride + 1

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[steps, channels]`` to ``[places, outputs]``."""
        channels = x.shape[1]
        seen = x.as_strided(
            (self.places(x.shape[0]), self.reach * channels), (self.stride * channels, 1)
        )
        return torch.addmm(self.bias, seen, self.matrix)

    def numbers(self) -> int:
        """Return how many numbers the input and the output of one step are."""
        return sum(self.matrix.shape)


def _blocks(count: int, products: Iterable[Product]) -> Iterable[tuple[int, int]]:
    """Divide a number of rows into blocks that fit the cache."""
    rows = max(256, _BLOCK_NUMBERS // sum(product.numbers() for product in products))
    return pairwise([*range(0, count, rows), count])


class FusedDown(nn.Module):
    """A level of the encoder."""

    def __init__(self, down: Down) -> None:
        super().__init__()
        self.glu = down.glu
        products = [_product(down.conv)]
        if down.rewrite is not None:
            products.append(_product(down.rewrite))
        self.products = nn.ModuleList(products)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, channels_in]`` to ``[about n / stride, channels_out]``."""
        products = _in_precision(self.products, x.dtype)
        conv, *rewrite = products
        count = conv.places(x.shape[0])
        out: Tensor | None = None
        for start, stop in _blocks(count, products):
            seen = x[start * conv.stride : (stop - 1) * conv.stride + conv.reach]
            hidden = conv(seen).relu_()
            for product in rewrite:
                hidden = _gated(product(hidden), self.glu)
            if out is None:
                out = hidden.new_empty(count, hidden.shape[1])
            out[start:stop] = hidden
        assert out is not None
        return out


class FusedUp(nn.Module):
    """A level of one decoder."""

    def __init__(self, up: Up, decoder: int) -> None:
        super().__init__()
        self.glu, self.outermost = up.glu, up.outermost
        products = [_product(up.conv, up.decoders, decoder)]
        if up.rewrite is not None:
            products.append(_product(up.rewrite, up.decoders, decoder))
        self.products = nn.ModuleList(products)
        self.stride, self.kernel = up.conv.stride[0], up.conv.kernel_size[0]

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map ``[n, channels_in]``, with a skip as long or longer, to ``[about stride n, out]``."""
        products = _in_precision(self.products, x.dtype)
        conv, *rewrite = products
        skip = skip[(skip.shape[0] - x.shape[0]) // 2 :]
        count = rewrite[0].places(x.shape[0]) if rewrite else x.shape[0]
        reach = rewrite[0].reach if rewrite else 1
        rows = count + conv.reach - 1
        out = x.new_empty(rows, conv.matrix.shape[1])  # [rows, stride * channels_out]
        for start, stop in _blocks(rows, products):
            # A row depends on itself and on the rows before it; at the ends those are zeros.
            first, last = max(0, start - conv.reach + 1), min(stop, count)
            hidden = x[first : last + reach - 1] + skip[first : last + reach - 1]
            for product in rewrite:
                hidden = _gated(product(hidden), self.glu)
            before, behind = first - (start - conv.reach + 1), stop - last
            if before or behind:
                hidden = functional.pad(hidden, (0, 0, before, behind))
            made = conv(hidden)
            out[start:stop] = made if self.outermost else made.relu_()
        steps = (count - 1) * self.stride + self.kernel
        return out.view(rows * self.stride, -1)[:steps]


class FusedDemucs(SeparationModel):
    """A Demucs in evaluation mode; estimates agree to rounding.

    The LSTM processes all examples of a batch at once, because it reads all of its weights at every
    step; everything else goes example by example.

    Parameters
    ----------
    registry_name : str
        Of the model that this one stands for.
    config : DemucsConfig
    encoder, recurrence, decoder
        The model's parts.
    """

    config: DemucsConfig
    cpu_batch: ClassVar[int] = 4

    def __init__(
        self,
        registry_name: str,
        config: DemucsConfig,
        encoder: nn.ModuleList,
        recurrence: Recurrence | None,
        decoder: nn.ModuleList,
    ) -> None:
        super().__init__(config)
        self.registry_name = registry_name  # type: ignore[misc]
        self.window = config.window
        self.encoder = nn.ModuleList(map(FusedDown, cast("Iterable[Down]", encoder)))
        self.recurrence = None if recurrence is None else _recurrence(recurrence)
        ups = cast("Sequence[Up]", decoder)
        self.decoders = nn.ModuleList(
            nn.ModuleList(FusedUp(up, index) for up in ups) for index in range(ups[0].decoders)
        )
        self.eval()

    @torch.no_grad()
    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        return separate_with(self.network, self.config, mixture)

    def network(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, n]`` to ``[batch, sources * channels, n or fewer]``."""
        device = x.device.type
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        examples = list(x.mT.contiguous())  # [n, C] each
        skips = []
        for down in self.encoder:
            examples = [down(example) for example in examples]
            skips.append(examples)
        if self.recurrence is not None:
            bottom = torch.stack(examples, dim=1)  # [N, B, C]
            bottom = self.recurrence(bottom.permute(1, 2, 0))  # [B, C, N]
            examples = list(bottom.mT.contiguous())
        decoded = [
            self._decode(example, [level[index] for level in reversed(skips)])
            for index, example in enumerate(examples)
        ]
        return torch.stack(decoded)

    def _decode(self, bottom: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Map ``[N, channels]`` and skips, innermost first, to ``[sources * channels, n]``."""
        outputs = []
        for decoder in self.decoders:
            x = bottom
            for up, skip in zip(cast("nn.ModuleList", decoder), skips, strict=True):
                x = up(x, skip)
            outputs.append(x.mT)
        return torch.cat(outputs)


def _recurrence(recurrence: Recurrence) -> Recurrence:
    """Return a copy, which has a mode (training or evaluation) of its own."""
    copy = with_shared_weights(recurrence)
    if isinstance(copy.lstm, Lstm) and copy.lstm.hidden_size >= WideLstm.MIN_FEATURES:
        copy.lstm = WideLstm(copy.lstm)
    return copy


def _product(layer: nn.Conv1d | nn.ConvTranspose1d, groups: int = 1, group: int = 0) -> Product:
    """Return one group of a convolution as a product."""
    assert layer.bias is not None
    weight, bias = (tensor.chunk(groups)[group] for tensor in (layer.weight, layer.bias))
    if isinstance(layer, nn.ConvTranspose1d):
        return Product.of_transposed(weight, bias, layer.stride[0])
    return Product.of_convolution(weight, bias, layer.stride[0])


def _in_precision(products: nn.ModuleList, dtype: torch.dtype) -> list[Product]:
    return [cast("Product", product).to_dtype(dtype) for product in products]


def _gated(x: Tensor, glu: bool) -> Tensor:
    """Apply GLU, which halves the channels, or ReLU to ``[n, channels]``."""
    return functional.glu(x, dim=1) if glu else x.relu_()
