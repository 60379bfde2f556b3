"""MMDenseNet and MMDenseLSTM: multi-scale dense blocks in separate frequency bands.

Takahashi & Mitsufuji, "Multi-scale Multi-band DenseNets for Audio Source Separation", WASPAA 2017;
Takahashi, Goswami & Mitsufuji, "MMDenseLSTM: An Efficient Combination of Convolutional and
Recurrent Neural Networks for Audio Source Separation", IWAENC 2018; after Huang, Liu, van der
Maaten & Weinberger, "Densely Connected Convolutional Networks", CVPR 2017.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._lstm import Lstm
from partita.models._magnitudes import MagnitudeConfig, MagnitudeModel
from partita.models._registry import register_model

_FRAMES = 3  # kernel size of the convolutions along time
_BLOCK = re.compile(r"(?:([1-9]\d*)x([1-9]\d*))?(?:\+([1-9]\d*))?")


class BlockSize(NamedTuple):
    """The size of a dense block.

    Attributes
    ----------
    growth, layers : int
        k and L; 0 layers: the identity.
    units : int
        Of the LSTM behind it, in each direction; 0: no LSTM.
    """

    growth: int
    layers: int
    units: int


@dataclass(frozen=True)
class MmDenseConfig(MagnitudeConfig):
    """Configuration of `MmDenseNet`; its defaults are the network of 2017.

    "For each network" means: for the network of each band, from the lowest band up, and for the
    full-band network.

    Attributes
    ----------
    splits_hz : tuple of float
        Frequencies between the bands.
    blocks : tuple of str
        For each network its dense blocks, separated by blanks, from the first scale down to the
        smallest and up again: growth times layers (``14x5``), with the units in each direction of
        an LSTM behind the block (``14x5+64``), or an LSTM without a block (``+4``).
    first_channels : tuple of int
        For each network the channels of its first convolution.
    kernel_bins : tuple of int
        For each network the kernel size along frequency; along time it is 3.
    last_block : str
        The dense block behind the concatenated outputs of all networks.
    """

    fft_samples: int = 2048
    # Windows and hops are multiples of 16 frames, so that all windows have the same grid of halved
    # scales.
    frames: int = 256
    overlap_frames: int = 31
    splits_hz: tuple[float, ...] = (11025.0,)
    blocks: tuple[str, ...] = (
        "14x4 16x4 16x4 16x4 16x4 16x4 16x4",
        "10x3 10x3 10x3 10x3 10x3 10x3 10x3",
        "6x2 6x2 6x2 6x4 6x2 6x2 6x2",
    )
    first_channels: tuple[int, ...] = (32, 32, 32)
    kernel_bins: tuple[int, ...] = (4, 3, 4)
    last_block: str = "4x2"

    def __post_init__(self) -> None:
        super().__post_init__()
        count = len(self.splits_hz) + 2
        for name in ("blocks", "first_channels", "kernel_bins"):
            self.require(
                len(getattr(self, name)) == count,
                f"{name} must be {count} values: one for each band, and one for all bins",
            )
        self.require(min(self.band_bins) >= 1, "splits_hz must rise, within the spectrum")
        self.require(min(self.first_channels) >= 1, "first_channels must be positive")
        self.require(min(self.kernel_bins) >= 1, "kernel_bins must be positive")
        for text in self.blocks:
            sizes = self._parsed(text)
            self.require(len(sizes) % 2 == 1, f"blocks {text!r}: as many must go down as up")
        last = self._parsed(self.last_block)
        self.require(
            len(last) == 1 and last[0].layers > 0 and not last[0].units,
            f"last_block {self.last_block!r} must be one dense block",
        )

    @property
    def band_bins(self) -> list[int]:
        """Bins of each band, from the lowest band up."""
        edges = [int(split * self.fft_samples / self.sample_rate) for split in self.splits_hz]
        return [high - low for low, high in itertools.pairwise([0, *edges, self.bins])]

    @property
    def block_sizes(self) -> list[list[BlockSize]]:
        """`blocks`, parsed."""
        return [self._parsed(text) for text in self.blocks]

    @property
    def last_block_size(self) -> BlockSize:
        """`last_block`, parsed."""
        return self._parsed(self.last_block)[0]

    def _parsed(self, text: str) -> list[BlockSize]:
        matches = [_BLOCK.fullmatch(word) for word in text.split()]
        self.require(bool(matches), "there must be at least one block")
        sizes = []
        for match in matches:
            self.require(match is not None, f"block {text!r} is not of the form 14x5 or 14x5+64")
            assert match is not None
            sizes.append(BlockSize(*(int(number or 0) for number in match.groups())))
        return sizes


@dataclass(frozen=True)
class MmDenseLstmConfig(MmDenseConfig):
    """Configuration of `MmDenseLstm`; its defaults are the network of 2018."""

    fft_samples: int = 4096
    splits_hz: tuple[float, ...] = (4100.0, 11025.0)
    blocks: tuple[str, ...] = (
        "14x5 14x5 14x5 14x5+64 14x5 14x5+64 14x5",
        "4x4 4x4 4x4 4x4+16 4x4 4x4 4x4",
        "2x1 2x1 +4 2x1 2x1",
        "7x3 7x3 7x4 7x5 7x5+64 7x5 7x4 7x3+64 7x3",
    )
    first_channels: tuple[int, ...] = (32, 32, 32, 8)
    kernel_bins: tuple[int, ...] = (3, 3, 3, 3)
    last_block: str = "12x3"


def _convolution(channels_in: int, channels_out: int, kernel_bins: int) -> nn.Sequential:
    """Return a convolution that keeps bins and frames."""
    before = (kernel_bins - 1) // 2  # an even kernel covers one more bin above
    padding = (_FRAMES // 2, _FRAMES // 2, before, kernel_bins - 1 - before)
    convolution = nn.Conv2d(channels_in, channels_out, (kernel_bins, _FRAMES), bias=False)
    return nn.Sequential(nn.ZeroPad2d(padding), convolution)


class LstmBlock(nn.Module):
    """An LSTM over frames, on a 1×1 convolution to one channel."""

    def __init__(self, channels: int, bins: int, units: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, 1, 1)
        self.lstm = Lstm(bins, units, bidirectional=True, batch_first=True)
        self.expand = nn.Linear(2 * units, bins)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, bins, frames]`` to ``[batch, 1, bins, frames]``."""
        frames = self.reduce(x).squeeze(1).mT  # [B, 1, F, N] -> [B, N, F]
        expanded: Tensor = self.expand(self.lstm(frames)[0])  # [B, N, F]
        return expanded.mT.unsqueeze(1)


