"""A band-split recurrent network: bands of bins as tokens, recurrence along time and across bands.

Luo & Yu, "Music Source Separation with Band-split RNN", IEEE/ACM TASLP 2023.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._registry import register_model
from partita.models._spectrogram import SpectrogramConfig, SpectrogramModel
from partita.models._statistics import bin_statistics

_COMPRESSION = 0.3  # exponent of magnitudes: quiet parts of a spectrum count, too
_LEAST_DEVIATION = 1e-2
_FLOOR = 1e-8  # below it the derivative of a power would explode
#: Bandwidths in hertz, each up to a frequency: as fine as what lives there is close together.
_LAYOUT = (
    (200.0, 50.0),
    (1000.0, 100.0),
    (2000.0, 200.0),
    (4000.0, 400.0),
    (8000.0, 1000.0),
    (16000.0, 2000.0),
)


@dataclass(frozen=True)
class BandSplitConfig(SpectrogramConfig):
    """Configuration of `BandSplit`.

    Attributes
    ----------
    bins : int
        Up to 16 kHz at 44.1 kHz; masks above follow the base class's rule.
    features : int
        Of each band and frame.
    hidden : int
        Of the recurrent layers, in each direction.
    layers : int
        Pairs of recurrent layers, one along time and one across bands.
    mask_hidden : int
        Of the dense layers that make masks of a band's features.
    """

    bins: int = 1486
    frames: int = 300
    overlap_frames: int = 44
    mask_exponent: float = 1.0
    features: int = 64
    hidden: int = 64
    layers: int = 4
    mask_hidden: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("features", "hidden", "layers", "mask_hidden"):
            self.require(getattr(self, name) >= 1, f"{name} must be positive")

    @property
    def band_bins(self) -> list[int]:
        """How many bins each band has, from the lowest up."""
        edges_hz = [0.0]
        for top, width in _LAYOUT:
            while edges_hz[-1] < top:
                edges_hz.append(edges_hz[-1] + width)
        per_hz = self.fft_samples / self.sample_rate
        edges = [round(edge * per_hz) for edge in edges_hz]
        edges = [*(edge for edge in edges if edge < self.bins), self.bins]
        return [high - low for low, high in itertools.pairwise(edges) if high > low]


class BandEncoder(nn.Module):
    """Makes features of each band's bins."""

    mean: Tensor
    scale: Tensor

    def __init__(self, bands: Sequence[int], images: int, features: int) -> None:
        super().__init__()
        self._bands = list(bands)
        # By frame and band, as the paper normalises, levels of bands would be lost.
        self.register_buffer("mean", torch.zeros(images, sum(bands)))
        self.register_buffer("scale", torch.ones(images, sum(bands)))
        self.dense = nn.ModuleList(nn.Linear(images * bins, features) for bins in bands)

    def forward(self, seen: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return features ``[bands, batch, frames, features]`` and the bands that they are of.

        Parameters
        ----------
        seen : Tensor ``[batch, frames, images, bins]``
        """
        seen = (seen - self.mean) * self.scale
        bands = [band.flatten(2) for band in torch.split(seen, self._bands, dim=-1)]  # [B, N, I b]
        features = [dense(band) for dense, band in zip(self.dense, bands, strict=True)]
        return torch.stack(features), bands


class Recurrence(nn.Module):
    """A bidirectional LSTM that adds to what it is given."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.lstm = nn.LSTM(features, hidden, bidirectional=True)
        self.dense = nn.Linear(2 * hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[steps, rows, features]`` to the same shape."""
        states: Tensor = self.lstm(self.norm(x))[0]
        added: Tensor = x + self.dense(states)
        return added


class BandDecoder(nn.Module):
    """Makes masks of a band's features, and of the band itself, which has the finer detail."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, outputs)

    def forward(self, signals: Tensor) -> Tensor:
        """Map ``[batch, frames, inputs]`` to ``[batch, frames, outputs]``."""
        logits: Tensor = self.second(functional.gelu(self.first(signals)))
        return logits


@register_model("band-split")
class BandSplit(SpectrogramModel):
    """One network for all sources, whose masks add up to one.

    Departures from the paper: it sees compressed magnitudes instead of complex spectra, and masks
    are real and shares of the mixture (softmax over the sources), so that estimates add up to it;
    one network for all sources; a mask also sees its band's own bins; bins are normalised by what
    they are in typical mixtures.
    """

    config_type = BandSplitConfig
    config: BandSplitConfig
    gives_masks = True

    def __init__(self, config: BandSplitConfig) -> None:
        super().__init__(config)
        bands, images = config.band_bins, config.channels + (config.channels == 2)
        self.encoder = BandEncoder(bands, images, config.features)
        self.along_time = nn.ModuleList(
            Recurrence(config.features, config.hidden) for _ in range(config.layers)
        )
        self.across_bands = nn.ModuleList(
            Recurrence(config.features, config.hidden) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.features)
        shares = len(config.sources) * config.channels
        self.decoders = nn.ModuleList(
            BandDecoder(config.features + images * bins, config.mask_hidden, shares * bins)
            for bins in bands
        )

    def seen(self, spectrogram: Tensor) -> Tensor:
        """Return the bins that the network sees, with their phases: differences need them."""
        return spectrogram[..., : self.config.bins, :]

    @torch.no_grad()
    def learn_statistics(self, mixtures: Iterable[Tensor]) -> None:
        """Let the network see bins with mean 0 and deviation 1 over the mixtures' frames.

        Parameters
        ----------
        mixtures : iterable of Tensor ``[batch, channels, samples]``
        """
        spectra = ((self.stft.analyse(each), self._gain(each)) for each in mixtures)
        images = (_images(self.seen(spectrum) * gain) for spectrum, gain in spectra)
        statistics = bin_statistics(images, _LEAST_DEVIATION)
        if statistics is not None:
            mean, deviation = statistics
            self.encoder.mean.copy_(mean)
            self.encoder.scale.copy_(1 / deviation)

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate a mask ``[batch, sources, channels, bins, frames]`` for each source."""
        batch, channels, _, frames = mixture.shape
        features, bands = self.encoder(_images(mixture).permute(0, 3, 1, 2))  # [K, B, N, H]
        count = len(bands)
        for along, across in zip(self.along_time, self.across_bands, strict=True):
            rows = features.permute(2, 0, 1, 3).flatten(1, 2)  # [K, B, N, H] -> [N, K B, H]
            rows = along(rows).unflatten(1, (count, batch))  # [N, K, B, H]
            rows = across(rows.permute(1, 2, 0, 3).flatten(1, 2))  # [K, B N, H]
            features = rows.unflatten(1, (batch, frames))  # [K, B, N, H]
        features = self.norm(features)
        logits = []
        for decoder, own, band in zip(self.decoders, features, bands, strict=True):
            shares = decoder(torch.cat([own, band], dim=-1))  # [B, N, S C b]
            logits.append(shares.unflatten(-1, (len(self.sources), channels, -1)))
        together = torch.cat(logits, dim=-1)  # [B, N, S, C, bins]
        return together.permute(0, 2, 3, 4, 1).softmax(dim=1)  # [B, S, C, bins, N]


def _images(mixture: Tensor) -> Tensor:
    """Return what is seen of a mixture, compressed: its channels, and of two their difference.

    Parameters
    ----------
    mixture : Tensor, complex ``[batch, channels, bins, frames]``

    Returns
    -------
    Tensor ``[batch, images, bins, frames]``
    """
    images = mixture
    if mixture.shape[1] == 2:
        difference = (mixture[:, :1] - mixture[:, 1:]) / 2
        images = torch.cat([mixture, difference], dim=1)
    return (images.abs() + _FLOOR) ** _COMPRESSION
