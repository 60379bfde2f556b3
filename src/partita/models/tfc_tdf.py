"""TFC-TDF U-Net: a light spectrogram network that gives the masks of all sources at once.

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
from partita.models._shares import ShareConfig, ShareModel
from partita.validation import bounded

_TIME, _FREQUENCY = 1, 2  # axes of [batch, frames, places, channels]


@dataclass(frozen=True)
class TfcTdfConfig(ShareConfig):
    """Configuration of `TfcTdf`.

    Attributes
    ----------
    fold_bins : int
        Neighbouring bins that the network holds as channels of one place.
    width : int
        Channels of the outermost level.
    growth : int
        Channels that each level has more than the one outside it.
    depth : int
        How often places and frames are halved.
    convolutions : int
        In a block of the encoder; those of the decoder have one (as light as in Moises-Light).
    bottleneck : int
        By how much a block's dense layers narrow the frequency axis between them.
    latent_layers : int
        At the innermost level: pairs of recurrent layers, one along time, one along frequency.
    """

    # Windows begin multiples of 8 frames apart: all see their song through the same grid of halved
    # scales. Longer ones than those of the training would also spend time on fetching memory.
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
        """Frames, and places along frequency, that the innermost level sees as one."""
        return 1 << self.depth

    @property
    def places(self) -> int:
        """How many places the outermost level has along frequency; the last may hold no bins."""
        return -(-self.bins // (self.fold_bins * self.stride)) * self.stride


class Convolution(nn.Module):
    """A convolution, batch normalisation and ReLU.

    Batch normalisation, because its statistics neither depend on how long an excerpt is nor on what
    else is in a window, because a batch of even one excerpt has tens of thousands of places to take
    them from, and because for inference it becomes part of the convolution.
    """

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm: nn.Module = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels seen, frames, places]`` to as many channels as were set."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)

    def fuse(self) -> None:
        """Let the convolution do the normalisation; for evaluation only."""
        if isinstance(self.norm, nn.BatchNorm2d):
            transposed = isinstance(self.conv, nn.ConvTranspose2d)
            self.conv = fusion.fuse_conv_bn_eval(self.conv, self.norm, transposed)
            self.norm = nn.Identity()


def _convolution(channels_in: int, channels_out: int) -> Convolution:
    """Return one that keeps frames and places."""
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return Convolution(conv, channels_out)


def _halving(channels_in: int, channels_out: int) -> Convolution:
    return Convolution(nn.Conv2d(channels_in, channels_out, 2, 2, bias=False), channels_out)


def _doubling(channels_in: int, channels_out: int) -> Convolution:
    conv = nn.ConvTranspose2d(channels_in, channels_out, 2, 2, bias=False)
    return Convolution(conv, channels_out)


class FrequencyLayers(nn.Module):
    """Two dense layers over the frequency axis, the same for all channels and frames."""

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
    """TFC-TDF: convolutions over time and frequency, then dense layers beside them."""

    def __init__(
        self, channels_in: int, channels: int, places: int, layers: int, bottleneck: int
    ) -> None:
        super().__init__()
        seen = [channels_in, *[channels] * (layers - 1)]
        self.convolutions = nn.Sequential(*(_convolution(count, channels) for count in seen))
        self.dense = FrequencyLayers(channels, places, bottleneck)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels seen, frames, places]`` to ``[batch, channels, …]``."""
        x = self.convolutions(x)
        added: Tensor = x + self.dense(x)
        return added


class RecurrentPath(nn.Module):
    """A bidirectional LSTM along one axis, the same for every place of the other."""

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
    """Folded views of the mixture in, logits of masks out."""

    def __init__(self, config: TfcTdfConfig, channels_in: int, channels_out: int) -> None:
        super().__init__()
        widths = [config.width + config.growth * level for level in range(config.depth + 1)]
        places = [config.places >> level for level in range(config.depth + 1)]
        levels, layers, narrow = range(config.depth), config.convolutions, config.bottleneck
        seen = [channels_in, *widths[1:]]
        self.encoder = nn.ModuleList(
            Block(seen[level], widths[level], places[level], layers, narrow) for level in levels
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
class TfcTdf(ShareModel):
    """One U-Net for all sources; a softmax over them shares out every bin of every channel.

    Departures from the papers: masks of magnitudes, where those give complex spectrograms of one
    source; neighbouring bins are folded into channels, so that the outermost level, which costs
    most, has fewer places; skips are added, neither concatenated (2020) nor multiplied (2021); the
    second dense layer has no normalisation of its own.
    """

    config_type = TfcTdfConfig
    config: TfcTdfConfig
    compression = 0.25

    def __init__(self, config: TfcTdfConfig) -> None:
        super().__init__(config)
        masks = len(config.sources) * config.channels
        self.network = MaskUNet(config, config.images * config.fold_bins, masks * config.fold_bins)

    def for_inference(self) -> TfcTdf:
        """Return the same model with normalisations inside its convolutions."""
        fused = copy.deepcopy(self).eval()
        for module in fused.modules():
            if isinstance(module, Convolution):
                module.fuse()
        return fused

    def logits(self, images: Tensor) -> Iterator[Tensor]:
        """Yield logits ``[batch, frames, sources, channels, bins]`` of all frames."""
        frames, bins = images.shape[1], images.shape[-1]
        places, fold = self.config.places, self.config.fold_bins
        x = images.transpose(1, 2)  # [B, V, N, F]
        x = functional.pad(x, (0, places * fold - bins, 0, -frames % self.config.stride))
        x = x.reshape(*x.shape[:3], places, fold).permute(0, 1, 4, 2, 3)  # [B, V, fold, N, P]
        x = self.network(x.flatten(1, 2))  # [B, S C fold, N, P]
        x = x.reshape(len(x), len(self.sources), self.channels, fold, -1, places)
        logits = x.permute(0, 4, 1, 2, 5, 3).flatten(4)  # [B, N, S, C, P fold]
        yield logits[:, :frames, ..., :bins]
