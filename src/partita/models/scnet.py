"""SCNet: a U-Net that compresses higher bands more, with dual-path LSTMs at the bottleneck.

Tong, Zhu, Chen, Kang, Jiang, Li, Wu & Meng, "SCNet: Sparse Compression Network for Music Source
Separation", ICASSP 2024; sizes and details as in the community's training code, MSST.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.dsp.overlap_add import Window
from partita.models._complex_spectra import ComplexConfig, ComplexModel, as_complex
from partita.models._dual_path import SeparationNet
from partita.models._registry import register_model
from partita.validation import bounded

_MASK_CHANNELS = 64


@dataclass(frozen=True)
class Band:
    """A frequency band of a level: its bins, and the convolution that compresses them.

    Attributes
    ----------
    bins, stride, kernel : int
    """

    bins: int
    stride: int
    kernel: int

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros below and above, up to whole strides."""
        missing = self.kernel - 1 if self.stride == 1 else -self.bins % self.stride
        return missing // 2, missing - missing // 2

    @property
    def compressed(self) -> int:
        """Bins behind the convolution."""
        return (self.bins + sum(self.padding) - self.kernel) // self.stride + 1

    @property
    def restored(self) -> int:
        """Bins behind the transposed convolution, `bins` of which are kept."""
        return (self.compressed - 1) * self.stride + self.kernel

    @property
    def kept(self) -> slice:
        """Which of the restored bins are kept."""
        start = (self.restored - self.bins) // 2
        return slice(start, start + self.bins)


