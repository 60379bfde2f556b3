"""A band-split recurrent network: bands of bins as tokens, recurrence along time and across bands.

Luo & Yu, "Music Source Separation with Band-split RNN", IEEE/ACM TASLP 2023.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._lstm import Lstm
from partita.models._registry import register_model
from partita.models._shares import ShareConfig, ShareModel
from partita.validation import bounded

_FEW_FRAMES = 100  # whose masks are made at once: memory that is used again
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
class BandSplitConfig(ShareConfig):
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
    overlap_frames: int = 16
    features: int = 64
    hidden: int = 64
    layers: int = bounded(4, most=64)
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

    def __init__(self, bands: Sequence[int], images: int, features: int) -> None:
        super().__init__()
        self._bands = list(bands)
        self.dense = nn.ModuleList(nn.Linear(images * bins, features) for bins in bands)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return features ``[bands, batch, frames, features]`` and the bands that they are of.

        Parameters
        ----------
        images : Tensor ``[batch, frames, images, bins]``
        """
        bands = [band.flatten(2) for band in torch.split(images, self._bands, dim=-1)]  # [B, N, Ib]
        features = [dense(band) for dense, band in zip(self.dense, bands, strict=True)]
        return torch.stack(features), bands


class Recurrence(nn.Module):
    """A bidirectional LSTM that adds to what it is given."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.lstm = Lstm(features, hidden, bidirectional=True)
        self.dense = nn.Linear(2 * hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[steps, rows, features]`` to the same shape."""
        states: Tensor = self.lstm(self.norm(x))[0]
        added: Tensor = x + self.dense(states)
        return added


class BandDecoder(nn.Module):
    """Makes masks of a band's features, and of the band itself, which has the finer detail."""

    def __init__(self, features: int, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self._widths = [features, inputs]
        self.first = nn.Linear(features + inputs, hidden)
        self.second = nn.Linear(hidden, outputs)

    def forward(self, features: Tensor, band: Tensor) -> Tensor:
        """Map ``[batch, frames, features]`` and ``[…, inputs]`` to ``[batch, frames, outputs]``."""
        # As if both stood side by side, which would be one more copy.
        of_features, of_band = torch.split(self.first.weight, self._widths, dim=1)
        hidden = functional.linear(features, of_features, self.first.bias)
        hidden = hidden + functional.linear(band, of_band)
        logits: Tensor = self.second(functional.gelu(hidden))
        return logits


@register_model("band-split")
class BandSplit(ShareModel):
    """One network for all sources, whose masks add up to one.

    Departures from the paper: it sees compressed magnitudes instead of complex spectra, and masks
    are real and shares of the mixture (softmax over the sources), so that estimates add up to it;
    one network for all sources; a mask also sees its band's own bins; bins are normalised by what
    they are in typical mixtures, since levels of bands would be lost otherwise.
    """

    config_type = BandSplitConfig
    config: BandSplitConfig
    compression = 0.3

    def __init__(self, config: BandSplitConfig) -> None:
        super().__init__(config)
        bands, features = config.band_bins, config.features
        self.encoder = BandEncoder(bands, config.images, features)
        self.along_time = nn.ModuleList(
            Recurrence(features, config.hidden) for _ in range(config.layers)
        )
        self.across_bands = nn.ModuleList(
            Recurrence(features, config.hidden) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(features)
        shares = len(config.sources) * config.channels
        self.decoders = nn.ModuleList(
            BandDecoder(features, config.images * bins, config.mask_hidden, shares * bins)
            for bins in bands
        )

    def logits(self, images: Tensor) -> Iterator[Tensor]:
        """Yield logits ``[batch, n, sources, channels, bins]`` of some frames: they are large."""
        features, bands = self.encoder(images)  # [K, B, N, H], [B, N, I b] each
        features = self._recur(features)
        shape = (len(self.sources), self.channels, -1)
        frames = (torch.split(x, _FEW_FRAMES, dim=-2) for x in (features, *bands))
        for few, *seen in zip(*frames, strict=True):
            logits = [
                decoder(own, band).unflatten(-1, shape)  # [B, n, S, C, b]
                for decoder, own, band in zip(self.decoders, few, seen, strict=True)
            ]
            yield torch.cat(logits, dim=-1)

    def _recur(self, features: Tensor) -> Tensor:
        """Map ``[bands, batch, frames, features]`` to the same shape."""
        count, batch, frames, _ = features.shape
        for along, across in zip(self.along_time, self.across_bands, strict=True):
            rows = features.permute(2, 0, 1, 3).flatten(1, 2)  # [K, B, N, H] -> [N, K B, H]
            rows = along(rows).unflatten(1, (count, batch))  # [N, K, B, H]
            rows = across(rows.permute(1, 2, 0, 3).flatten(1, 2))  # [K, B N, H]
            features = rows.unflatten(1, (batch, frames))  # [K, B, N, H]
        normalised: Tensor = self.norm(features)
        return normalised
