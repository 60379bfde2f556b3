"""SCNet's bottleneck: dual-path LSTMs on features and on their Fourier transforms along time.

For inference on CPUs features are the last axis, an LSTM processes some rows at a time, whose gates
fit the cache, and its output is written once, in the layout of the next step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from partita.models._lstm import Lstm
from partita.models._onednn import Linear, has_float32_products, linear_added

#: An LSTM processes so many numbers at a time, and at least so many rows, which its matrix products
#: need to be fast.
_CACHED_NUMBERS, _MIN_ROWS = 1_300_000, 32


class DualPath(nn.Module):
    """An LSTM along frequency, then one along time, with residual connections."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.lstm_layers = nn.ModuleList(
            Lstm(channels, hidden, bidirectional=True) for _ in range(2)
        )
        self.linear_layers = nn.ModuleList(Linear(2 * hidden, channels) for _ in range(2))
        self.norm_layers = nn.ModuleList(nn.GroupNorm(1, channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, bins, frames]`` to the same shape."""
        x = x + self._along(0, x.mT).mT
        return x + self._along(1, x)

    def _along(self, which: int, x: Tensor) -> Tensor:
        """Run an LSTM along the last axis of ``[batch, channels, rows, steps]``."""
        batch, _, rows, _ = x.shape
        steps = self.norm_layers[which](x).permute(3, 0, 2, 1).flatten(1, 2)  # [T, B R, C]
        some = rows * batch
        if not torch.is_grad_enabled() and x.device.type == "cpu":  # in half precision
            some = _rows_at_once(steps)
        parts = [
            self.linear_layers[which](self.lstm_layers[which](part.contiguous())[0])
            for part in steps.split(some, dim=1)
        ]
        added = torch.cat(parts, dim=1)
        return torch.unflatten(added, 1, (batch, rows)).permute(1, 3, 2, 0)

    def infer(self, x: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Do the same as `forward` for ``[bins, frames, channels]``, some bins at a time.

        Yields
        ------
        slice
            The bins.
        Tensor ``[frames, these bins, channels]``
        """
        by_frame = x.new_empty(x.shape[1], x.shape[0], x.shape[2])
        for frames, part in self._rows_along(0, x):
            by_frame[frames] = part.transpose(0, 1)
        yield from self._rows_along(1, by_frame)

    def _rows_along(self, which: int, x: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield ``[steps, rows, channels]`` plus an LSTM's output, some rows at a time."""
        lstm, linear, norm = (
            layers[which] for layers in (self.lstm_layers, self.linear_layers, self.norm_layers)
        )
        assert isinstance(lstm, Lstm)
        assert isinstance(linear, Linear)
        halves = [half.contiguous() for half in linear.weight.chunk(2, dim=1)]
        normalised = norm(x.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
        rows, some = x.shape[1], _rows_at_once(x)
        for start in range(0, rows, some):
            part = slice(start, min(start + some, rows))
            forwards, backwards = lstm.directions(normalised[:, part])
            total = linear_added(x[:, part], forwards, halves[0], linear.bias)
            yield part, linear_added(total, backwards, halves[1])


def _rows_at_once(x: Tensor) -> int:
    """Return how many rows of ``[steps, rows, channels]`` an LSTM processes at a time."""
    rows = x.shape[1]
    parts = min(math.ceil(x.numel() / _CACHED_NUMBERS), math.ceil(rows / _MIN_ROWS))
    return math.ceil(rows / max(1, parts))


class SeparationNet(nn.Module):
    """Layers that work on features and on their Fourier transforms in turn (section 2.3)."""

    def __init__(self, channels: int, expansion: int, layers: int) -> None:
        super().__init__()
        self.dp_modules = nn.ModuleList(
            DualPath(channels * (1 + index % 2), expansion) for index in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, bins, frames]``, frames even, to the same shape."""
        if has_float32_products(x):
            rows = x.permute(0, 2, 3, 1)
            return torch.stack([self._infer(each) for each in rows]).permute(0, 3, 1, 2)
        for index, layer in enumerate(self.dp_modules):
            x = layer(x).permute(0, 2, 3, 1).float()  # no FFT in half precision
            if index % 2 == 0:
                spectrum = torch.fft.rfft(x, dim=2, norm="ortho")  # [B, F, N / 2 + 1, C]
                x = torch.cat([spectrum.real, spectrum.imag], dim=-1)
            else:
                x = torch.fft.irfft(torch.complex(*x.chunk(2, dim=-1)), dim=2, norm="ortho")
            x = x.permute(0, 3, 1, 2)  # to [B, C, F, N]
        return x

    def _infer(self, x: Tensor) -> Tensor:
        """Do the same as `forward` for ``[bins, frames, channels]``, in fewer passes."""
        bins, frames, channels = x.shape
        for index, layer in enumerate(self.dp_modules):
            assert isinstance(layer, DualPath)
            if index % 2 == 0:
                after = x.new_empty(bins, frames // 2 + 1, 2, channels)
                for part, steps in layer.infer(x):
                    spectrum = torch.view_as_real(torch.fft.rfft(steps, dim=0, norm="ortho"))
                    after[part] = spectrum.permute(1, 0, 3, 2)
                x = after.flatten(2)
            else:
                after = x.new_empty(bins, frames, channels)
                for part, steps in layer.infer(x):
                    spectrum = torch.complex(*steps.chunk(2, dim=-1))
                    after[part] = torch.fft.irfft(spectrum, dim=0, norm="ortho").transpose(0, 1)
                x = after
        return x
