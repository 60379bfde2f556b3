"""Layers of RoFormers: transformers with rotary or polar position embeddings.

Tensors have the names of the community's checkpoints (`bs-roformer`, MSST).

References
----------
.. [1] Su et al., "RoFormer: Enhanced transformer with rotary position embedding", 2021.
.. [2] Gopalakrishnan et al., "Decoupling the 'what' and 'where' with polar coordinate positional
   embeddings", 2025.
.. [3] El-Nouby et al., "XCiT: Cross-covariance image transformers", NeurIPS 2021.
.. [4] Zhou et al., "Value residual learning", 2024.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._onednn import Linear, attention, linear

_THETA = 10000.0
_LINEAR_SCALE = 8.0


@dataclass(frozen=True)
class TransformerSizes:
    """Sizes common to all transformers of a RoFormer.

    Attributes
    ----------
    features : int
    heads, head_features : int
    attention_dropout, dropout : float
    mixes_values : bool
        Whether values are mixed with those of the first layer [4]_.
    norm_output : bool
        Whether each transformer has a normalisation at its end.
    """

    features: int
    heads: int
    head_features: int
    attention_dropout: float
    dropout: float
    mixes_values: bool
    norm_output: bool


class RmsNorm(nn.Module):
    """Divides by the root mean square of the last axis."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., features]`` to the same shape."""
        normalised: Tensor = functional.normalize(x, dim=-1) * len(self.gamma) ** 0.5 * self.gamma
        return normalised


