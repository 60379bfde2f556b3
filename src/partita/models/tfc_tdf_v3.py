"""TFC-TDF U-Net, version 3 (MDX23C): from complex spectrogram to complex spectrograms.

Kim, Lee & Jung, "Sound Demixing Challenge 2023 Music Demixing Track Technical Report: TFC-TDF-UNet
v3", 2023; sizes and details as in the community's training code, MSST, whose networks are known as
MDX23C.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from partita.dsp.overlap_add import Window
from partita.errors import ModelError
from partita.models._complex_spectra import ComplexConfig, ComplexModel
from partita.models._registry import register_model
from partita.validation import bounded

_GROUPS, _ELU = "GroupNorm", "elu"
_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "BatchNorm": nn.BatchNorm2d,
    "InstanceNorm": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "none": lambda _: nn.Identity(),
}
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


@dataclass(frozen=True)
class TfcTdfV3Config(ComplexConfig):
    """Configuration of `TfcTdfV3`.

    Attributes
    ----------
    bins : int
        The network works on the lowest `bins` frequency bins; estimates above are zero.
    subbands : int
        The bins are divided into so many equal parts, which become channels.
    width : int
        Channels of the outermost level.
    growth : int
        Channels that each level adds.
    depth : int
        Levels.
    scale : pair of int
        Strides between levels, along frames and bins.
    blocks : int
        In each level of the encoder, and of the decoder.
    bottleneck : int
        Reduction of the frequency axis between a block's two dense layers.
    norm : str
        ``InstanceNorm``, ``BatchNorm``, ``GroupNorm`` and how many groups, such as ``GroupNorm8``,
        or ``none``.
    activation : str
        ``gelu``, ``relu``, or ``elu`` and its alpha, such as ``elu1.0``.
    """

    fft_samples: int = 8192
    segment_s: float = 5.92
    bins: int = 4096
    subbands: int = bounded(4, most=1024)
    width: int = 128
    growth: int = 128
    depth: int = bounded(5, most=16)
    scale: tuple[int, int] = (2, 2)
    blocks: int = bounded(2, most=64)
    bottleneck: int = 4
    norm: str = "InstanceNorm"
    activation: str = "gelu"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(1 <= self.bins <= self.fft_samples // 2 + 1, "bins exceed those of the FFT")
        for name in ("subbands", "width", "depth", "blocks", "bottleneck"):
            self.require(getattr(self, name) >= 1, f"{name} must be at least 1")
        self.require(self.growth >= 0, "growth must not be negative")
        self.require(min(self.scale) >= 1, "scale must be positive")
        whole = self.subbands * self.scale[1] ** self.depth
        self.require(self.bins % whole == 0, f"bins must be a multiple of {whole}")
        narrowest = self.bins // whole // self.bottleneck
        self.require(narrowest >= 1, "bottleneck is larger than the innermost level")
        for width in self.widths:
            _norm(self.norm, width)  # checks it
        _activation(self.activation)

    @property
    def stride(self) -> int:
        """Frames per step of the innermost level."""
        return int(self.scale[0] ** self.depth)

    @property
    def widths(self) -> list[int]:
        """Channels of the levels, outermost first, and of the bottleneck."""
        return [self.width + level * self.growth for level in range(self.depth + 1)]

    @property
    def places(self) -> list[int]:
        """Positions along frequency of the levels and of the bottleneck."""
        outermost = self.bins // self.subbands
        return [outermost // self.scale[1] ** level for level in range(self.depth + 1)]

    @property
    def window(self) -> Window:
        """The window; hops are whole strides, so that all windows have the same grid."""
        frames = self.segment_s * self.sample_rate / self.hop_samples + 1
        strides = max(2, round(frames / self.stride))
        shared = min(strides - 1, max(1, round(strides * self.overlap)))
        step = self.stride * self.hop_samples
        length = strides * step - self.hop_samples  # there are frames at both ends
        return Window(length, length - (strides - shared) * step, step)

    def padded_samples(self, samples: int) -> int:
        """Return the padded length of a signal, of whole strides of frames.

        It is long enough for reflection padding, and where dense layers narrow the innermost level
        to one position, it has two frames, because a single number cannot be normalised.
        """
        needed = max(samples, self.fft_samples // 2 + 1)
        strides = math.ceil((math.ceil(needed / self.hop_samples) + 1) / self.stride)
        least = 2 if self.places[-1] // self.bottleneck == 1 else 1
        return (max(strides, least) * self.stride - 1) * self.hop_samples


def _norm(name: str, channels: int) -> nn.Module:
    """Return a normalisation of ``[batch, channels, …]``.

    Raises
    ------
    ModelError
        No such normalisation, or groups that do not divide the channels.
    """
    if name in _NORMS:
        return _NORMS[name](channels)
    groups = name.removeprefix(_GROUPS)
    if name == groups or not groups.isdecimal() or not 1 <= int(groups) <= channels:
        known = ", ".join([*_NORMS, f"{_GROUPS}8"])
        raise ModelError(f"norm must be one of {known}, with groups up to {channels}")
    if channels % int(groups):
        raise ModelError(f"{name}: {channels} channels are not divisible by so many groups")
    return nn.GroupNorm(int(groups), channels)


def _activation(name: str) -> nn.Module:
    """Return an activation.

    Raises
    ------
    ModelError
        No such activation.
    """
    if name in _ACTIVATIONS:
        return _ACTIVATIONS[name]()
    try:
        alpha = float(name.removeprefix(_ELU)) if name.startswith(_ELU) else math.nan
    except ValueError:
        alpha = math.nan
    if not math.isfinite(alpha):
        raise ModelError(f"activation must be {', '.join(_ACTIVATIONS)} or {_ELU}1.0")
    return nn.ELU(alpha)


class Block(nn.Module):
    """Two convolutions over time and frequency, and residual dense layers along frequency between.

    Normalisation and activation are in front of each layer; a shortcut bridges the block.
    """

    def __init__(self, config: TfcTdfV3Config, inside: int, channels: int, places: int) -> None:
        super().__init__()
        narrow = places // config.bottleneck
        self.tfc1 = nn.Sequential(*_before(config, inside), _convolution(inside, channels, 3))
        self.tdf = nn.Sequential(
            *_before(config, channels),
            nn.Linear(places, narrow, bias=False),
            *_before(config, channels),
            nn.Linear(narrow, places, bias=False),
        )
        self.tfc2 = nn.Sequential(*_before(config, channels), _convolution(channels, channels, 3))
        self.shortcut = _convolution(inside, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels in, frames, places]`` to ``[batch, channels, …]``."""
        hidden = self.tfc1(x)
        hidden = hidden + self.tdf(hidden)
        mapped: Tensor = self.tfc2(hidden) + self.shortcut(x)
        return mapped


