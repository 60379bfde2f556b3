"""TFC-TDF U-Net: one light spectrogram network for the masks of all sources.

Choi, Kim, Chung, Lee & Jung, "Investigating U-Nets with Various Intermediate Blocks for
Spectrogram-based Singing Voice Separation", ISMIR 2020; Kim, Choi, Chung, Lee & Jung,
"KUIELab-MDX-Net: A Two-Stream Neural Network for Music Demixing", MDX workshop 2021; Chen, Vekkot &
Shukla, "Music Source Separation Based on a Lightweight Deep Learning Framework (DTTNet)",
ICASSP 2024; Hung, Pereira & Korzeniowski, "Moises-Light: Resource-efficient Band-split U-Net for
Music Source Separation", WASPAA 2025.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import fusion

from partita.models._lstm import Lstm
from partita.models._registry import register_model
from partita.models._softmax_masks import SoftmaxMaskConfig, SoftmaxMaskModel
from partita.validation import bounded

_TIME, _FREQUENCY = 1, 2  # axes of [batch, frames, places, channels]


@dataclass(frozen=True)
class TfcTdfConfig(SoftmaxMaskConfig):
    """Configuration of `TfcTdf`.

    Attributes
    ----------
    fold_bins : int
        Neighbouring bins that are folded into channels; such a group is a place on the frequency
        axis.
    width : int
        Channels of the outermost level.
    growth : int
        Channels that each level adds.
    depth : int
        Levels: how often places and frames are halved.
    convolutions : int
        In a block of the encoder; blocks of the decoder have one, as in Moises-Light.
    bottleneck : int
        Reduction of the frequency axis between a block's two dense layers.
    latent_layers : int
        Pairs of LSTMs at the innermost level, one along time and one along frequency.
    """

    # Windows begin multiples of 8 frames apart, so that all have the same grid of halved frames.
    # Windows longer than in training do not fit the cache and take longer per second.
    frames: int = 128
    overlap_frames: int = 15
    fold_bins: int = 4
    width: int = 16
    growth: int = 16
    depth: int = bounded(3, most=16)
    convolutions: int = bounded(2, most=64)
    bottleneck: int = 8
    latent_layers: int = bounded(2, most=64)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("fold_bins", "depth", "convolutions", "bottleneck"):
            self.require(getattr(self, name) >= 1, f"{name} must be at least 1")
        self.require(self.width >= 2, "width must be at least 2")
        for name in ("growth", "latent_layers"):
            self.require(getattr(self, name) >= 0, f"{name} must not be negative")

    @property
    def stride(self) -> int:
        """Frames, and places, per step of the innermost level."""
        return 1 << self.depth

    @property
    def places(self) -> int:
        """Places of the outermost level, padded to a multiple of the stride."""
        return -(-self.bins // (self.fold_bins * self.stride)) * self.stride


class Convolution(nn.Module):
    """A convolution, batch normalisation and ReLU.

    Batch normalisation, because its statistics depend neither on the length of an excerpt nor on
    the rest of a window, because a batch of one excerpt already has tens of thousands of values per
    channel, and because for inference it is folded into the convolution.
    """

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm: nn.Module = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels in, frames, places]`` to ``[batch, channels, …]``."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)

    def fuse(self) -> None:
        """Fold the normalisation into the convolution; for inference only."""
        if isinstance(self.norm, nn.BatchNorm2d):
            transposed = isinstance(self.conv, nn.ConvTranspose2d)
            self.conv = fusion.fuse_conv_bn_eval(self.conv, self.norm, transposed)
            self.norm = nn.Identity()


def _convolution(channels_in: int, channels_out: int) -> Convolution:
    """Return a 3×3 convolution that keeps frames and places."""
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return Convolution(conv, channels_out)


def _halving(channels_in: int, channels_out: int) -> Convolution:
    return Convolution(nn.Conv2d(channels_in, channels_out, 2, 2, bias=False), channels_out)


def _doubling(channels_in: int, channels_out: int) -> Convolution:
    conv = nn.ConvTranspose2d(channels_in, channels_out, 2, 2, bias=False)
    return Convolution(conv, channels_out)


class FrequencyLayers(nn.Module):
    """TDF: two dense layers over the frequency axis, shared by channels and frames."""

    def __init__(self, channels: int, places: int, bottleneck: int) -> None:
        super().__init__()
        narrow = max(1, places // bottleneck)
        self.first = nn.Linear(places, narrow, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.last = nn.Linear(narrow, places)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, frames, places]`` to the same shape."""
        narrow = functional.relu(self.norm(self.first(x)), inplace=True)
        wide: Tensor = self.last(narrow)
        return wide


