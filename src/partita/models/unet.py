"""The spectrogram U-Net, as Spleeter shaped it.

Jansson et al., "Singing Voice Separation with Deep U-Net Convolutional Networks", ISMIR 2017,
after Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015; Hennequin et al., "Spleeter", JOSS 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._registry import register_model
from partita.models._spectrogram import SpectrogramConfig, SpectrogramModel
from partita.models._unet_fused import FusedDown, FusedMaskNetwork, FusedUp

_LEAK = 0.2


@dataclass(frozen=True)
class UNetConfig(SpectrogramConfig):
    """Configuration of `UNet`.

    Attributes
    ----------
    widths : tuple of int
        Channels of the levels, outermost first.
    dropout : float
        Dropout in the innermost three levels of the decoder.
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
        """Bins, and frames, per step of the innermost level."""
        return 1 << len(self.widths)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Down(nn.Module):
    """A level of the encoder: 5×5 convolution with stride 2, normalisation, activation."""

    def __init__(self, channels_in: int, channels_out: int, *, innermost: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 5, stride=2)
        self.norm = None if innermost else _norm(channels_out)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the skip, before the normalisation, and the input of the next level."""
        # TensorFlow's padding "same" for an even length: one zero before, two after.
        skip: Tensor = self.conv(functional.pad(x, (1, 2, 1, 2)))
        if self.norm is None:
            return skip, skip
        return skip, functional.leaky_relu(self.norm(skip), _LEAK)


class Up(nn.Module):
    """A level of the decoder: transposed 5×5 convolution, activation, normalisation."""

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
    """The U-Net of one source: magnitudes of the mixture to a mask."""

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
            # From the innermost level outwards; all but the first have a concatenated skip.
            channels_in = widths[-1] if level == 0 else 2 * widths[-1 - level]
            channels_out = widths[-2 - level] if level < depth - 1 else 1
            self.up.append(Up(channels_in, channels_out, config.dropout if level < 3 else 0.0))
        self.head = nn.Conv2d(1, config.channels, 4, dilation=2, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, frames, bins]`` to masks of the same shape, 0 to 1."""
        skips = []
        for down in self.encoder():
            skip, x = down(x)
            skips.append(skip)
        x = self.up[0](skips.pop())
        for up in self.decoder()[1:]:
            x = up(torch.cat([skips.pop(), x], dim=1))
        return torch.sigmoid(self.head(x))

    def encoder(self) -> list[Down]:
        """Return the levels of the encoder, outermost first."""
        return [level for level in self.down if isinstance(level, Down)]

    def decoder(self) -> list[Up]:
        """Return the levels of the decoder, innermost first."""
        return [level for level in self.up if isinstance(level, Up)]


@torch.no_grad()
def _fuse(network: nn.Module) -> nn.Module:
    """Return a network in its faster form for inference."""
    if not isinstance(network, MaskNetwork):  # fused already
        return network
    down = [FusedDown(level.conv, level.norm, _LEAK) for level in network.encoder()]
    up = [FusedUp(level.conv, level.norm) for level in network.decoder()]
    return FusedMaskNetwork(down, up, network.head)


@register_model("unet")
class UNet(SpectrogramModel):
    """One U-Net for each source; ratio masks from their squared magnitudes.

    Departures from Spleeter: above the network's bins, masks are the mean of those of the upper
    half of its bins (in Spleeter an option; its default is silence), and windows overlap.
    """

    config_type = UNetConfig
    config: UNetConfig
    gives_masks = True

    def __init__(self, config: UNetConfig, networks: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__(config)
        if networks is None:
            networks = {source: MaskNetwork(config) for source in config.sources}
        self.networks = nn.ModuleDict(networks)

    def for_inference(self) -> UNet:
        """Return the same model with its networks in their faster form."""
        return UNet(self.config, {name: _fuse(net) for name, net in self.networks.items()}).eval()

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate a mask ``[batch, sources, channels, bins, frames]`` for each source."""
        frames = mixture.shape[-1]
        # Shorter blocks than in training are padded to that length, as in Spleeter.
        whole, usual = -frames % self.config.stride, self.config.frames - frames
        missing = (whole + usual + abs(whole - usual)) // 2  # max, as exporters can trace it
        padded = functional.pad(mixture.mT, (0, 0, 0, missing))  # [B, C, N, F]
        masks = [network(padded).contiguous() for network in self.networks.values()]
        return torch.stack(masks, dim=1)[..., :frames, :].mT  # [B, S, C, F, N]