class Blocks(nn.Module):
    """The blocks of a level."""

    def __init__(self, config: TfcTdfV3Config, inside: int, channels: int, places: int) -> None:
        super().__init__()
        inputs = [inside, *[channels] * (config.blocks - 1)]
        self.blocks = nn.Sequential(*(Block(config, count, channels, places) for count in inputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels in, frames, places]`` to ``[batch, channels, …]``."""
        mapped: Tensor = self.blocks(x)
        return mapped


class Encoder(nn.Module):
    """A level of the encoder."""

    def __init__(self, config: TfcTdfV3Config, level: int) -> None:
        super().__init__()
        channels, inner = config.widths[level : level + 2]
        self.tfc_tdf = Blocks(config, channels, channels, config.places[level])
        conv = nn.Conv2d(channels, inner, config.scale, config.scale, bias=False)
        self.downscale = _Scaling(config, channels, conv)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[batch, channels, frames, places]`` to the next level's input, and the skip."""
        skip = self.tfc_tdf(x)
        return self.downscale(skip), skip


class Decoder(nn.Module):
    """A level of the decoder."""

    def __init__(self, config: TfcTdfV3Config, level: int) -> None:
        super().__init__()
        channels, inner = config.widths[level : level + 2]
        conv = nn.ConvTranspose2d(inner, channels, config.scale, config.scale, bias=False)
        self.upscale = _Scaling(config, inner, conv)
        self.tfc_tdf = Blocks(config, 2 * channels, channels, config.places[level])

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map ``[batch, channels, frames, places]`` and the skip to the next level."""
        mapped: Tensor = self.tfc_tdf(torch.cat([self.upscale(x), skip], dim=1))
        return mapped


class _Scaling(nn.Module):
    """Normalisation, activation and a strided convolution between levels."""

    def __init__(self, config: TfcTdfV3Config, channels: int, conv: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Sequential(*_before(config, channels), conv)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, frames, places]`` to the next level."""
        scaled: Tensor = self.conv(x)
        return scaled


def _before(config: TfcTdfV3Config, channels: int) -> tuple[nn.Module, nn.Module]:
    return _norm(config.norm, channels), _activation(config.activation)


def _convolution(inside: int, outside: int, kernel: int) -> nn.Conv2d:
    """Return a convolution that keeps frames and places."""
    return nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=False)


@register_model("mdx23c")
class TfcTdfV3(ComplexModel):
    """One network from complex spectrogram to the complex spectrograms of all sources.

    Notes
    -----
    `partita.models.tfc_tdf` is our own variant of the network of 2020, whose blocks have
    normalisations behind the convolutions and no shortcuts. Departures from MSST's ``mdx23c``:
    mixtures may have any length, and one channel.
    """

    config_type = TfcTdfV3Config
    config: TfcTdfV3Config

    def __init__(self, config: TfcTdfV3Config) -> None:
        super().__init__(config)
        inputs, width = 2 * config.channels * config.subbands, config.width
        levels = range(config.depth)
        self.first_conv = _convolution(inputs, width, 1)
        self.encoder_blocks = nn.ModuleList(Encoder(config, level) for level in levels)
        innermost, places = config.widths[-1], config.places[-1]
        self.bottleneck_block = Blocks(config, innermost, innermost, places)
        self.decoder_blocks = nn.ModuleList(Decoder(config, level) for level in reversed(levels))
        self.final_conv = nn.Sequential(
            _convolution(width + inputs, width, 1),
            _activation(config.activation),
            _convolution(width, inputs * len(config.learned), 1),
        )

    def parts(self, seen: Tensor) -> Tensor:
        """See `ComplexModel.parts`."""
        subbands = self.config.subbands
        x = torch.unflatten(seen[:, :, : self.config.bins], 2, (subbands, -1)).flatten(1, 2)
        x = self._network(x.mT).mT  # [B, S 2 C K, P, N]
        return torch.unflatten(x, 1, (-1, subbands)).flatten(2, 3)  # [B, S 2 C, bins, N]

    def _network(self, x: Tensor) -> Tensor:
        """Map ``[batch, 2 channels subbands, frames, places]`` to as much for each source."""
        mixture = x
        first = x = self.first_conv(x)
        skips = []
        for encoder in self.encoder_blocks:
            x, skip = encoder(x)
            skips.append(skip)
        x = self.bottleneck_block(x)
        for decoder in self.decoder_blocks:
            x = decoder(x, skips.pop())
        spectra: Tensor = self.final_conv(torch.cat([mixture, x * first], dim=1))
        return spectra
