"""The cross-domain transformer of Hybrid Transformer Demucs.

Layers attend to their own domain and to the other one in turn. Submodules have the names of the
package demucs 4.1.0, so that state dicts agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._dconv import LayerScale
from partita.models._onednn import Linear, attention, linear

_FIRST_SCALE = 1e-4
_BOOST = 3.0  # factor of learned positions, which makes them learn faster
_FIRST_POSITIONS = 0.2


@dataclass(frozen=True)
class TransformerShape:
    """The shape of a `CrossTransformer`.

    Attributes
    ----------
    width, hidden, heads, layers : int
        Channels, width of the feed-forward layers, heads, layers in each domain.
    cross_first : bool
        Whether the first layer, and every other one, attends to the other domain.
    embedding : str
        Of positions in time: ``sin``, ``cape`` or ``scaled`` (learned).
    most_positions : int
        Number of learned positions.
    norm_in : bool
        Whether inputs are layer-normalised.
    norm_in_groups, norm_groups, norm_out_groups : int
        Groups of normalisations of the inputs, within layers and behind layers; 0: layer
        normalisation within layers, no group normalisation elsewhere.
    norm_first : bool
        Whether normalisations are before attention and feed-forward layers; False: behind them.
    layer_scale, gelu : bool
    dropout, longest_period, position_weight : float
    most_shift : int
        Largest random shift of positions in training, in steps.
    cape_centred, cape_augmented : bool
    cape_shifts : tuple of float
        Largest random shift of all positions, shift of each position, and scale, in training.
    """

    width: int
    hidden: int
    heads: int
    layers: int
    cross_first: bool
    embedding: str
    most_positions: int
    norm_in: bool
    norm_in_groups: int
    norm_groups: int
    norm_out_groups: int
    norm_first: bool
    layer_scale: bool
    gelu: bool
    dropout: float
    longest_period: float
    position_weight: float
    most_shift: int
    cape_centred: bool
    cape_augmented: bool
    cape_shifts: tuple[float, float, float]


class ChannelsLastGroupNorm(nn.GroupNorm):
    """Group normalisation of ``[batch, n, channels]`` over steps and channels."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise."""
        return super().forward(input.mT).mT


class Attention(nn.Module):
    """Multi-head attention with the parameters of `torch.nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Attend from ``[batch, n, width]`` to ``[batch, m, width]``."""
        width = queries.shape[-1]
        if queries is keys:
            parts = linear(queries, self.in_proj_weight, self.in_proj_bias)
            q, k, v = parts.chunk(3, dim=-1)
        else:
            weights = torch.split(self.in_proj_weight, [width, 2 * width])
            biases = torch.split(self.in_proj_bias, [width, 2 * width])
            q = linear(queries, weights[0], biases[0])
            k, v = linear(keys, weights[1], biases[1]).chunk(2, dim=-1)
        q, k, v = (
            torch.unflatten(part, -1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v)
        )
        dropout = self.dropout if self.training else 0.0
        found = attention(q, k, v, dropout=dropout)  # [B, H, n, w]
        result: Tensor = self.out_proj(found.transpose(1, 2).flatten(2))
        return result


