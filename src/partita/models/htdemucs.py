"""Hybrid Transformer Demucs: U-Nets of spectrogram and waveform with a cross-domain transformer.

Rouard, Massa & Défossez, "Hybrid Transformers for Music Source Separation", ICASSP 2023, as the
package demucs 4.1.0 has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from partita.models._cross_transformer import CrossTransformer, TransformerShape
from partita.models._hybrid import HybridModel
from partita.models._hybrid_config import HybridConfig
from partita.models._registry import register_model
from partita.validation import bounded


@dataclass(frozen=True)
class HtdemucsConfig(HybridConfig):
    """Configuration of `Htdemucs`; see `partita.models._hybrid_config.HybridConfig` for the rest.

    Attributes
    ----------
    bottom_channels : int
        Channels of the transformer, with 1×1 convolutions before and behind it; 0: those of the
        U-Nets.
    layers : int
        Of the transformer, in each domain; 0: no transformer.
    heads : int
    hidden_scale : float
        Width of the feed-forward layers, in multiples of the channels.
    cross_first : bool
        Whether the first layer attends to the other domain; False: the second one.
    positions : str
        ``sin``, ``cape`` or ``scaled``; see `partita.models._cross_transformer.TransformerShape`,
        also for what follows.
    most_positions, longest_period, position_weight, most_shift
    cape_centred, cape_augmented, cape_shifts
    norm_in, norm_in_groups, norm_groups_inside, norm_out_groups, norm_first
    layer_scale, gelu, dropout
    pad_to_segment : bool
        Whether mixtures shorter than a window are padded with zeros at the end, except in training.
    """

    depth: int = bounded(4, most=12)
    dconv: Literal["none", "encoder", "decoder", "both"] = "both"
    dconv_compress: float = 8.0
    dconv_scale: float = 1e-3
    band_levels: int = bounded(3, most=12)
    segment_s: float = 7.8
    bottom_channels: int = 512
    layers: int = bounded(5, most=64)
    heads: int = bounded(8, most=256)
    hidden_scale: float = 4.0
    cross_first: bool = False
    positions: Literal["sin", "cape", "scaled"] = "sin"
    most_positions: int = bounded(10_000, most=100_000)
    longest_period: float = 10_000.0
    position_weight: float = 1.0
    most_shift: int = 0
    cape_centred: bool = True
    cape_augmented: bool = True
    cape_shifts: tuple[float, float, float] = (5000.0, 1.0, 1.4)
    norm_in: bool = True
    norm_in_groups: int = 0
    norm_groups_inside: int = 0
    norm_out_groups: int = 1
    norm_first: bool = True
    layer_scale: bool = True
    gelu: bool = True
    dropout: float = 0.0
    pad_to_segment: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        innermost = self.levels[-1]
        self.require(innermost.over_frequency, "depth is too large: the branches join too early")
        self.require(self.layers >= 0 and self.heads >= 1, "layers and heads must be positive")
        self.require(self.bottom_channels >= 0, "bottom_channels must not be negative")
        if self.layers:
            width = self.bottom_channels or innermost.width
            fits = width % self.heads == 0 and width % 4 == 0 and width >= 4
            self.require(fits, "the transformer's channels must divide by 4 and by heads")
            same = self.bottom_channels > 0 or innermost.width == innermost.width_time
            self.require(same, "without bottom_channels both branches must have the same width")
        groups = (self.norm_in_groups, self.norm_groups_inside, self.norm_out_groups)
        self.require(min(groups) >= 0, "groups must not be negative")
        self.require(self.hidden_scale > 0, "hidden_scale must be positive")
        self.require(0 <= self.dropout < 1, "dropout must be 0 or more and below 1")
        self.require(self.longest_period > 0, "longest_period must be positive")
        self.require(self.most_shift >= 0, "most_shift must not be negative")
        self.require(self.most_positions >= 1, "most_positions must be positive")
        self.require(self.cape_shifts[2] > 0, "cape_shifts must end with a positive scale")

    @property
    def transformer(self) -> TransformerShape:
        """The shape of the transformer."""
        width = self.bottom_channels or self.levels[-1].width
        return TransformerShape(
            width=width,
            hidden=int(width * self.hidden_scale),
            heads=self.heads,
            layers=self.layers,
            cross_first=self.cross_first,
            embedding=self.positions,
            most_positions=self.most_positions,
            norm_in=self.norm_in,
            norm_in_groups=self.norm_in_groups,
            norm_groups=self.norm_groups_inside,
            norm_out_groups=self.norm_out_groups,
            norm_first=self.norm_first,
            layer_scale=self.layer_scale,
            gelu=self.gelu,
            dropout=self.dropout,
            longest_period=self.longest_period,
            position_weight=self.position_weight,
            most_shift=self.most_shift,
            cape_centred=self.cape_centred,
            cape_augmented=self.cape_augmented,
            cape_shifts=self.cape_shifts,
        )


@register_model("htdemucs")
class Htdemucs(HybridModel):
    """Both U-Nets end before they would join; a cross-domain transformer connects them.

    Notes
    -----
    Departures from demucs 4.1.0: mixtures longer than a window are separated at once, where theirs
    raises an error. Shifted positions (``most_shift``) are for training only. The last window of a
    song is moved back instead of padded with zeros, and windows crossfade with squared sines over
    the overlap instead of triangles over whole windows. There is no sparse attention: no published
    weights need it.
    """

    config_type = HtdemucsConfig
    config: HtdemucsConfig

    def __init__(self, config: HtdemucsConfig) -> None:
        super().__init__(config)
        innermost, bottom = config.levels[-1], config.bottom_channels
        self.channel_upsampler: nn.Module = nn.Identity()
        self.channel_downsampler: nn.Module = nn.Identity()
        self.channel_upsampler_t: nn.Module = nn.Identity()
        self.channel_downsampler_t: nn.Module = nn.Identity()
        self.crosstransformer: CrossTransformer | None = None
        if bottom:
            self.channel_upsampler = nn.Conv1d(innermost.width, bottom, 1)
            self.channel_downsampler = nn.Conv1d(bottom, innermost.width, 1)
            self.channel_upsampler_t = nn.Conv1d(innermost.width_time, bottom, 1)
            self.channel_downsampler_t = nn.Conv1d(bottom, innermost.width_time, 1)
        if config.layers:
            self.crosstransformer = CrossTransformer(config.transformer)

    def _padded(self, mixture: Tensor) -> Tensor:
        missing = self.config.segment_samples - mixture.shape[-1]
        if self.training or not self.config.pad_to_segment or missing <= 0:
            return mixture
        return functional.pad(mixture, (0, missing))

    def _bottom(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        if self.crosstransformer is None:
            return x, xt
        bins = x.shape[2]
        up = self.channel_upsampler(x.flatten(2)).unflatten(2, (bins, -1))
        up, up_time = self.crosstransformer(up, self.channel_upsampler_t(xt))
        x = self.channel_downsampler(up.flatten(2)).unflatten(2, (bins, -1))
        return x, self.channel_downsampler_t(up_time)
