"""Demucs, version 3: with residual branches, GELUs and group normalisations.

The waveform network of Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX workshop
at ISMIR 2021, as the package demucs 4.1.0 has it (its class ``Demucs``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from partita.dsp.overlap_add import Window
from partita.models._dconv import BiLstm, DConv, DConvShape, rescale_convolutions
from partita.models._demucs_signal import centred, padded_samples, separate_with
from partita.models._protocol import SeparationModel
from partita.models._registry import register_model
from partita.models._residual_config import ResidualConfig
from partita.validation import bounded


@dataclass(frozen=True)
class DemucsV3Config(ResidualConfig):
    """Configuration of `DemucsV3`; see `partita.models._residual_config` for the rest.

    Attributes
    ----------
    kernel, stride : int
        Of the convolutions between levels.
    rewrite, glu, gelu : bool
        Whether levels have a second convolution, GLUs behind it (else ReLUs), and GELUs behind the
        first one (else ReLUs).
    lstm_layers : int
        Of the LSTM at the bottleneck; 0: no LSTM.
    dconv_attention, dconv_lstm : int
        The first level whose residual branches have local attention, and an LSTM.
    resample : bool
        Whether the network works at twice the sample rate.
    normalise : bool
        Whether mixtures are scaled so that their mono mix has mean 0 and standard deviation 1.
    """

    key_order: ClassVar[str] = """
        sources sample_rate channels hidden depth growth kernel stride context rewrite glu gelu
        lstm_layers norm_from norm_groups dconv dconv_depth dconv_compress dconv_scale
        dconv_attention dconv_lstm rescale resample normalise segment_s overlap
    """

    kernel: int = bounded(8, most=1024)
    stride: int = bounded(4, most=1024)
    rewrite: bool = True
    glu: bool = True
    gelu: bool = True
    lstm_layers: int = bounded(0, most=64)
    dconv_attention: int = 4
    dconv_lstm: int = 4
    resample: bool = True
    normalise: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(1 <= self.stride <= self.kernel, "stride must be 1 up to kernel")
        self.require(self.lstm_layers >= 0, "lstm_layers must not be negative")
        self.require(self.norm_groups >= 1, "norm_groups must be positive")

    @property
    def window(self) -> Window:
        """The window; hops are whole steps of the innermost level."""
        step = self.stride**self.depth
        if self.resample:
            step //= math.gcd(step, 2)
        length = max(self.segment_samples, step)
        hop = max(1, round((1 - self.overlap) * length / step)) * step
        return Window(length, length - min(hop, length // step * step), step)

    def valid_samples(self, samples: int) -> int:
        """Return the padded length of a signal; see `padded_samples`."""
        return padded_samples(self, samples)


@register_model("demucs-v3")
class DemucsV3(SeparationModel):
    """One network for the waveforms of all sources.

    Notes
    -----
    Departures from demucs 4.1.0: if the channels cancel each other in the mono mix, mixtures are
    normalised by the deviation of all channels as well, and mixtures that are exactly zero have
    estimates that are exactly zero. For songs in windows see `partita.models.htdemucs.Htdemucs`.
    """

    config_type = DemucsV3Config
    config: DemucsV3Config
    core = "network"

    def __init__(self, config: DemucsV3Config) -> None:
        super().__init__(config)
        self.window: Window | None = config.window
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        inside, width = config.channels, config.hidden
        outside = len(config.sources) * config.channels
        for index in range(config.depth):
            self.encoder.append(nn.Sequential(*self._down(index, inside, width)))
            self.decoder.insert(0, nn.Sequential(*self._up(index, width, outside)))
            inside = outside = width
            width = int(config.growth * width)
        self.lstm = BiLstm(inside, config.lstm_layers) if config.lstm_layers else None
        if config.rescale:
            rescale_convolutions(self, config.rescale)

    def _down(self, index: int, inside: int, width: int) -> list[nn.Module]:
        """Return a level of the encoder, in the order of demucs 4.1.0."""
        config = self.config
        first = nn.Conv1d(inside, width, config.kernel, config.stride)
        gate = self._gate(index, width, context=0)
        return [
            first,
            self._norm(index, width),
            _activation(config.gelu),
            *self._dconv(index, width, "encoder"),
            *gate,
        ]

    def _up(self, index: int, width: int, outside: int) -> list[nn.Module]:
        """Return a level of the decoder."""
        config = self.config
        last = nn.ConvTranspose1d(width, outside, config.kernel, config.stride)
        behind = [self._norm(index, outside), _activation(config.gelu)] if index else []
        gate = self._gate(index, width, config.context)
        return [*gate, *self._dconv(index, width, "decoder"), last, *behind]

    def _gate(self, index: int, width: int, context: int) -> list[nn.Module]:
        config = self.config
        if not config.rewrite:
            return []
        gated = (2 if config.glu else 1) * width
        convolution = nn.Conv1d(width, gated, 2 * context + 1, padding=context)
        gate = nn.GLU(dim=1) if config.glu else nn.ReLU()
        return [convolution, self._norm(index, gated), gate]

    def _norm(self, index: int, channels: int) -> nn.Module:
        if index < self.config.norm_from:
            return nn.Identity()
        return nn.GroupNorm(self.config.norm_groups, channels)

    def _dconv(self, index: int, width: int, side: str) -> list[nn.Module]:
        config = self.config
        if config.dconv not in (side, "both"):
            return []
        shape = DConvShape(
            config.dconv_compress,
            config.dconv_depth,
            config.dconv_scale,
            attention=index >= config.dconv_attention,
            lstm=index >= config.dconv_lstm,
        )
        return [DConv(width, shape)]

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        return separate_with(self.network, self.config, mixture)

    def network(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, n]`` to ``[batch, sources * channels, n or fewer]``."""
        skips = []
        for down in self.encoder:
            x = down(x)
            skips.append(x)
        if self.lstm is not None:
            x = self.lstm(x)
        for up in self.decoder:
            x = up(x + centred(skips.pop(), x.shape[-1]))
        return x


def _activation(gelu: bool) -> nn.Module:
    return nn.GELU() if gelu else nn.ReLU()
