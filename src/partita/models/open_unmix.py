"""Open-Unmix: an LSTM network for each source.

Stöter, Uhlich, Liutkus & Mitsufuji, "Open-Unmix - A Reference Implementation for Music Source
Separation", JOSS 2019; after Uhlich et al., "Improving music source separation based on deep neural
networks through data augmentation and network blending", ICASSP 2017.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from partita.models._magnitudes import MagnitudeModel
from partita.models._registry import register_model
from partita.models._statistics import bin_statistics
from partita.models._unmix_fused import FusedUnmix
from partita.models._unmix_network import Connect, Recur, Signals, UnmixConfig, UnmixNetwork

_MIN_DEVIATION = 1e-4


class UnmixModel(MagnitudeModel):
    """Base class of models with an `UnmixNetwork` for each source."""

    config: UnmixConfig
    networks: nn.ModuleDict

    @abstractmethod
    def connection(self) -> Connect:
        """Return how the networks are connected; see `Connect`."""

    def all_networks(self) -> list[UnmixNetwork]:
        """Return the networks in the order of the sources."""
        return [network for network in self.networks.values() if isinstance(network, UnmixNetwork)]

    def network_input(self, spectrogram: Tensor) -> Tensor:
        """Return magnitudes, contiguous along bins, as the networks need them."""
        return spectrogram[..., : self.config.bins, :].mT.abs().mT

    def for_inference(self) -> FusedUnmix:
        """Return the same model in its faster form."""
        networks, connect = self.all_networks(), self.connection()
        return FusedUnmix(self.registry_name, self.config, networks, connect).eval()

    @torch.no_grad()
    def learn_statistics(self, mixtures: Iterable[Tensor]) -> None:
        """Normalise inputs to mean 0 and standard deviation 1 over the frames of mixtures.

        Parameters
        ----------
        mixtures : iterable of Tensor ``[batch, channels, samples]``
        """
        size = self.config.seen_bins
        spectra = (self.observe(mixture).network_input[..., :size, :] for mixture in mixtures)
        statistics = bin_statistics((x.flatten(0, 1).unsqueeze(1) for x in spectra), _MIN_DEVIATION)
        if statistics is None:
            return
        mean, deviation = statistics  # [1, bins], over all channels
        for network in self.networks.values():
            network.get_parameter("input_mean").copy_(-mean[0])
            network.get_parameter("input_scale").copy_(1 / deviation[0])


@register_model("open-unmix")
class OpenUnmix(UnmixModel):
    """One independent network for each source.

    Departures from openunmix: signals are padded with zeros instead of reflection; the Wiener
    filter works in double precision; songs are separated in overlapping windows of 14 s instead of
    as a whole.
    """

    config_type = UnmixConfig

    def __init__(self, config: UnmixConfig) -> None:
        super().__init__(config)
        self.networks = nn.ModuleDict({name: UnmixNetwork(config) for name in config.learned})

    def connection(self) -> Connect:
        """Return how the networks are connected: not at all."""
        return _unconnected

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate magnitudes ``[batch, learned sources, channels, bins, frames]``."""
        frames = mixture.permute(3, 0, 1, 2)  # [B, C, F, N] -> [N, B, C, F]
        estimates = [network(frames).permute(1, 2, 0, 3) for network in self.networks.values()]
        return torch.stack(estimates, dim=1).mT  # [B, S, C, N, F] -> [B, S, C, F, N]


def _unconnected(encoded: Signals, recur: Sequence[Recur]) -> Signals:
    """Return the decoders' inputs, as `UnmixNetwork.forward` has them."""
    both = zip(encoded, recur, strict=True)
    return [torch.cat([signal, states(signal)], dim=-1) for signal, states in both]