class Rotary(nn.Module):
    """Rotary position embedding [1]_: pairs of features are rotated, each at its own frequency."""

    def __init__(self, head_features: int) -> None:
        super().__init__()
        exponents = torch.arange(0, head_features, 2)[: head_features // 2].float() / head_features
        self.freqs: Tensor
        self.register_buffer("freqs", 1.0 / _THETA**exponents)

    def embed(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Rotate queries and keys ``[batch, heads, n, head_features]`` by their positions."""
        positions = torch.arange(queries.shape[-2], device=queries.device, dtype=self.freqs.dtype)
        angles = positions[:, None] * self.freqs  # [n, pairs]
        cosine, sine = angles.cos(), angles.sin()
        return _rotated(queries, cosine, sine), _rotated(keys, cosine, sine)


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate pairs of neighbouring features of ``[..., n, features]``; the rest stays."""
    count = 2 * cosine.shape[-1]
    first, second, rest = x[..., :count:2], x[..., 1:count:2], x[..., count:]
    rotated = torch.stack((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
    return torch.cat((rotated.flatten(-2), rest), dim=-1).to(x.dtype)


class Polar(nn.Module):
    """Polar position embedding [2]_: features are magnitudes, positions are angles."""

    def __init__(self, heads: int, head_features: int) -> None:
        super().__init__()
        self.inv_freqs: Tensor
        exponents = torch.arange(head_features).float() / head_features
        self.register_buffer("inv_freqs", _THETA**-exponents)
        self.bias = nn.Parameter(torch.zeros(heads, head_features))

    def embed(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Map queries and keys ``[batch, heads, n, head_features]`` to twice as many features."""
        positions = torch.arange(queries.shape[-2], device=queries.device).to(self.inv_freqs.dtype)
        angles = positions[:, None] * self.inv_freqs  # [n, features]
        bias = self.bias.clamp(-2 * math.pi, 0.0).unsqueeze(1)  # [heads, 1, features]
        return _polar(queries, angles), _polar(keys, angles + bias)


def _polar(x: Tensor, angles: Tensor) -> Tensor:
    lengths = functional.softplus(x)
    return torch.cat((lengths * angles.cos(), lengths * angles.sin()), dim=-1).to(x.dtype)


class Attention(nn.Module):
    """Multi-head attention along one axis, with a gate for each head."""

    def __init__(self, sizes: TransformerSizes) -> None:
        super().__init__()
        self.heads, self.dropout = sizes.heads, sizes.attention_dropout
        inner = sizes.heads * sizes.head_features
        self.norm = RmsNorm(sizes.features)
        self.to_qkv = Linear(sizes.features, 3 * inner, bias=False)
        self.to_gates = Linear(sizes.features, sizes.heads)
        self.to_value_residual_mix = (
            Linear(sizes.features, sizes.heads) if sizes.mixes_values else None
        )
        self.to_out = nn.Sequential(
            Linear(inner, sizes.features, bias=False), nn.Dropout(sizes.attention_dropout)
        )

    def forward(
        self,
        x: Tensor,
        positions: Rotary | Polar,
        biases: tuple[Tensor, Tensor] | None,
        first_values: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Attend.

        Parameters
        ----------
        x : Tensor ``[batch, n, features]``
        positions : Rotary or Polar
        biases : pair of Tensor or None
            Of queries, keys and values together, and of the output; shared by all layers.
        first_values : Tensor ``[batch, heads, n, head_features]`` or None
            The values of the first layer.

        Returns
        -------
        x : Tensor ``[batch, n, features]``
            To be added to the input.
        values : Tensor ``[batch, heads, n, head_features]``
            Before they are mixed with those of the first layer.
        """
        x = self.norm(x)
        qkv = linear(x, self.to_qkv.weight, biases[0] if biases else None)
        qkv = qkv.reshape(*x.shape[:2], 3, self.heads, -1)  # [B, n, 3, H, d]
        queries, keys, own_values = qkv.permute(2, 0, 3, 1, 4)
        values = own_values
        if self.to_value_residual_mix is not None and first_values is not None:
            mix = self.to_value_residual_mix(x).sigmoid().mT.unsqueeze(-1)  # [B, H, n, 1]
            values = values.lerp(first_values, mix)
        attended = self._attended(*positions.embed(queries, keys), values)
        gates = self.to_gates(x).sigmoid().mT.unsqueeze(-1)  # [B, H, n, 1]
        attended = (attended * gates).transpose(1, 2).flatten(2)  # [B, n, H d]
        added: Tensor = self.to_out(attended)
        return (added + biases[1] if biases else added), own_values

    def _attended(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend; the fused kernel needs values as wide as queries, so they are padded."""
        size = values.shape[-1]
        attended = attention(
            queries,
            keys,
            functional.pad(values, (0, queries.shape[-1] - size)),
            dropout=self.dropout if self.training else 0.0,
            scale=size**-0.5,
        )
        return attended[..., :size]


class LinearAttention(nn.Module):
    """Attention between features instead of positions [3]_: cost linear in the positions."""

    def __init__(self, sizes: TransformerSizes) -> None:
        super().__init__()
        self.heads, self.dropout = sizes.heads, sizes.attention_dropout
        inner = sizes.heads * sizes.head_features
        self.norm = RmsNorm(sizes.features)
        self.to_qkv = nn.Sequential(Linear(sizes.features, 3 * inner, bias=False))
        self.temperature = nn.Parameter(torch.ones(sizes.heads, 1, 1))
        self.to_out = nn.Sequential(nn.Identity(), Linear(inner, sizes.features, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Return what to add to ``[batch, n, features]``."""
        qkv = self.to_qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = qkv.permute(2, 0, 3, 4, 1)  # [B, H, d, n] each
        queries = functional.normalize(queries, dim=-1) * self.temperature.exp()
        attended = functional.scaled_dot_product_attention(
            queries,
            functional.normalize(keys, dim=-1),
            values,
            dropout_p=self.dropout if self.training else 0.0,
            scale=_LINEAR_SCALE,
        )
        added: Tensor = self.to_out(attended.permute(0, 3, 1, 2).flatten(2))
        return added


class FeedForward(nn.Module):
    """The feed-forward layer: two dense layers."""

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            RmsNorm(features),
            Linear(features, 4 * features),
            nn.GELU(),
            nn.Dropout(dropout),
            Linear(4 * features, features),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return what to add to ``[..., features]``."""
        added: Tensor = self.net(x)
        return added


class Transformer(nn.Module):
    """Attention and feed-forward layers with residual connections."""

    def __init__(self, sizes: TransformerSizes, depth: int, *, linear: bool = False) -> None:
        super().__init__()
        kind = LinearAttention if linear else Attention
        self.layers = nn.ModuleList(
            nn.ModuleList([kind(sizes), FeedForward(sizes.features, sizes.dropout)])
            for _ in range(depth)
        )
        self.norm = RmsNorm(sizes.features) if sizes.norm_output else nn.Identity()

    def forward(
        self,
        x: Tensor,
        positions: Rotary | Polar,
        biases: tuple[Tensor, Tensor] | None,
        first_values: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Map ``[batch, n, features]`` to the same shape.

        The other parameters are those of `Attention`. Also return the values of the first layer;
        None for linear attention.
        """
        own_first: Tensor | None = None
        for pair in self.layers:
            attention, feed_forward = pair.children()
            if isinstance(attention, LinearAttention):
                x = x + attention(x)
            else:
                added, values = attention(x, positions, biases, first_values)
                x = x + added
                own_first = values if own_first is None else own_first
            x = x + feed_forward(x)
        return self.norm(x), own_first


class BandSplit(nn.Module):
    """Embeds each band: a dense layer from its bins to features."""

    def __init__(self, features: int, band_inputs: Sequence[int]) -> None:
        super().__init__()
        self._band_inputs = list(band_inputs)
        self.to_features = nn.ModuleList(
            nn.Sequential(RmsNorm(inputs), Linear(inputs, features)) for inputs in band_inputs
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, frames, all inputs]`` to ``[batch, frames, bands, features]``."""
        bands = torch.split(x, self._band_inputs, dim=-1)
        made = [layer(band) for layer, band in zip(self.to_features, bands, strict=True)]
        return torch.stack(made, dim=-2)


class MaskEstimator(nn.Module):
    """Estimates one source's masks from the features of all bands.

    Parameters
    ----------
    features : int
    band_outputs : sequence of int
        Size of each band's mask.
    hidden : sequence of int
        Widths of the hidden layers.
    """

    def __init__(self, features: int, band_outputs: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.to_freqs = nn.ModuleList(
            nn.Sequential(_perceptron([features, *hidden, 2 * outputs]), nn.GLU(dim=-1))
            for outputs in band_outputs
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, frames, bands, features]`` to ``[batch, frames, all outputs]``."""
        bands = zip(self.to_freqs, x.unbind(dim=-2), strict=True)
        return torch.cat([layers(band) for layers, band in bands], dim=-1)


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, outside in itertools.pairwise(widths):
        layers += [Linear(inside, outside), nn.Tanh()]
    return nn.Sequential(*layers[:-1])
