"""Conv-TasNet: dilated convolutions that estimate masks of a learned transform.

Luo & Mesgarani, "Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude Masking for Speech
Separation", IEEE/ACM TASLP 27.8 (2019), in the shape that demucs 2.0.3 gives it for music: stereo,
44.1 kHz, four sources (Défossez, Usunier, Bottou & Bach, "Music Source Separation in the Waveform
Domain", 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.dsp.overlap_add import Window
from partita.models._protocol import ModelConfig, SeparationModel
from partita.models._registry import register_model
from partita.validation import bounded

_EPS = 1e-8
_MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "softmax": lambda scores: scores.softmax(dim=1),
}


@dataclass(frozen=True)
class ConvTasNetConfig(ModelConfig):
    """Configuration of `ConvTasNet`; the letters are those of the paper's table I.

    Attributes
    ----------
    filters : int
        N, of encoder and decoder.
    filter_samples : int
        L, their length; the hop is half of it.
    bottleneck : int
        B, channels between the blocks.
    hidden : int
        H, channels within a block.
    kernel : int
        P, kernel size of the depthwise convolutions; odd, unless causal.
    blocks : int
        X, per repeat; dilations are 1, 2, 4, ….
    repeats : int
        R, of the sequence of blocks.
    norm : str
        ``gLN``: over all channels and frames (section II-C); ``cLN``: over the channels of each
        frame; ``BN``: batch normalisation.
    mask : str
        ``relu``: independent masks; ``softmax``: masks that add up to one.
    causal : bool
        Whether convolutions see no future frames; see `latency`.
    segment_s : float
        Length of a window in seconds.
    overlap : float
        How much of a window overlaps with the next one, 0 to 1.
    """

    filters: int = 256
    filter_samples: int = 20
    bottleneck: int = 256
    hidden: int = 512
    kernel: int = 3
    blocks: int = bounded(10, most=32)
    repeats: int = bounded(4, most=32)
    norm: str = "gLN"
    mask: str = "relu"
    causal: bool = False
    segment_s: float = 8.0
    overlap: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("filters", "bottleneck", "hidden", "blocks", "repeats"):
            self.require(getattr(self, name) >= 1, f"{name} must be positive")
        self.require(self.filter_samples >= 2, "filter_samples must be at least 2")
        self.require(self.kernel >= 2, "kernel must be at least 2")
        self.require(self.causal or self.kernel % 2 == 1, "kernel must be odd, unless causal")
        self.require(self.norm in _NORMS, f"norm must be one of {', '.join(_NORMS)}")
        self.require(self.mask in _MASKS, f"mask must be one of {', '.join(_MASKS)}")
        self.require(self.segment_s * self.sample_rate >= 1, "segment_s must be positive")
        self.require(0 <= self.overlap < 1, "overlap must be 0 or more and below 1")

    @property
    def hop_samples(self) -> int:
        """Samples from one frame of the encoder to the next."""
        return self.filter_samples // 2

    @property
    def window(self) -> Window:
        """The window; length and hop are such that all windows have the same frame grid.

        On a shifted grid the same signal has other estimates, and crossfades would mix both.
        """
        hop, length = self.hop_samples, self.segment_s * self.sample_rate
        frames = max(round((length - self.filter_samples) / hop), 0)
        whole = frames * hop + self.filter_samples
        advance = min(max(round(length * (1 - self.overlap) / hop), 1), whole // hop)
        return Window(whole, whole - advance * hop, hop)

    @property
    def latency(self) -> int | None:
        """The algorithmic latency in samples; None: the whole window.

        That of a causal network comes from its encoder: the last frame that contains a sample ends
        at most ``filter_samples - 1`` samples later (0.4 ms with the default). With gLN a network
        is not causal, because it normalises over all frames, as BN does in training.
        """
        return self.filter_samples - 1 if self.causal and self.norm != "gLN" else None


class ChannelNorm(nn.Module):
    """cLN as in the reference: each frame is normalised over its channels.

    The paper's cLN also includes all earlier frames.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[batch, channels, frames]``."""
        return functional.layer_norm(x.mT, self.weight.shape, self.weight, self.bias, _EPS).mT