class DenseBlock(nn.Module):
    """Layers whose input is the block's input and the outputs of all earlier layers.

    The block's output is that of the last layer, concatenated with the channel of an LSTM.
    """

    def __init__(self, channels: int, size: BlockSize, kernel_bins: int, bins: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for layer in range(size.layers):
            inputs = channels + layer * size.growth
            self.layers.append(
                nn.Sequential(
                    nn.BatchNorm2d(inputs),
                    nn.ReLU(),
                    _convolution(inputs, size.growth, kernel_bins),
                )
            )
        outputs = size.growth if size.layers else channels
        self.lstm = LstmBlock(outputs, bins, size.units) if size.units else None
        self.channels = outputs + bool(size.units)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels in, bins, frames]`` to ``[batch, channels, bins, frames]``."""
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, dim=1)))
        x = features[-1]
        return x if self.lstm is None else torch.cat([x, self.lstm(x)], dim=1)


class ScaleNetwork(nn.Module):
    """A U-Net of dense blocks, for one band or for all bins."""

    def __init__(
        self, sizes: Sequence[BlockSize], inputs: int, first: int, kernel_bins: int, bins: int
    ) -> None:
        super().__init__()
        depth = len(sizes) // 2
        self.stride = 1 << depth
        scales = [-(-bins // self.stride) * (self.stride >> scale) for scale in range(depth + 1)]
        self.first = _convolution(inputs, first, kernel_bins)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        skips, channels = [], first
        for size, scale in zip(sizes[:depth], scales, strict=False):
            block = DenseBlock(channels, size, kernel_bins, scale)
            channels = block.channels
            skips.append(channels)
            self.down.append(block)
            pooled = nn.Conv2d(channels, channels, 1, bias=False)
            self.shrink.append(nn.Sequential(pooled, nn.AvgPool2d(2)))
        self.smallest = DenseBlock(channels, sizes[depth], kernel_bins, scales[-1])
        channels = self.smallest.channels
        for size, scale in zip(sizes[depth + 1 :], scales[-2::-1], strict=True):
            self.grow.append(nn.ConvTranspose2d(channels, channels, 2, 2, bias=False))
            block = DenseBlock(channels + skips.pop(), size, kernel_bins, scale)
            channels = block.channels
            self.up.append(block)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels in, bins, frames]`` to ``[batch, channels, bins, frames]``."""
        bins, frames = x.shape[-2:]
        x = functional.pad(x, (0, -frames % self.stride, 0, -bins % self.stride))
        x, skips = self.first(x), []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            skips.append(block(x))
            x = shrink(skips[-1])
        x = self.smallest(x)
        for block, grow in zip(self.up, self.grow, strict=True):
            x = block(torch.cat([grow(x), skips.pop()], dim=1))
        return x[..., :bins, :frames]