@dataclass(frozen=True)
class ScNetConfig(ComplexConfig):
    """Configuration of `ScNet` and `MaskedScNet`.

    Attributes
    ----------
    widths : tuple of int
        Channels of the levels, outermost first.
    band_shares : pair of float
        Fractions of a level's bins in its low and its middle band; the rest is the high band.
    strides, kernels : three int
        Of the convolutions along frequency that compress the bands, from the low band up.
    convolutions : three int
        Convolution modules behind these, for each band.
    conv_kernel : int
        Kernel size of the modules in frames; odd.
    compression : int
        Reduction of the channels within a module.
    dual_layers : int
        Pairs of LSTMs along frequency and along time; even, because every second one works on
        Fourier transforms of the features along time.
    expansion : int
        Hidden size of an LSTM, in each direction, in multiples of its input size.
    """

    sources: tuple[str, ...] = ("drums", "bass", "other", "vocals")
    normalised: bool = True
    segment_s: float = 11.0
    widths: tuple[int, ...] = (32, 64, 128)
    band_shares: tuple[float, float] = (0.175, 0.392)
    strides: tuple[int, int, int] = (1, 4, 16)
    kernels: tuple[int, int, int] = (3, 4, 16)
    convolutions: tuple[int, int, int] = bounded((3, 2, 1), most=16)
    conv_kernel: int = 3
    compression: int = 4
    dual_layers: int = bounded(6, most=64)
    expansion: int = bounded(1, most=16)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(1 <= len(self.widths) <= 16, "widths must name 1 to 16 levels")
        self.require(self.compression >= 1, "compression must be positive")
        self.require(min(self.widths) >= self.compression, "widths must be at least compression")
        low, middle = self.band_shares
        self.require(
            low > 0 and middle > 0 and low + middle < 1,
            "band_shares must be positive and add up to less than 1",
        )
        self.require(min(*self.strides, *self.kernels) >= 1, "strides and kernels must be positive")
        self.require(min(self.convolutions) >= 0, "convolutions must not be negative")
        self.require(self.conv_kernel >= 1 and self.conv_kernel % 2 == 1, "conv_kernel must be odd")
        self.require(
            self.dual_layers >= 0 and self.dual_layers % 2 == 0, "dual_layers must be even"
        )
        self.require(self.expansion >= 1, "expansion must be positive")
        _ = self.levels  # checks that bands fit

    @property
    def levels(self) -> list[list[Band]]:
        """The three bands of each level, outermost first."""
        levels, bins = [], self.fft_samples // 2 + 1
        low, middle = self.band_shares
        for _ in self.widths:
            edges = [0, math.ceil(bins * low), math.ceil(bins * (low + middle)), bins]
            sizes = [end - start for start, end in itertools.pairwise(edges)]
            bands = [Band(*each) for each in zip(sizes, self.strides, self.kernels, strict=True)]
            fits = all(each.bins > 0 and each.compressed > 0 for each in bands)
            self.require(fits, f"a band of {bins} bins is empty or narrower than its kernel")
            fits = all(each.restored >= each.bins for each in bands)
            self.require(fits, "kernels must be as long as their strides, to restore all bins")
            levels.append(bands)
            bins = sum(each.compressed for each in bands)
        return levels

    @property
    def window(self) -> Window:
        """The window: an even number of hops, which the transform along time needs."""
        hop = self.hop_samples
        hops = 2 * max(1, round(self.segment_s * self.sample_rate / (2 * hop)))
        return Window(hops * hop, min(hops - 1, round(hops * self.overlap)) * hop, hop)

    def padded_samples(self, samples: int) -> int:
        """Return the padded length of a signal: an odd number of hops.

        Then the number of frames is even, which the inverse transform along time needs, and there
        is enough to pad by reflection.
        """
        hops = max(samples, self.fft_samples // 2) // self.hop_samples + 1
        return (hops + 1 - hops % 2) * self.hop_samples


class ConvolutionModule(nn.Module):
    """Residual gated convolutions along time, shared by the bins of a band."""

    def __init__(self, config: ScNetConfig, channels: int, count: int) -> None:
        super().__init__()
        hidden, kernel = channels // config.compression, config.conv_kernel
        padding = kernel // 2
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, channels),
                nn.Conv1d(channels, 2 * hidden, kernel, padding=padding),
                nn.GLU(dim=1),
                nn.Conv1d(hidden, hidden, kernel, padding=padding, groups=hidden),
                nn.GroupNorm(1, hidden),
                nn.SiLU(),
                nn.Conv1d(hidden, channels, 1),
            )
            for _ in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, bins, frames]`` to the same shape."""
        batch, _, bins, _ = x.shape
        rows = x.permute(0, 2, 1, 3).flatten(0, 1).unsqueeze(-1)  # [B F, C, N, 1]
        for layer in self.layers:
            assert isinstance(layer, nn.Sequential)
            added = rows
            for module in layer:
                added = _rows(module, added) if isinstance(module, nn.Conv1d) else module(added)
            rows = rows + added
        return torch.unflatten(rows.squeeze(-1), 0, (batch, bins)).transpose(1, 2)


def _rows(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """Apply a 1-D convolution to ``[rows, channels, frames, 1]`` as a 2-D one.

    Only 2-D convolutions support the channels-last memory format.
    """
    weight, padding = conv.weight.unsqueeze(-1), (conv.kernel_size[0] // 2, 0)
    return functional.conv2d(x, weight, conv.bias, padding=padding, groups=conv.groups)


class Down(nn.Module):
    """A level of the encoder: each band is compressed, then a convolution covers all bands."""

    def __init__(self, config: ScNetConfig, bands: list[Band], inside: int, outside: int) -> None:
        super().__init__()
        self._bands = bands
        self.convs = nn.ModuleList(
            nn.Conv2d(inside, outside, (band.kernel, 1), (band.stride, 1)) for band in bands
        )
        self.conv_modules = nn.ModuleList(
            ConvolutionModule(config, outside, count) for count in config.convolutions
        )
        self.globalconv = nn.Conv2d(outside, outside, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[batch, channels, bins, frames]`` to the input of the next level, and the skip."""
        parts = torch.split(x, [band.bins for band in self._bands], dim=2)
        compressed = [
            functional.gelu(module(conv(functional.pad(part, (0, 0, *band.padding)))))
            for part, band, conv, module in zip(
                parts, self._bands, self.convs, self.conv_modules, strict=True
            )
        ]
        skip = torch.cat(compressed, dim=2)
        return self.globalconv(skip), skip


