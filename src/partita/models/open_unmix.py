"""Open-Unmix: a recurrent network of its own for each source.

Stöter, Uhlich, Liutkus & Mitsufuji, "Open-Unmix - A Reference Implementation for Music Source
Separation", JOSS 2019; after Uhlich et al., "Improving music source separation based on deep neural
networks through data augmentation and network blending", ICASSP 2017.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._lstm import Lstm
from partita.models._magnitudes import MagnitudeConfig, MagnitudeModel
from partita.models._registry import register_model
from partita.models._statistics import bin_statistics
from partita.models._unmix_fused import Connect, FusedUnmix, Recur, Signals
from partita.models._validation import bounded

_LEAST_DEVIATION = 1e-4


@dataclass(frozen=True)
class UnmixConfig(MagnitudeConfig):
    """Configuration of `OpenUnmix`.

    Attributes
    ----------
    bandwidth_hz : float
        The network sees bins up to this frequency, and masks all.
    hidden : int
        Size of the layers between.
    layers : int
        Of the recurrent part.
    bidirectional : bool
        False: the estimate of a frame knows the frames before it only, for live use.
    dropout : float
        Between the recurrent layers, in training.
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
            "hidden must be even, half of it for each direction",
        )
        self.require(0 <= self.dropout < 1, "dropout must be between 0 and 1")

    @property
    def seen_bins(self) -> int:
        """How many of the lowest bins the network sees."""
        return min(self.bins, int(self.bandwidth_hz * self.fft_samples / self.sample_rate) + 1)


class UnmixNetwork(nn.Module):
    """The network of one source: from the mixture's magnitudes to the source's.

    A dense layer, tanh; recurrent layers; two dense layers of which the first sees both; then the
    mixture is multiplied with what came out.

    Parameters
    ----------
    config : UnmixConfig
    recurrent_inputs, decoder_inputs : int
        What the recurrent layers and the second dense layer see, in multiples of `hidden`: the
        source's own signals, and others' where networks are connected.
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
        seen = (mixture[..., : self.seen_bins] + self.input_mean) * self.input_scale
        return torch.tanh(_normalised(self.bn1, self.fc1(seen.flatten(2))))

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
    """Normalise ``[frames, batch, features]`` over all frames of all examples."""
    normalised: Tensor = norm(x.flatten(0, 1))
    return normalised.reshape(x.shape)


class UnmixModel(MagnitudeModel):
    """Base of models that are a set of `UnmixNetwork`."""

    config: UnmixConfig
    networks: nn.ModuleDict

    @abstractmethod
    def connection(self) -> Connect:
        """Return what connects the networks' first layers with their second dense ones."""

    def all_networks(self) -> list[UnmixNetwork]:
        """Return the networks in the order of the sources."""
        return [network for network in self.networks.values() if isinstance(network, UnmixNetwork)]

    def seen(self, spectrogram: Tensor) -> Tensor:
        """Return magnitudes; the bins of a frame stand together, as the networks take them."""
        return spectrogram[..., : self.config.bins, :].mT.abs().mT

    def for_inference(self) -> FusedUnmix:
        """Return the same model in its faster form."""
        networks, connect = self.all_networks(), self.connection()
        return FusedUnmix(self.registry_name, self.config, networks, connect).eval()

    @torch.no_grad()
    def learn_statistics(self, mixtures: Iterable[Tensor]) -> None:
        """Let all networks see bins with mean 0 and deviation 1 over the mixtures' frames.

        Parameters
        ----------
        mixtures : iterable of Tensor ``[batch, channels, samples]``
        """
        size = self.config.seen_bins
        spectra = (self.observe(mixture).seen[..., :size, :] for mixture in mixtures)
        statistics = bin_statistics(
            (x.flatten(0, 1).unsqueeze(1) for x in spectra), _LEAST_DEVIATION
        )
        if statistics is None:
            return
        mean, deviation = statistics  # [1, bins]: of all channels
        for network in self.networks.values():
            network.get_parameter("input_mean").copy_(-mean[0])
            network.get_parameter("input_scale").copy_(1 / deviation[0])


@register_model("open-unmix")
class OpenUnmix(UnmixModel):
    """One network for each source, which knows nothing of the others.

    Departures from openunmix: the signal counts as zero outside its ends, where theirs is
    reflected; the Wiener filter calculates in double precision; songs pass in windows of 14 s that
    overlap, where theirs pass as a whole.
    """

    config_type = UnmixConfig

    def __init__(self, config: UnmixConfig) -> None:
        super().__init__(config)
        self.networks = nn.ModuleDict({name: UnmixNetwork(config) for name in config.learned})

    def connection(self) -> Connect:
        """Return how a network's layers are connected, each by itself."""
        return _unconnected

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate magnitudes ``[batch, learned sources, channels, bins, frames]``."""
        frames = mixture.permute(3, 0, 1, 2)  # [B, C, F, N] -> [N, B, C, F]
        estimates = [network(frames).permute(1, 2, 0, 3) for network in self.networks.values()]
        return torch.stack(estimates, dim=1).mT  # [B, S, C, N, F] -> [B, S, C, F, N]


def _unconnected(encoded: Signals, recur: Sequence[Recur]) -> Signals:
    """Return what `UnmixNetwork.forward` gives to its decoder, for each network."""
    both = zip(encoded, recur, strict=True)
    return [torch.cat([signal, states(signal)], dim=-1) for signal, states in both]
