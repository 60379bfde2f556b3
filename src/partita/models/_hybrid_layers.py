"""Levels of the hybrid Demucs: of the encoder and the decoder, over frequency or over time.

Submodules have the names of the package demucs 4.1.0, so that state dicts agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._dconv import DConv, DConvShape


@dataclass(frozen=True)
class LevelShape:
    """The shape of a level's layers, without their channels.

    Attributes
    ----------
    over_frequency : bool
        Whether convolutions run over the bins of ``[batch, channels, bins, frames]``; False: over
        the time of ``[batch, channels, n]``.
    kernel, stride, pad : int
        Of the convolution between levels.
    norm_groups : int
        Of the group normalisations; 0: no normalisation.
    context : int
        Neighbours on each side in the kernel of the gated convolution.
    frequency_context : bool
        Whether that kernel also covers neighbouring bins; False: frames only.
    dconv : DConvShape or None
        Of the residual branch; None: no residual branch.
    only_conv : bool
        Whether the level is a bare convolution (in the decoder, with its normalisation).
    """

    over_frequency: bool
    kernel: int
    stride: int
    pad: int
    norm_groups: int
    context: int
    frequency_context: bool = True
    dconv: DConvShape | None = None
    only_conv: bool = False

    def norm(self, channels: int) -> nn.Module:
        """Return a normalisation of so many channels."""
        return nn.GroupNorm(self.norm_groups, channels) if self.norm_groups else nn.Identity()

    def gated(self, channels: int) -> nn.Module:
        """Return the convolution in front of the GLU."""
        width = 1 + 2 * self.context
        if not self.over_frequency:
            return nn.Conv1d(channels, 2 * channels, width, padding=self.context)
        if self.frequency_context:
            return nn.Conv2d(channels, 2 * channels, width, padding=self.context)
        return nn.Conv2d(channels, 2 * channels, (1, width), padding=(0, self.context))


class EncoderLayer(nn.Module):
    """Strided convolution, residual branch, gated convolution."""

    def __init__(self, channels_in: int, channels_out: int, shape: LevelShape) -> None:
        super().__init__()
        self.shape = shape
        size, stride, pad = shape.kernel, shape.stride, shape.pad
        self.conv: nn.Module
        if shape.over_frequency:
            self.conv = nn.Conv2d(channels_in, channels_out, (size, 1), (stride, 1), (pad, 0))
        else:
            self.conv = nn.Conv1d(channels_in, channels_out, size, stride, pad)
        self.dconv: DConv | None = None
        if shape.only_conv:
            return
        self.norm1 = shape.norm(channels_out)
        self.rewrite = shape.gated(channels_out)
        self.norm2 = shape.norm(2 * channels_out)
        if shape.dconv is not None:
            self.dconv = DConv(channels_out, shape.dconv)

    def forward(self, x: Tensor, inject: Tensor | None = None) -> Tensor:
        """Go one level down.

        Parameters
        ----------
        x : Tensor ``[batch, channels_in, bins, frames]`` or ``[batch, channels_in, n]``
        inject : Tensor ``[batch, channels_out, frames]``, optional
            Output of the time branch, to be added where the branches join.

        Returns
        -------
        Tensor ``[batch, channels_out, bins / stride, frames]`` or ``[…, n / stride]``
        """
        if not self.shape.over_frequency:
            x = x.flatten(2)  # drops the axis of the single bin
            x = functional.pad(x, (0, -x.shape[-1] % self.shape.stride))
        y: Tensor = self.conv(x)
        if self.shape.only_conv:
            return y
        if inject is not None:
            y = y + (inject.unsqueeze(2) if y.ndim > inject.ndim else inject)
        y = along_time(self.dconv, functional.gelu(self.norm1(y)))
        return functional.glu(self.norm2(self.rewrite(y)), dim=1)


class DecoderLayer(nn.Module):
    """Gated convolution, residual branch, transposed convolution."""

    def __init__(
        self, channels_in: int, channels_out: int, shape: LevelShape, *, outermost: bool
    ) -> None:
        super().__init__()
        self.shape, self.channels_in, self.outermost = shape, channels_in, outermost
        size, stride = shape.kernel, shape.stride
        self.conv_tr: nn.Module
        if shape.over_frequency:
            self.conv_tr = nn.ConvTranspose2d(channels_in, channels_out, (size, 1), (stride, 1))
        else:
            self.conv_tr = nn.ConvTranspose1d(channels_in, channels_out, size, stride)
        self.norm2 = shape.norm(channels_out)
        self.dconv: DConv | None = None
        if shape.only_conv:
            return
        self.rewrite = shape.gated(channels_in)
        self.norm1 = shape.norm(2 * channels_in)
        if shape.dconv is not None:
            self.dconv = DConv(channels_in, shape.dconv)

    def forward(self, x: Tensor | None, skip: Tensor | None, length: int) -> tuple[Tensor, Tensor]:
        """Go one level up.

        Parameters
        ----------
        x : Tensor or None
            The output of the level below; None: use the skip only.
        skip : Tensor or None
            The encoder's output at this level; None for `only_conv`.
        length : int
            Steps of the result; layers over frequency ignore it.

        Returns
        -------
        Tensor ``[batch, channels_out, bins * stride, frames]`` or ``[batch, channels_out, length]``
            With GELU, except in the outermost level.
        Tensor
            The input of the transposed convolution, from which the time branch starts.
        """
        y = self.before(x, skip)
        z: Tensor = self.norm2(self.conv_tr(y))
        pad = self.shape.pad
        if not self.shape.over_frequency:
            z = z[..., pad : pad + length]
        elif pad:
            z = z[..., pad:-pad, :]
        return (z if self.outermost else functional.gelu(z)), y

    def before(self, x: Tensor | None, skip: Tensor | None) -> Tensor:
        """Return the input of the transposed convolution, ``[batch, channels_in, …]``."""
        if x is not None and self.shape.over_frequency and x.ndim == 3:
            x = x.unsqueeze(2)  # [B, C, 1, N]
        if x is None or skip is None:
            both = skip if x is None else x
            if both is None:
                raise ValueError("a level needs x or skip")
        else:
            both = x + skip
        if self.shape.only_conv:
            return both
        return along_time(self.dconv, functional.glu(self.norm1(self.rewrite(both)), dim=1))


def along_time(dconv: DConv | None, x: Tensor) -> Tensor:
    """Run a residual branch along time, separately for each bin."""
    if dconv is None:
        return x
    if x.ndim == 3:
        return dconv(x)  # type: ignore[no-any-return]
    batch, channels, bins, frames = x.shape
    y = dconv(x.transpose(1, 2).reshape(-1, channels, frames))  # [B F, C, N]
    return y.reshape(batch, bins, channels, frames).transpose(1, 2)  # type: ignore[no-any-return]


class BandEncoder(nn.Module):
    """An `EncoderLayer` for each frequency band; with equal weights, the same as one layer.

    Parameters
    ----------
    channels_in, channels_out : int
    shape : LevelShape
        Without normalisation.
    bounds : sequence of float
        Upper edges of the bands as fractions of all bins, without that of the last band.
    """

    def __init__(
        self, channels_in: int, channels_out: int, shape: LevelShape, bounds: Sequence[float]
    ) -> None:
        super().__init__()
        self.shape, self.bounds = shape, tuple(bounds)
        unpadded = dataclasses.replace(shape, pad=0)  # `forward` pads the outermost bins
        layers = (EncoderLayer(channels_in, channels_out, unpadded) for _ in range(len(bounds) + 1))
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, inject: Tensor | None = None) -> Tensor:
        """Go one level down; see `EncoderLayer.forward`. Inputs of neighbouring bands overlap."""
        if inject is not None:
            raise ValueError("branches cannot join in a level with bands")
        bins = x.shape[2]
        kernel, stride, pad = self.shape.kernel, self.shape.stride, self.shape.pad
        parts, start = [], 0
        for layer, bound in zip(self.layers, (*self.bounds, 1.0), strict=True):
            before = 0 if start else pad
            if bound == 1:
                stop, behind = bins, pad
            else:
                steps = round((round(bins * bound) - start + before - kernel) / stride + 1)
                stop, behind = start + (steps - 1) * stride + kernel - before, 0
            if stop <= start:
                raise ValueError("frequency bands are too narrow")
            part = functional.pad(x[:, :, start:stop], (0, 0, before, behind))
            parts.append(layer(part))
            start = stop - kernel + stride
        return torch.cat(parts, dim=2)


class BandDecoder(nn.Module):
    """A `DecoderLayer` for each frequency band; the counterpart of `BandEncoder`."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        shape: LevelShape,
        bounds: Sequence[float],
        *,
        outermost: bool,
    ) -> None:
        super().__init__()
        self.shape, self.bounds, self.outermost = shape, tuple(bounds), outermost
        uncut = dataclasses.replace(shape, pad=0)  # bands overlap in what would be cut off
        self.layers = nn.ModuleList(
            DecoderLayer(channels_in, channels_out, uncut, outermost=True)
            for _ in range(len(bounds) + 1)
        )

    def forward(self, x: Tensor, skip: Tensor, length: int) -> tuple[Tensor, None]:
        """Go one level up; see `DecoderLayer.forward`. Overlapping outputs of bands are added."""
        bins, stride = x.shape[2], self.shape.stride
        parts: list[Tensor] = []
        start = 0
        for layer, bound in zip(self.layers, (*self.bounds, 1.0), strict=True):
            stop = bins if bound == 1 else round(bins * bound)
            part, _ = layer(x[:, :, start:stop], skip[:, :, start:stop], length)
            if parts:
                last, bias = parts[-1], layer.get_parameter("conv_tr.bias").view(-1, 1, 1)
                both = last[:, :, -stride:] + part[:, :, :stride] - bias
                parts[-1] = torch.cat([last[:, :, :-stride], both], dim=2)
                part = part[:, :, stride:]
            parts.append(part)
            start = stop
        joined = torch.cat(parts, dim=2)[:, :, stride // 2 : -(stride // 2)]
        return (joined if self.outermost else functional.gelu(joined)), None


class FrequencyEmbedding(nn.Module):
    """A learned vector for each bin: convolutions over frequency do not know the frequency.

    Parameters
    ----------
    bins, width : int
    scale : float
        Factor of the parameters, which makes them learn faster.
    smooth : bool
        Whether the initialisation is smooth along frequency.
    """

    def __init__(self, bins: int, width: int, *, scale: float, smooth: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(bins, width)
        self.scale = scale
        with torch.no_grad():
            weight = self.embedding.weight
            if smooth:  # a random walk, with the deviation of independent numbers
                steps = torch.arange(1, bins + 1, device=weight.device, dtype=weight.dtype)
                weight.copy_(weight.cumsum(dim=0) / steps.sqrt()[:, None])
            weight.div_(scale)

    def forward(self) -> Tensor:
        """Return ``[width, bins, 1]``."""
        return (self.embedding.weight * self.scale).T.unsqueeze(-1)