class Block(nn.Module):
    """TFC-TDF: convolutions over time and frequency, then residual dense layers over frequency."""

    def __init__(
        self, channels_in: int, channels: int, places: int, layers: int, bottleneck: int
    ) -> None:
        super().__init__()
        inputs = [channels_in, *[channels] * (layers - 1)]
        self.convolutions = nn.Sequential(*(_convolution(count, channels) for count in inputs))
        self.dense = FrequencyLayers(channels, places, bottleneck)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels in, frames, places]`` to ``[batch, channels, …]``."""
        x = self.convolutions(x)
        added: Tensor = x + self.dense(x)
        return added


class RecurrentPath(nn.Module):
    """A bidirectional LSTM along one axis, with a residual connection."""

    def __init__(self, channels: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        hidden = channels // 2  # in each direction
        self.norm = nn.LayerNorm(channels)
        self.lstm = Lstm(channels, hidden, bidirectional=True)
        self.last = nn.Linear(2 * hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, frames, places, channels]`` to the same shape; along `axis`."""
        steps = self.norm(x).movedim(self.axis, 0)  # [steps, B, others, C]
        states = self.lstm(steps.flatten(1, 2))[0]  # [steps, B others, 2 hidden]
        change = self.last(states).unflatten(1, steps.shape[1:3])
        moved: Tensor = x + change.movedim(0, self.axis)
        return moved


class MaskUNet(nn.Module):
    """The U-Net: folded inputs to folded mask logits."""

    def __init__(self, config: TfcTdfConfig, channels_in: int, channels_out: int) -> None:
        super().__init__()
        widths = [config.width + config.growth * level for level in range(config.depth + 1)]
        places = [config.places >> level for level in range(config.depth + 1)]
        levels, layers, narrow = range(config.depth), config.convolutions, config.bottleneck
        inputs = [channels_in, *widths[1:]]
        self.encoder = nn.ModuleList(
            Block(inputs[level], widths[level], places[level], layers, narrow) for level in levels
        )
        self.down = nn.ModuleList(_halving(widths[level], widths[level + 1]) for level in levels)
        self.innermost = Block(widths[-1], widths[-1], places[-1], layers, narrow)
        axes = (_TIME, _FREQUENCY) * config.latent_layers
        self.paths = nn.Sequential(*(RecurrentPath(widths[-1], axis) for axis in axes))
        self.up = nn.ModuleList(_doubling(widths[level + 1], widths[level]) for level in levels)
        self.decoder = nn.ModuleList(
            Block(widths[level], widths[level], places[level], 1, narrow) for level in levels
        )
        self.head = nn.Conv2d(config.width, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels in, frames, places]`` to ``[batch, channels out, …]``.

        Frames are a multiple of the network's stride.
        """
        skips = []
        for block, down in zip(self.encoder, self.down, strict=True):
            skips.append(block(x))
            x = down(skips[-1])
        x = self.innermost(x).permute(0, 2, 3, 1)  # [B, C, N, P] -> [B, N, P, C]
        x = self.paths(x).permute(0, 3, 1, 2)
        for block, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            x = block(up(x) + skips.pop())
        logits: Tensor = self.head(x)
        return logits


@register_model("tfc-tdf")
class TfcTdf(SoftmaxMaskModel):
    """One U-Net with softmax masks for all sources.

    Departures from the papers: masks of magnitudes instead of complex spectrograms of one source;
    neighbouring bins are folded into channels, so that the outermost level, the most expensive
    one, has fewer places; skip connections are added, neither concatenated (2020) nor multiplied
    (2021); there is no normalisation behind the second dense layer.
    """

    config_type = TfcTdfConfig
    config: TfcTdfConfig
    compression = 0.25

    def __init__(self, config: TfcTdfConfig) -> None:
        super().__init__(config)
        masks = len(config.sources) * config.channels
        self.network = MaskUNet(
            config, config.input_channels * config.fold_bins, masks * config.fold_bins
        )

    def for_inference(self) -> TfcTdf:
        """Return a model with the normalisations folded into the convolutions."""
        fused = copy.deepcopy(self).eval()
        for module in fused.modules():
            if isinstance(module, Convolution):
                module.fuse()
        return fused

    def logits(self, inputs: Tensor) -> Iterator[Tensor]:
        """Yield logits ``[batch, frames, sources, channels, bins]`` of all frames."""
        frames, bins = inputs.shape[1], inputs.shape[-1]
        places, fold = self.config.places, self.config.fold_bins
        x = inputs.transpose(1, 2)  # [B, I, N, F]
        x = functional.pad(x, (0, places * fold - bins, 0, -frames % self.config.stride))
        x = x.reshape(*x.shape[:3], places, fold).permute(0, 1, 4, 2, 3)  # [B, I, fold, N, P]
        x = self.network(x.flatten(1, 2))  # [B, S C fold, N, P]
        x = x.reshape(x.shape[0], len(self.sources), self.channels, fold, -1, places)
        logits = x.permute(0, 4, 1, 2, 5, 3).flatten(4)  # [B, N, S, C, P fold]
        yield logits[:, :frames, ..., :bins]