_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "gLN": lambda channels: nn.GroupNorm(1, channels, eps=_EPS),
    "cLN": ChannelNorm,
    "BN": nn.BatchNorm1d,
}


class Block(nn.Module):
    """A dilated, depthwise separable convolution with a residual connection (figure 1C)."""

    def __init__(self, config: ConvTasNetConfig, dilation: int) -> None:
        super().__init__()
        hidden, norm = config.hidden, _NORMS[config.norm]
        span = (config.kernel - 1) * dilation
        self.expand = nn.Conv1d(config.bottleneck, hidden, 1, bias=False)
        self.prelu1 = nn.PReLU()
        self.norm1 = norm(hidden)
        self.depthwise = nn.Conv1d(
            hidden,
            hidden,
            config.kernel,
            padding=span if config.causal else span // 2,
            dilation=dilation,
            groups=hidden,
            bias=False,
        )
        self.prelu2 = nn.PReLU()
        self.norm2 = norm(hidden)
        self.project = nn.Conv1d(hidden, config.bottleneck, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, bottleneck, frames]`` to the same shape."""
        hidden = self.norm1(self.prelu1(self.expand(x)))
        hidden = self.depthwise(hidden)[..., : x.shape[-1]]  # causal: without the future
        projected: Tensor = self.project(self.norm2(self.prelu2(hidden)))
        return x + projected


@register_model("conv-tasnet")
class ConvTasNet(SeparationModel):
    """One network for the waveforms of all sources.

    Departures from demucs 2.0.3: mixtures are not divided by the standard deviation of their song,
    which hardly changes masks; samples behind the last whole frame are estimated from a frame
    padded with zeros, not left silent; windows crossfade with squared sines; weights have PyTorch's
    default initialisation, where demucs draws all of them, scales of normalisations included,
    around zero. Departures from the paper, all of them demucs's own: no skip outputs of the blocks,
    no PReLU before the masks, ReLU or softmax instead of sigmoid, no biases.
    """

    config_type = ConvTasNetConfig
    config: ConvTasNetConfig

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__(config)
        self.window: Window | None = config.window
        filters, hop = config.filters, config.hop_samples
        self.encoder = nn.Conv1d(config.channels, filters, config.filter_samples, hop, bias=False)
        self.norm = ChannelNorm(filters)
        self.bottleneck = nn.Conv1d(filters, config.bottleneck, 1, bias=False)
        dilations = [1 << block for block in range(config.blocks)] * config.repeats
        self.blocks = nn.Sequential(*(Block(config, dilation) for dilation in dilations))
        self.scores = nn.Conv1d(config.bottleneck, len(config.sources) * filters, 1, bias=False)
        self.decoder = nn.ConvTranspose1d(
            filters, config.channels, config.filter_samples, hop, bias=False
        )

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        batch, samples = mixture.shape[0], mixture.shape[-1]
        length, hop = self.config.filter_samples, self.config.hop_samples
        # Pad to a whole number of frames, at least one.
        missing = max(length - samples, (length - samples) % hop)
        frames = functional.relu(self.encoder(functional.pad(mixture, (0, missing))))  # [B, N, K]
        scores = self.scores(self.blocks(self.bottleneck(self.norm(frames))))  # [B, S * N, K]
        shape = (batch, len(self.sources), self.config.filters, -1)
        masks = _MASKS[self.config.mask](scores.reshape(shape))
        masked = masks * frames.unsqueeze(1)  # [B, S, N, K]
        estimates: Tensor = self.decoder(masked.flatten(0, 1))  # [B * S, C, T']
        return estimates[..., :samples].reshape(batch, len(self.sources), -1, samples)
