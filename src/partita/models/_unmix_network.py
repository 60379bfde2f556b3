"""The configuration of Open-Unmix and the network of one source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._lstm import Lstm
from partita.models._magnitudes import MagnitudeConfig
from partita.validation import bounded

#: A layer's output, for each network.
Signals = Sequence[Tensor]
#: The recurrent layers of one network.
Recur = Callable[[Tensor], Tensor]
#: How networks are connected: maps the outputs of their first layers ``[frames, batch, hidden]``,
#: and their recurrent layers, to the inputs of their second dense layers.
Connect = Callable[[Signals, Sequence[Recur]], Signals]


@dataclass(frozen=True)
class UnmixConfig(MagnitudeConfig):
    """Configuration of `OpenUnmix`.

    Attributes
    ----------
    bandwidth_hz : float
        Upper edge of the bins that the network sees; it masks all bins.
    hidden : int
        Size of the hidden layers.
    layers : int
        Of the LSTM.
    bidirectional : bool
        False: a frame's estimate depends on earlier frames only, for live use.
    dropout : float
        Between the LSTM's layers.
    """

    frames: int = 600
    overlap_frames: int = 64
    bandwidth_hz: float = 16000.0
    hidden: int = 512
    layers: int = bounded(3, most=64)
    bidirectional: bool = True
    dropout: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.bandwidth_hz > 0, "bandwidth_hz must be positive")
        self.require(self.hidden >= 2 and self.layers >= 1, "hidden and layers must be positive")
        self.require(
            self.hidden % 2 == 0 or not self.bidirectional,
            "hidden must be even for a bidirectional LSTM",
        )
        self.require(0 <= self.dropout < 1, "dropout must be between 0 and 1")

    @property
    def seen_bins(self) -> int:
        """How many bins, the lowest ones, the network sees."""
        return min(self.bins, int(self.bandwidth_hz * self.fft_samples / self.sample_rate) + 1)


class UnmixNetwork(nn.Module):
    """The network of one source: from the mixture's magnitudes to the source's.

    A dense layer with tanh, an LSTM, and two dense layers, whose input is the outputs of both and
    whose output is a mask.

    Parameters
    ----------
    config : UnmixConfig
    recurrent_inputs, decoder_inputs : int
        Input sizes of the LSTM and of the second dense layer, in multiples of `hidden`; larger
        than the default if the networks of the sources are connected.
    """

    def __init__(
        self, config: UnmixConfig, recurrent_inputs: int = 1, decoder_inputs: int = 2
    ) -> None:
        super().__init__()
        hidden, outputs = config.hidden, config.channels * config.bins
        self.seen_bins = config.seen_bins
        self.input_mean = nn.Parameter(torch.zeros(self.seen_bins))
        self.input_scale = nn.Parameter(torch.ones(self.seen_bins))
        self.fc1 = nn.Linear(config.channels * self.seen_bins, hidden, bias=False)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.lstm = Lstm(
            recurrent_inputs * hidden,
            hidden // 2 if config.bidirectional else hidden,
            config.layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.fc2 = nn.Linear(decoder_inputs * hidden, hidden, bias=False)
        self.bn2 = nn.BatchNorm1d(hidden)
        self.fc3 = nn.Linear(hidden, outputs, bias=False)
        self.bn3 = nn.BatchNorm1d(outputs)
        self.output_scale = nn.Parameter(torch.ones(config.bins))
        self.output_mean = nn.Parameter(torch.ones(config.bins))

    def encode(self, mixture: Tensor) -> Tensor:
        """Map ``[frames, batch, channels, bins]`` to ``[frames, batch, hidden]``, -1 to 1."""
        x = (mixture[..., : self.seen_bins] + self.input_mean) * self.input_scale
        return torch.tanh(_normalised(self.bn1, self.fc1(x.flatten(2))))

    def recur(self, encoded: Tensor) -> Tensor:
        """Map ``[frames, batch, recurrent_inputs * hidden]`` to ``[frames, batch, hidden]``."""
        states: Tensor = self.lstm(encoded)[0]
        return states

    def decode(self, signals: Tensor, mixture: Tensor) -> Tensor:
        """Estimate magnitudes ``[frames, batch, channels, bins]``.

        Parameters
        ----------
        signals : Tensor ``[frames, batch, decoder_inputs * hidden]``
        mixture : Tensor ``[frames, batch, channels, bins]``
        """
        x = functional.relu(_normalised(self.bn2, self.fc2(signals)))
        x = _normalised(self.bn3, self.fc3(x)).reshape(mixture.shape)
        return functional.relu(x * self.output_scale + self.output_mean) * mixture

    def forward(self, mixture: Tensor) -> Tensor:
        """Map ``[frames, batch, channels, bins]`` to magnitudes of the same shape."""
        encoded = self.encode(mixture)
        return self.decode(torch.cat([encoded, self.recur(encoded)], dim=-1), mixture)


def _normalised(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Apply a batch normalisation to ``[frames, batch, features]``."""
    normalised: Tensor = norm(x.flatten(0, 1))
    return normalised.reshape(x.shape)
