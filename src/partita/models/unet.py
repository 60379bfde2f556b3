"""The spectrogram U-Net, as Spleeter shaped it.

Jansson et al., "Singing Voice Separation with Deep U-Net Convolutional Networks", ISMIR 2017,
after Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015; Hennequin et al., "Spleeter", JOSS 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._registry import register_model
from partita.models._spectrogram import SpectrogramConfig, SpectrogramModel

_LEAK = 0.2


@dataclass(frozen=True)
class UNetConfig(SpectrogramConfig):
    """Configuration of `UNet`.

    Attributes
    ----------
    widths : tuple of int
        Channels of the encoder's levels, outermost first; their number is the depth.
    dropout : float
        Of the innermost three decoder levels, in training.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(len(self.widths) >= 1 and min(self.widths) >= 1, "widths must be positive")
        self.require(0 <= self.dropout < 1, "dropout must be between 0 and 1")
        self.require(self.bins % self.stride == 0, f"bins must be a multiple of {self.stride}")

    @property
    def stride(self) -> int:
        """Bins, and frames, that the innermost level sees as one."""
        return 1 << len(self.widths)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Down(nn.Module):
    """Halve both axes: 5×5 convolution, then normalisation and activation."""

    def __init__(self, channels_in: int, channels_out: int, *, innermost: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 5, stride=2)
        self.norm = None if innermost else _norm(channels_out)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the skip, which is the bare convolution, and what goes further down."""
        # One zero before and two behind: TensorFlow's "same" for an even length.
        skip = self.conv(functional.pad(x, (1, 2, 1, 2)))
        if self.norm is None:
            return skip, skip
        return skip, functional.leaky_relu(self.norm(skip), _LEAK)


class Up(nn.Module):
    """Double both axes: transposed 5×5 convolution, activation, then normalisation."""

    def __init__(self, channels_in: int, channels_out: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels_in, channels_out, 5, stride=2)
        self.norm = _norm(channels_out)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, frames, bins]`` to twice the frames and bins."""
        grown = self.conv(x)[..., 1:-2, 1:-2]
        x = self.norm(functional.relu(grown))
        return functional.dropout(x, self.dropout, self.training)


class MaskNetwork(nn.Module):
    """One U-Net: magnitudes of the mixture in, the mask of one source out."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        depth, widths = len(config.widths), config.widths
        self.down = nn.ModuleList(
            Down(inside, outside, innermost=level == depth - 1)
            for level, (inside, outside) in enumerate(
                zip((config.channels, *widths), widths, strict=False)
            )
        )
        self.up = nn.ModuleList()
        for level in range(depth):
            # From the innermost level outwards; all but the first also get the skip beside them.
            channels_in = widths[-1] if level == 0 else 2 * widths[-1 - level]
            channels_out = widths[-2 - level] if level < depth - 1 else 1
            self.up.append(Up(channels_in, channels_out, config.dropout if level < 3 else 0.0))
        self.head = nn.Conv2d(1, config.channels, 4, dilation=2, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, frames, bins]`` to masks of the same shape, 0 to 1."""
        skips = []
        for down in self.down:
            skip, x = down(x)
            skips.append(skip)
        x = self.up[0](skips.pop())
        for up in list(self.up)[1:]:
            x = up(torch.cat([skips.pop(), x], dim=1))
        return torch.sigmoid(self.head(x))


@register_model("unet")
class UNet(SpectrogramModel):
    """One U-Net for each source; their squared magnitudes share out the mixture.

    Departures from Spleeter: masks above the network's bins continue the mean of the lower ones
    (Spleeter offers that as an option and cuts by default), and windows overlap.
    """

    config_type = UNetConfig
    config: UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        self.networks = nn.ModuleDict({source: MaskNetwork(config) for source in config.sources})

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate ``[batch, sources, channels, bins, frames]`` magnitudes."""
        frames = mixture.shape[-1]
        missing = max(-frames % self.config.stride, self.config.frames - frames)
        image = functional.pad(mixture, (0, missing)).transpose(-1, -2)  # [B, C, N, F]
        masks = torch.stack([network(image) for network in self.networks.values()], dim=1)
        magnitudes = masks * image.unsqueeze(1)  # [B, S, C, N, F]
        return magnitudes.transpose(-1, -2)[..., :frames]