class TransformerLayer(nn.Module):
    """Base class of both kinds of layers: feed-forward layer, scales, last normalisation."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.norm_first = shape.norm_first
        self.gelu = shape.gelu

    def _build(self, shape: TransformerShape, norms: int) -> None:
        """Add all submodules behind the attention."""
        self.linear1 = Linear(shape.width, shape.hidden)
        self.dropout = nn.Dropout(shape.dropout)
        self.linear2 = Linear(shape.hidden, shape.width)
        for index in range(norms):
            self.add_module(f"norm{index + 1}", _norm(shape.width, shape.norm_groups))
        self.dropout1, self.dropout2 = nn.Dropout(shape.dropout), nn.Dropout(shape.dropout)
        self.norm_out: nn.Module = nn.Identity()
        if shape.norm_first and shape.norm_out_groups:
            self.norm_out = ChannelsLastGroupNorm(shape.norm_out_groups, shape.width)
        self.gamma_1, self.gamma_2 = (
            LayerScale(shape.width, _FIRST_SCALE, channels_last=True)
            if shape.layer_scale
            else nn.Identity()
            for _ in range(2)
        )

    def _feed_forward(self, x: Tensor) -> Tensor:
        y = linear(x, self.linear1.weight, self.linear1.bias, gelu=self.gelu)
        y = self.linear2(self.dropout(y if self.gelu else functional.relu(y)))
        scaled: Tensor = self.gamma_2(self.dropout2(y))
        return scaled


class SelfLayer(TransformerLayer):
    """A layer that attends to its own domain."""

    norm1: nn.Module
    norm2: nn.Module

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__(shape)
        self.self_attn = Attention(shape.width, shape.heads, shape.dropout)
        self._build(shape, norms=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, n, width]`` to the same shape."""
        if not self.norm_first:
            x = self.norm1(x + self._attend(x))
            return self.norm2(x + self._feed_forward(x))  # type: ignore[no-any-return]
        x = x + self._attend(self.norm1(x))
        x = x + self._feed_forward(self.norm2(x))
        return self.norm_out(x)  # type: ignore[no-any-return]

    def _attend(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.gamma_1(self.dropout1(self.self_attn(x, x)))
        return scaled


class CrossLayer(TransformerLayer):
    """A layer that attends to the other domain."""

    norm1: nn.Module
    norm2: nn.Module
    norm3: nn.Module

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__(shape)
        self.cross_attn = Attention(shape.width, shape.heads, shape.dropout)
        self._build(shape, norms=3)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Map ``[batch, n, width]`` to the same shape; `other` is ``[batch, m, width]``."""
        if not self.norm_first:
            x = self.norm1(x + self._attend(x, other))
            return self.norm2(x + self._feed_forward(x))  # type: ignore[no-any-return]
        x = x + self._attend(self.norm1(x), self.norm2(other))
        x = x + self._feed_forward(self.norm3(x))
        return self.norm_out(x)  # type: ignore[no-any-return]

    def _attend(self, x: Tensor, other: Tensor) -> Tensor:
        scaled: Tensor = self.gamma_1(self.dropout1(self.cross_attn(x, other)))
        return scaled


class LearnedPositions(nn.Module):
    """A learned vector for each step."""

    def __init__(self, positions: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(positions, width)
        with torch.no_grad():
            self.embedding.weight.mul_(_FIRST_POSITIONS / _BOOST)

    def forward(self, steps: int) -> Tensor:
        """Return ``[1, steps, width]``."""
        if steps > self.embedding.num_embeddings:
            raise ValueError(f"{steps} steps, but only {self.embedding.num_embeddings} positions")
        return self.embedding.weight[:steps].unsqueeze(0) * _BOOST


class CrossTransformer(nn.Module):
    """Two transformers, of spectrogram and waveform, with cross-attention in every other layer."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        if shape.embedding == "scaled":
            self.position_embeddings = LearnedPositions(shape.most_positions, shape.width)
        self.norm_in, self.norm_in_t = _norm_in(shape), _norm_in(shape)
        kinds = [
            CrossLayer if (index % 2 == 0) == shape.cross_first else SelfLayer
            for index in range(shape.layers)
        ]
        self.layers = nn.ModuleList(kind(shape) for kind in kinds)
        self.layers_t = nn.ModuleList(kind(shape) for kind in kinds)

    def forward(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        """Apply self-attention and cross-attention to both domains.

        Parameters
        ----------
        x : Tensor ``[batch, width, bins, frames]``
        xt : Tensor ``[batch, width, steps]``

        Returns
        -------
        Tensor, Tensor
            Of the same shapes.
        """
        shape, (batch, _, bins, frames) = self.shape, x.shape
        x = x.permute(0, 3, 2, 1).flatten(1, 2)  # [B, frames * bins, C]
        positions = sine_positions_2d(shape.width, bins, frames, shape.longest_period, x.device)
        x = self.norm_in(x) + shape.position_weight * positions
        xt = xt.mT  # [B, steps, C]
        positions = self._positions(batch, xt.shape[1], x.device)
        xt = self.norm_in_t(xt) + shape.position_weight * positions
        for layer, layer_t in zip(self.layers, self.layers_t, strict=True):
            if isinstance(layer, SelfLayer):
                x, xt = layer(x), layer_t(xt)
            else:
                x, xt = layer(x, xt), layer_t(xt, x)
        return torch.unflatten(x, 1, (frames, bins)).permute(0, 3, 2, 1), xt.mT

    def _positions(self, batch: int, steps: int, device: torch.device) -> Tensor:
        """Return positions in time, ``[batch or 1, steps, width]``."""
        shape = self.shape
        if shape.embedding == "scaled":
            return self.position_embeddings(steps)  # type: ignore[no-any-return]
        times = torch.arange(steps, device=device, dtype=torch.float32).unsqueeze(0)  # [1, n]
        if shape.embedding == "cape":
            times = self._augmented(times, batch)
        elif self.training and shape.most_shift:
            times = times + torch.randint(shape.most_shift + 1, (1, 1), device=device)
        return sine_positions(times, shape.width, shape.longest_period)

    def _augmented(self, times: Tensor, batch: int) -> Tensor:
        """Shift and scale positions ``[1, steps]`` in training.

        Likhomanenko et al., "CAPE: encoding relative positions with continuous augmented positional
        embeddings", 2021.
        """
        shape = self.shape
        if shape.cape_centred:
            times = times - times.mean()
        if not (self.training and shape.cape_augmented):
            return times
        shift, own_shift, scale = shape.cape_shifts
        spread = (
            2 * torch.rand(batch, size, device=times.device) - 1 for size in (1, times.shape[1], 1)
        )
        together, each, factor = spread
        return (times + shift * together + own_shift * each) * (math.log(scale) * factor).exp()


def sine_positions(times: Tensor, width: int, longest_period: float) -> Tensor:
    """Return the embedding ``[batch, n, width]`` (cosines, then sines) of times ``[batch, n]``."""
    half = width // 2
    exponents = torch.arange(half, device=times.device) / (half - 1)
    phases = times.unsqueeze(-1) / longest_period**exponents
    return torch.cat([phases.cos(), phases.sin()], dim=-1)


def sine_positions_2d(
    width: int, bins: int, frames: int, longest_period: float, device: torch.device
) -> Tensor:
    """Return ``[1, frames * bins, width]``: half of the channels for frames, half for bins."""
    half = width // 2
    even = torch.arange(0, half, 2, device=device, dtype=torch.float32)
    rates = (even * (-math.log(longest_period) / half)).exp()  # [width / 4]

    def waves(count: int) -> Tensor:
        phases = torch.arange(count, device=device, dtype=torch.float32)[:, None] * rates
        return torch.stack([phases.sin(), phases.cos()], dim=-1).flatten(1)  # [count, width / 2]

    of_frames = waves(frames).unsqueeze(1).expand(-1, bins, -1)
    of_bins = waves(bins).unsqueeze(0).expand(frames, -1, -1)
    return torch.cat([of_frames, of_bins], dim=-1).reshape(1, frames * bins, width)


def _norm(width: int, groups: int) -> nn.Module:
    return ChannelsLastGroupNorm(groups, width) if groups else nn.LayerNorm(width)


def _norm_in(shape: TransformerShape) -> nn.Module:
    if shape.norm_in:
        return nn.LayerNorm(shape.width)
    if shape.norm_in_groups:
        return ChannelsLastGroupNorm(shape.norm_in_groups, shape.width)
    return nn.Identity()