class BandNetwork(nn.Module):
    """The network of one source: from the mixture's magnitudes to the source's."""

    def __init__(self, config: MmDenseConfig) -> None:
        super().__init__()
        self.band_bins = config.band_bins
        values = (config.block_sizes, config.first_channels, config.kernel_bins)
        *bands, whole = [
            ScaleNetwork(sizes, config.channels, first, kernel, bins)
            for sizes, first, kernel, bins in zip(
                *values, [*self.band_bins, config.bins], strict=True
            )
        ]
        self.norm = nn.BatchNorm1d(config.bins)
        self.bands, self.whole = nn.ModuleList(bands), whole
        # Bands are concatenated along frequency: all get as many channels as the widest.
        most = max(band.channels for band in bands)
        self.widen = nn.ModuleList(
            nn.Identity() if band.channels == most else nn.Conv2d(band.channels, most, 1)
            for band in bands
        )
        size = config.last_block_size
        self.last = DenseBlock(most + whole.channels, size, _FRAMES, config.bins)
        self.head = nn.Conv2d(self.last.channels, config.channels, (2, 1))
        with torch.no_grad():  # the first estimates are about the mixture
            self.head.get_parameter("bias").fill_(1.0)

    def forward(self, mixture: Tensor) -> Tensor:
        """Map magnitudes ``[batch, channels, bins, frames]`` to the same shape."""
        x = self.norm(mixture.flatten(0, 1)).unflatten(0, mixture.shape[:2])  # [B, C, F, N]
        parts = zip(self.bands, self.widen, x.split(self.band_bins, dim=2), strict=True)
        stacked = torch.cat([widen(band(part)) for band, widen, part in parts], dim=2)
        x = self.last(torch.cat([stacked, self.whole(x)], dim=1))
        return functional.relu(self.head(functional.pad(x, (0, 0, 0, 1)))) * mixture


@register_model("mmdensenet")
class MmDenseNet(MagnitudeModel):
    """One network for each source: two bands and the full band, at four scales.

    Where the papers say nothing, or where their tables are known here at second hand only, settings
    are those of tky823/DNN-based_source_separation: growths, layers and kernels of all blocks; the
    output of a block is that of its last layer; no dropout, no bottlenecks within blocks; 1×1
    convolutions bring bands to one number of channels; the last convolution covers two bins of one
    frame. So a stereo network has 0.34 million weights; 0.33 are published.

    Departures: a batch normalisation normalises each bin; outputs are masks of the mixture's
    magnitudes, as in Open-Unmix, not magnitudes, so that training starts at the level of every bin;
    the Wiener filter is Open-Unmix's.
    """

    config_type: ClassVar[type[MmDenseConfig]] = MmDenseConfig
    config: MmDenseConfig

    def __init__(self, config: MmDenseConfig) -> None:
        super().__init__(config)
        self.networks = nn.ModuleDict({name: BandNetwork(config) for name in config.learned})

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate magnitudes ``[batch, learned sources, channels, bins, frames]``."""
        return torch.stack([network(mixture) for network in self.networks.values()], dim=1)


@register_model("mmdenselstm")
class MmDenseLstm(MmDenseNet):
    """MMDenseNet with three bands, and with bidirectional LSTMs behind dense blocks ("Sa").

    LSTMs are at the smallest scale, and a second one in the decoders of the low and the full band.

    With the settings of `MmDenseNet` a stereo network has 1.37 million weights; 1.22 are published,
    which it would have without the low band's second LSTM. Units are per direction, half of the
    paper's numbers. The LSTM's channel is concatenated with those of its block; the paper does not
    say whether it replaces them. The transform is that of the authors' entry to SiSEC 2018, 4096
    and 1024 samples.
    """

    config_type = MmDenseLstmConfig