class Up(nn.Module):
    """A level of the decoder: a gated convolution of input and skip, then each band is restored."""

    def __init__(self, bands: list[Band], inside: int, outside: int) -> None:
        super().__init__()
        self._bands = bands
        self.fusion = nn.Conv2d(2 * inside, 2 * inside, 3, padding=1)
        self.convtrs = nn.ModuleList(
            nn.ConvTranspose2d(inside, outside, (band.kernel, 1), (band.stride, 1))
            for band in bands
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map two ``[batch, channels, bins, frames]`` to the bins of the next level."""
        # The reference concatenates the sum with itself: with the sum of both halves of the weights
        # it is half the work.
        first, second = self.fusion.weight.chunk(2, dim=1)
        x = functional.glu(
            functional.conv2d(x + skip, first + second, self.fusion.bias, padding=1), dim=1
        )
        parts = torch.split(x, [band.compressed for band in self._bands], dim=2)
        restored = [
            convtr(part)[:, :, band.kept]
            for part, band, convtr in zip(parts, self._bands, self.convtrs, strict=True)
        ]
        return torch.cat(restored, dim=2)


@register_model("scnet")
class ScNet(ComplexModel):
    """One network from complex spectrogram to the complex spectrograms of all sources.

    Notes
    -----
    The transform has a rectangular window, as in the authors' code, but not in the paper.
    Departures from MSST's ``scnet``: mixtures shorter than half a frame are padded, and mixtures
    that are exactly zero have estimates that are exactly zero.
    """

    config_type = ScNetConfig
    config: ScNetConfig
    transform_window: ClassVar[Literal["hann", "rectangular"]] = "rectangular"

    def __init__(self, config: ScNetConfig) -> None:
        super().__init__(config)
        inputs = 2 * config.channels
        widths, levels = [inputs, *config.widths], config.levels
        self.encoder = nn.ModuleList(
            Down(config, bands, inside, outside)
            for bands, (inside, outside) in zip(levels, itertools.pairwise(widths), strict=True)
        )
        self.separation_net = SeparationNet(widths[-1], config.expansion, config.dual_layers)
        widths[0] = inputs * len(config.learned)
        self.decoder = nn.ModuleList(
            Up(bands, inside, outside)
            for bands, (outside, inside) in reversed(
                list(zip(levels, itertools.pairwise(widths), strict=True))
            )
        )

    def parts(self, seen: Tensor) -> Tensor:
        """See `ComplexModel.parts`."""
        # Channels last: convolutions take half the time, and LSTMs need no copies.
        x: Tensor = seen.contiguous(memory_format=torch.channels_last)
        skips = []
        for down in self.encoder:
            x, skip = down(x)
            skips.append(skip)
        x = self.separation_net(x)
        for up in self.decoder:
            x = up(x, skips.pop())
        return x


@register_model("scnet-masked")
class MaskedScNet(ScNet):
    """An SCNet with complex masks, bounded by tanh, and a frequency embedding.

    It is MSST's ``scnet_masked``; its transform has a Hann window.
    """

    transform_window = "hann"

    def __init__(self, config: ScNetConfig) -> None:
        super().__init__(config)
        inputs = 2 * config.channels
        outputs = inputs * len(config.learned)
        embedding = torch.empty(1, inputs, self.stft.bins, 1)
        self.pos_embed_f = nn.Parameter(nn.init.trunc_normal_(embedding, std=0.02))
        self.mask_layer = nn.Sequential(
            nn.Conv2d(outputs, _MASK_CHANNELS, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(_MASK_CHANNELS, outputs, 1),
            nn.Tanh(),
        )

    def parts(self, seen: Tensor) -> Tensor:
        """Estimate the parts of complex masks; see `ComplexModel.parts`."""
        masks: Tensor = self.mask_layer(super().parts(seen + self.pos_embed_f))
        return masks

    def spectra(self, seen: Tensor) -> Tensor:
        """See `ComplexModel.spectra`."""
        return super().spectra(seen) * as_complex(seen, 1)
