"""Band-split RNN: LSTMs along time and across frequency bands.

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
from partita.models._softmax_masks import SoftmaxMaskConfig, SoftmaxMaskModel
from partita.validation import bounded

_PIECE_FRAMES = 100  # masks are made in pieces of so many frames, which saves memory
#: (upper edge, bandwidth) in hertz: low bands are narrow, because harmonics are close there.
_BANDWIDTHS = (
    (200.0, 50.0),
    (1000.0, 100.0),
    (2000.0, 200.0),
    (4000.0, 400.0),
    (8000.0, 1000.0),
    (16000.0, 2000.0),
)


@dataclass(frozen=True)
class BandSplitConfig(SoftmaxMaskConfig):
    """Configuration of `BandSplit`.

    Attributes
    ----------
    bins : int
        Up to 16 kHz at 44.1 kHz; masks above are the mean of the upper half of these bins.
    features : int
        Size of the embedding of a band in a frame.
    hidden : int
        Hidden size of the LSTMs, in each direction.
    layers : int
        Pairs of LSTMs, one along time and one across bands.
    mask_hidden : int
        Hidden size of the mask estimators.
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
        """Bins of each band, from the lowest band up."""
        edges_hz = [0.0]
        for top, width in _BANDWIDTHS:
            while edges_hz[-1] < top:
                edges_hz.append(edges_hz[-1] + width)
        per_hz = self.fft_samples / self.sample_rate
        edges = [round(edge * per_hz) for edge in edges_hz]
        edges = [*(edge for edge in edges if edge < self.bins), self.bins]
        return [high - low for low, high in itertools.pairwise(edges) if high > low]


class BandEncoder(nn.Module):
    """Embeds each band: a dense layer from its bins to features."""

    def __init__(self, bands: Sequence[int], input_channels: int, features: int) -> None:
        super().__init__()
        self._bands = list(bands)
        self.dense = nn.ModuleList(nn.Linear(input_channels * bins, features) for bins in bands)

    def forward(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return features ``[bands, batch, frames, features]``, and the inputs split into bands.

        Parameters
        ----------
        inputs : Tensor ``[batch, frames, input channels, bins]``
        """
        bands = [
            band.flatten(2) for band in torch.split(inputs, self._bands, dim=-1)
        ]  # [B, N, I b]
        features = [dense(band) for dense, band in zip(self.dense, bands, strict=True)]
        return torch.stack(features), bands


class Recurrence(nn.Module):
    """A bidirectional LSTM with a residual connection."""

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
    """Estimates a band's mask logits from its features and from the band's own bins."""

    def __init__(self, features: int, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self._widths = [features, inputs]
        self.first = nn.Linear(features + inputs, hidden)
        self.second = nn.Linear(hidden, outputs)

    def forward(self, features: Tensor, band: Tensor) -> Tensor:
        """Map ``[batch, frames, features]`` and ``[…, inputs]`` to ``[batch, frames, outputs]``."""
        # The dense layer of both, concatenated, without the copy that concatenation makes.
        of_features, of_band = torch.split(self.first.weight, self._widths, dim=1)
        hidden = functional.linear(features, of_features, self.first.bias)
        hidden = hidden + functional.linear(band, of_band)
        logits: Tensor = self.second(functional.gelu(hidden))
        return logits


@register_model("band-split")
class BandSplit(SoftmaxMaskModel):
    """One network for all sources, whose masks add up to one.

    Departures from the paper: inputs are compressed magnitudes instead of complex spectra; masks
    are real and a softmax over the sources, so that estimates add up to the mixture; one network
    estimates all sources; mask estimators also see their band's own bins; bins are normalised by
    statistics of typical mixtures, because a normalisation per band would lose the bands' levels.
    """

    config_type = BandSplitConfig
    config: BandSplitConfig
    compression = 0.3

    def __init__(self, config: BandSplitConfig) -> None:
        super().__init__(config)
        bands, features = config.band_bins, config.features
        self.encoder = BandEncoder(bands, config.input_channels, features)
        self.along_time = nn.ModuleList(
            Recurrence(features, config.hidden) for _ in range(config.layers)
        )
        self.across_bands = nn.ModuleList(
            Recurrence(features, config.hidden) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(features)
        masks = len(config.sources) * config.channels
        self.decoders = nn.ModuleList(
            BandDecoder(features, config.input_channels * bins, config.mask_hidden, masks * bins)
            for bins in bands
        )

    def logits(self, inputs: Tensor) -> Iterator[Tensor]:
        """Yield logits ``[batch, n, sources, channels, bins]``, 100 frames at a time."""
        features, bands = self.encoder(inputs)  # [K, B, N, H], [B, N, I b] each
        features = self._recur(features)
        shape = (len(self.sources), self.channels, -1)
        frames = (torch.split(x, _PIECE_FRAMES, dim=-2) for x in (features, *bands))
        for piece, *own in zip(*frames, strict=True):
            logits = [
                decoder(of_band, band).unflatten(-1, shape)  # [B, n, S, C, b]
                for decoder, of_band, band in zip(self.decoders, piece, own, strict=True)
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
