"""Open-Unmix with connections between the networks of the sources.

Section 3.6.4 of *Music Source Separation Using Deep Learning* (Goel, Huang, Owoputi & Poudyal):
the second dense layer of each network, whose input includes a skip connection from its own tanh
layer, also has one from the tanh layers of the other networks. X-UMX (Sawata, Uhlich, Takahashi &
Mitsufuji, "All for One and One for All: Improving Music Separation by Bridging Networks", ICASSP
2021, section 3) averages instead, before and behind the LSTMs, which takes no more parameters than
independent networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from partita.models._registry import register_model
from partita.models._unmix_network import Connect, Recur, Signals, UnmixConfig, UnmixNetwork
from partita.models.open_unmix import UnmixModel

_CROSSES = {"tanh": (True, False), "lstm": (False, True), "both": (True, True)}
_JOINS = ("concatenate", "average")


@dataclass(frozen=True)
class CrosstalkConfig(UnmixConfig):
    """Configuration of `CrosstalkUnmix`; the defaults are the paper's.

    Attributes
    ----------
    crosses : str
        Which outputs of the other networks go into the second dense layer: of their ``tanh``
        layers, of their LSTMs (``lstm``), or ``both``.
    joins : str
        ``concatenate`` outputs of all networks, or ``average`` them.
    before_lstm : bool
        Whether outputs of the tanh layers are also joined before the LSTMs.
    after_lstm : bool
        Whether `crosses` applies at all.
    """

    crosses: str = "tanh"
    joins: str = "concatenate"
    before_lstm: bool = False
    after_lstm: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.crosses in _CROSSES, f"crosses must be one of {', '.join(_CROSSES)}")
        self.require(self.joins in _JOINS, f"joins must be one of {', '.join(_JOINS)}")
        self.require(self.before_lstm or self.after_lstm, "before_lstm or after_lstm must be true")


@register_model("crosstalk-unmix")
class CrosstalkUnmix(UnmixModel):
    """One network for each source, connected to all the others."""

    config_type = CrosstalkConfig
    config: CrosstalkConfig

    def __init__(self, config: CrosstalkConfig) -> None:
        super().__init__(config)
        others = len(config.learned) - 1 if config.joins == "concatenate" else 0
        crossing = sum(_CROSSES[config.crosses]) if config.after_lstm else 0
        self.networks = nn.ModuleDict(
            {
                name: UnmixNetwork(
                    config,
                    recurrent_inputs=1 + others * config.before_lstm,
                    decoder_inputs=2 + others * crossing,
                )
                for name in config.learned
            }
        )

    def connection(self) -> Connect:
        """Return how the networks are connected."""
        return partial(_connected, self.config)

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate magnitudes ``[batch, learned sources, channels, bins, frames]``."""
        frames = mixture.permute(3, 0, 1, 2)  # [B, C, F, N] -> [N, B, C, F]
        networks = self.all_networks()
        encoded = [network.encode(frames) for network in networks]  # S times [N, B, H]
        signals = self.connection()(encoded, [network.recur for network in networks])
        decoded = zip(networks, signals, strict=True)
        estimates = [network.decode(signal, frames) for network, signal in decoded]
        return torch.stack(estimates).permute(2, 0, 3, 4, 1)  # [S, N, B, C, F] -> [B, S, C, F, N]


def _connected(config: CrosstalkConfig, encoded: Signals, recur: Sequence[Recur]) -> Signals:
    """Return the input of each network's second dense layer; see `Connect`."""
    inputs = _joined(config, encoded) if config.before_lstm else encoded
    states: Signals = [run(signal) for run, signal in zip(recur, inputs, strict=True)]
    if config.after_lstm:
        tanh_crosses, lstm_crosses = _CROSSES[config.crosses]
        encoded = _joined(config, encoded) if tanh_crosses else encoded
        states = _joined(config, states) if lstm_crosses else states
    return [torch.cat(both, dim=-1) for both in zip(encoded, states, strict=True)]


def _joined(config: CrosstalkConfig, signals: Signals) -> Signals:
    """Join the networks' signals ``[frames, batch, hidden]``, for each network."""
    if config.joins == "average":
        return [torch.stack(list(signals)).mean(dim=0)] * len(signals)
    # Its own comes first, then the others in the order of the sources.
    return [
        torch.cat([own, *(x for other, x in enumerate(signals) if other != index)], dim=-1)
        for index, own in enumerate(signals)
    ]
