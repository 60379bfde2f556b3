"""The configuration of Demucs and the blocks that its network is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.dsp.overlap_add import Window
from partita.models._demucs_signal import centred, padded_samples
from partita.models._lstm import Lstm
from partita.models._protocol import ModelConfig
from partita.validation import bounded


@dataclass(frozen=True)
class DemucsConfig(ModelConfig):
    """Configuration of `Demucs`.

    Attributes
    ----------
    hidden : int
        Channels of the outermost level.
    depth : int
        Levels of the encoder, and of the decoder.
    growth : float
        Channels grow by this factor from level to level.
    kernel, stride : int
        Of the strided convolutions.
    context : int
        Kernel size of the decoder's rewriting convolutions.
    rewrite : bool
        Whether each level has a second, rewriting convolution; in the encoder its kernel size is 1.
    glu : bool
        Whether gated linear units follow these; False: ReLUs.
    lstm_layers : int
        Of the LSTM at the bottleneck; 0: no LSTM.
    bidirectional : bool
        False: the LSTM sees past steps only.
    rescale : float
        Initial weights are rescaled towards this standard deviation; 0: they are not.
    resample : bool
        Whether the network works at twice the sample rate.
    normalise : bool
        Whether mixtures are scaled so that their mono mix has mean 0 and standard deviation 1.
    segment_s, overlap : float
        Length of a window in seconds, and how much of it overlaps with the next one, 0 to 1.
    """

    hidden: int = 64
    depth: int = bounded(6, most=16)
    growth: float = 2.0
    kernel: int = 8
    stride: int = 4
    context: int = 3
    rewrite: bool = True
    glu: bool = True
    lstm_layers: int = bounded(2, most=64)
    bidirectional: bool = True
    rescale: float = 0.1
    resample: bool = True
    normalise: bool = True
    segment_s: float = 10.0
    overlap: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.hidden >= 2 and self.depth >= 1, "hidden below 2 or depth below 1")
        self.require(self.growth >= 1, "growth must be at least 1")
        self.require(1 <= self.stride <= self.kernel, "stride must be 1 up to kernel")
        self.require(self.context >= 1, "context must be positive")
        self.require(self.lstm_layers >= 0, "lstm_layers must not be negative")
        self.require(self.rescale >= 0, "rescale must not be negative")
        self.require(self.segment_s > 0, "segment_s must be positive")
        self.require(0 <= self.overlap < 1, "overlap must be 0 or more and below 1")

    @property
    def widths(self) -> list[int]:
        """Channels of the levels, outermost first."""
        widths = [self.hidden]
        while len(widths) < self.depth:
            widths.append(int(self.growth * widths[-1]))
        return widths

    @property
    def window(self) -> Window:
        """The window, whose length and overlap are whole steps of the innermost level.

        Strided convolutions commute only with delays of whole steps. So neighbouring windows agree
        except near their ends.
        """
        step = self.stride**self.depth  # 4096 of twice the rate
        if self.resample:
            step //= math.gcd(step, 2)
        steps = max(1, round(self.segment_s * self.sample_rate / step))
        return Window(steps * step, min(steps - 1, round(steps * self.overlap)) * step, step)

    def valid_samples(self, samples: int) -> int:
        """Return the padded length of a signal.

        At this length strided convolutions use all of their input, and the decoder, which loses
        ``context - 1`` steps at every level, still returns at least as many samples as the signal.
        """
        return padded_samples(self, samples, lost_steps=self.context - 1)


class Down(nn.Module):
    """A level of the encoder: strided convolution, ReLU, rewriting convolution."""

    def __init__(self, config: DemucsConfig, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.glu = config.glu
        self.conv = nn.Conv1d(channels_in, channels_out, config.kernel, config.stride)
        gated = channels_out * (2 if config.glu else 1)
        self.rewrite = nn.Conv1d(channels_out, gated, 1) if config.rewrite else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels_in, n]`` to ``[batch, channels_out, about n / stride]``."""
        x = functional.relu(self.conv(x))
        return x if self.rewrite is None else _gated(self.rewrite(x), self.glu)


class Up(nn.Module):
    """A level of one or more independent decoders.

    Rewriting convolution, transposed convolution, and ReLU in all but the outermost level.

    Parameters
    ----------
    config : DemucsConfig
    channels_in, inner, channels_out : int
        Of each decoder: of the input, behind the rewriting convolution, of the output.
    decoders : int
    outermost : bool
    """

    def __init__(
        self,
        config: DemucsConfig,
        channels_in: int,
        inner: int,
        channels_out: int,
        *,
        decoders: int,
        outermost: bool,
    ) -> None:
        super().__init__()
        self.glu, self.decoders, self.outermost = config.glu, decoders, outermost
        self.rewrite = None
        if config.rewrite:
            gated = inner * (2 if config.glu else 1)
            self.rewrite = nn.Conv1d(
                decoders * channels_in, decoders * gated, config.context, groups=decoders
            )
        self.conv = nn.ConvTranspose1d(
            decoders * inner,
            decoders * channels_out,
            config.kernel,
            config.stride,
            groups=decoders,
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Go one level up.

        Parameters
        ----------
        x : Tensor ``[batch, decoders * channels_in, n]``
        skip : Tensor ``[batch, channels_in, n or more]``
            The encoder's output at this level, for all decoders.

        Returns
        -------
        Tensor ``[batch, decoders * channels_out, about stride * n]``
        """
        skip = centred(skip, x.shape[-1]).unsqueeze(1)  # [B, 1, C, n]
        batch, _, n = x.shape
        x = (x.reshape(batch, self.decoders, -1, n) + skip).flatten(1, 2)  # [B, D C, n]
        if self.rewrite is not None:
            x = _gated(self.rewrite(x), self.glu, self.decoders)
        x = self.conv(x)
        return x if self.outermost else functional.relu(x)


class Recurrence(nn.Module):
    """The LSTM at the bottleneck, with a dense layer that merges both directions."""

    def __init__(self, config: DemucsConfig, width: int) -> None:
        super().__init__()
        both = config.bidirectional
        self.lstm: nn.Module = Lstm(width, width, config.lstm_layers, bidirectional=both)
        self.linear = nn.Linear(2 * width, width) if both else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, width, steps]`` to the same shape."""
        states: Tensor = self.lstm(x.permute(2, 0, 1))[0]  # [B, C, N] -> [N, B, C]
        if self.linear is not None:
            states = self.linear(states)
        return states.permute(1, 2, 0)  # [N, B, C] -> [B, C, N]


def _gated(x: Tensor, glu: bool, groups: int = 1) -> Tensor:
    """Apply GLU, within each group of channels, or ReLU to ``[B, channels, n]``."""
    if not glu:
        return functional.relu(x)
    batch, _, n = x.shape
    return functional.glu(x.reshape(batch, groups, -1, n), dim=2).flatten(1, 2)


@torch.no_grad()
def rescale_weights(model: nn.Module, reference: float) -> None:
    """Rescale convolutions: the standard deviation becomes its geometric mean with a reference.

    With PyTorch's own initial weights signals fade from level to level ("weight rescaling at
    initialization" in the paper).
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)) and module.weight.numel() > 1:
            scale = (module.weight.std() / reference).sqrt()
            for parameter in module.parameters():
                parameter.div_(scale)
