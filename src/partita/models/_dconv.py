"""The residual branches of Demucs from version 3 on, and their layers.

Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX workshop at ISMIR 2021, section
3.2.
Submodules have the names of the package demucs 4.1.0, so that state dicts agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._lstm import Lstm

#: Longer inputs of a residual branch's LSTM are cut into overlapping frames of so many steps.
_LSTM_STEPS = 200
_LSTM_LAYERS = 2
_HEADS = 4
_DECAYS = 4
_SELF_SCORE = -100.0  # a step of `LocalAttention` does not attend to itself


@dataclass(frozen=True)
class DConvShape:
    """The shape of a `DConv`, without its channels.

    Attributes
    ----------
    compress : float
        Ratio of the input's channels to those within the branch.
    depth : int
        Residual layers; the convolution of layer ``d`` is dilated by ``2 ** d``.
    scale : float
        Initial value of the layer scales.
    attention, lstm : bool
        Whether each layer has local attention and a bidirectional LSTM.
    """

    compress: float
    depth: int
    scale: float
    attention: bool = False
    lstm: bool = False


class LayerScale(nn.Module):
    """A learned factor for each channel (Touvron et al., "Going deeper with image transformers").

    Parameters
    ----------
    channels : int
    first : float
        Its initial value.
    channels_last : bool
        Whether channels are the last axis; False: the last but one.
    """

    def __init__(self, channels: int, first: float, *, channels_last: bool = False) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.scale = nn.Parameter(torch.full((channels,), float(first)))

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``[batch, channels, n]`` or ``[batch, n, channels]``."""
        return x * (self.scale if self.channels_last else self.scale[:, None])


class BiLstm(nn.Module):
    """A bidirectional LSTM and a dense layer that merges both directions.

    Parameters
    ----------
    width, layers : int
    most_steps : int or None
        Longer signals are cut into frames of so many steps that overlap by half; the middle half of
        each frame is used. None: signals are not cut.
    skip : bool
        Whether the input is added.
    """

    def __init__(
        self, width: int, layers: int, *, most_steps: int | None = None, skip: bool = False
    ) -> None:
        super().__init__()
        self.most_steps, self.skip = most_steps, skip
        self.lstm = Lstm(width, width, layers, bidirectional=True)
        self.linear = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, width, steps]`` to the same shape."""
        steps = x.shape[-1]
        if self.most_steps is not None and steps > self.most_steps:
            y = self._in_frames(x, self.most_steps)
        else:
            y = self._recur(x)
        return y + x if self.skip else y

    def _recur(self, x: Tensor) -> Tensor:
        states: Tensor = self.lstm(x.permute(2, 0, 1))[0]  # [B, C, N] -> [N, B, 2 C]
        states = self.linear(states)
        return states.permute(1, 2, 0)  # [N, B, C] -> [B, C, N]

    def _in_frames(self, x: Tensor, length: int) -> Tensor:
        batch, width, steps = x.shape
        hop, margin = length // 2, length // 4
        count = (steps + hop - 1) // hop
        x = functional.pad(x, (0, (count - 1) * hop + length - steps))
        frames = x.unfold(-1, length, hop).permute(0, 2, 1, 3)  # [B, frames, C, length]
        frames = self._recur(frames.reshape(batch * count, width, length))
        frames = frames.reshape(batch, count, width, length)
        middles = frames[..., margin : length - margin].transpose(1, 2).flatten(2)
        before = frames[:, 0, :, :margin]  # the first frame's middle
        return torch.cat([before, middles], dim=-1)[..., :steps]  # [B, C, N]


class LocalAttention(nn.Module):
    """Attention with a learned penalty proportional to the distance.

    There is no position embedding; a step does not attend to itself.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % _HEADS:
            raise ValueError(f"{channels} channels cannot be divided among {_HEADS} heads")
        self.content = nn.Conv1d(channels, channels, 1)
        self.query = nn.Conv1d(channels, channels, 1)
        self.key = nn.Conv1d(channels, channels, 1)
        self.query_decay = nn.Conv1d(channels, _HEADS * _DECAYS, 1)
        self.proj = nn.Conv1d(channels, channels, 1)
        with torch.no_grad():  # almost no penalty at first
            self.query_decay.weight.mul_(0.01)
            if self.query_decay.bias is not None:
                self.query_decay.bias.fill_(-2.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, steps]`` to the same shape."""
        steps = x.shape[-1]
        content, query, key = (
            conv(x).unflatten(1, (_HEADS, -1)) for conv in (self.content, self.query, self.key)
        )  # [B, H, C / H, N] each
        scores = query.mT @ key / math.sqrt(key.shape[2])  # [B, H, queries, keys]
        positions = torch.arange(steps, device=x.device, dtype=torch.float32)
        distance = (positions[:, None] - positions).abs()  # [queries, keys]
        slopes = torch.arange(1, _DECAYS + 1, device=x.device, dtype=torch.float32)
        decay = self.query_decay(x).unflatten(1, (_HEADS, _DECAYS)).sigmoid() / 2
        decay = (decay * slopes[:, None]).sum(dim=2) / math.sqrt(_DECAYS)  # [B, H, queries]
        scores = scores - decay.unsqueeze(-1) * distance
        itself = torch.eye(steps, dtype=torch.bool, device=x.device)
        weights = scores.masked_fill(itself, _SELF_SCORE).softmax(dim=-1).to(content.dtype)
        result = content @ weights.mT  # [B, H, C / H, queries]
        projected: Tensor = self.proj(result.flatten(1, 2))
        return x + projected


class DConv(nn.Module):
    """Residual layers: a dilated convolution to fewer channels, and a gated one back.

    Parameters
    ----------
    channels : int
    shape : DConvShape
    """

    def __init__(self, channels: int, shape: DConvShape) -> None:
        super().__init__()
        width = int(channels / shape.compress)
        self.layers = nn.ModuleList()
        for dilation in (2**index for index in range(shape.depth)):
            between: list[nn.Module] = []
            if shape.lstm:
                between.append(BiLstm(width, _LSTM_LAYERS, most_steps=_LSTM_STEPS, skip=True))
            if shape.attention:
                between.append(LocalAttention(width))
            self.layers.append(
                nn.Sequential(
                    nn.Conv1d(channels, width, 3, dilation=dilation, padding=dilation),
                    nn.GroupNorm(1, width),
                    nn.GELU(),
                    *between,
                    nn.Conv1d(width, 2 * channels, 1),
                    nn.GroupNorm(1, 2 * channels),
                    nn.GLU(dim=1),
                    LayerScale(channels, shape.scale),
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, n]`` to the same shape."""
        for layer in self.layers:
            x = x + layer(x)
        return x


@torch.no_grad()
def rescale_convolutions(model: nn.Module, reference: float) -> None:
    """Rescale convolutions: the standard deviation becomes its geometric mean with a reference."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
    for module in model.modules():
        if isinstance(module, kinds) and module.weight.numel() > 1:
            scale = (module.weight.std() / reference).sqrt()
            for parameter in module.parameters():
                parameter.div_(scale)
