"""Base class of BS-RoFormer and Mel-Band RoFormer, which differ in their bands."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.dsp.overlap_add import Window
from partita.models._protocol import ModelConfig, SeparationModel
from partita.models._roformer_layers import (
    BandSplit,
    MaskEstimator,
    Polar,
    RmsNorm,
    Rotary,
    Transformer,
    TransformerSizes,
)
from partita.validation import bounded

_CACHED_TOKENS = 800  # processed at a time: their activations fit a core's cache


@dataclass(frozen=True)
class RoformerConfig(ModelConfig):
    """Configuration common to RoFormers.

    Attributes
    ----------
    features : int
        Of each band and frame.
    layers : int
        Pairs of transformers, one along time and one across bands.
    time_depth, frequency_depth : int
        Attention layers of each of these.
    linear_depth : int
        Layers of linear attention over all bands and frames, before each pair; 0: none.
    heads, head_features : int
        Of attention.
    attention_dropout, dropout : float
        Of attention, and of the feed-forward layers.
    positions : {"rotary", "polar"}
        Position embedding: RoPE or PoPE.
    shared_bias : bool
        Whether all attention layers share one bias of their inputs and one of their outputs.
    skip_connections : bool
        Whether the outputs of all earlier layers are added to the input of each layer.
    mask_layers : int
        Dense layers of the mask estimators; Mel-Band RoFormer has one more.
    mask_expansion : int
        Width of their hidden layers, in multiples of `features`.
    fft_samples, hop_samples, window_samples : int
        Of the short-time Fourier transform; the Hann window may be shorter than the FFT.
    normalised : bool
        Whether spectra are divided by the square root of `fft_samples`.
    zero_dc : bool
        Whether the lowest bin of estimates is set to zero.
    segment_samples, overlap_samples : int
        Length of a window, and its overlap with the next one.
    residual : bool
        Whether the last source has no network: it is the mixture minus the other sources.
    """

    features: int = 384
    layers: int = bounded(6, most=64)
    time_depth: int = bounded(1, most=16)
    frequency_depth: int = bounded(1, most=16)
    linear_depth: int = bounded(0, most=16)
    heads: int = bounded(8, most=256)
    head_features: int = 64
    attention_dropout: float = 0.0
    dropout: float = 0.0
    positions: Literal["rotary", "polar"] = "rotary"
    shared_bias: bool = False
    skip_connections: bool = False
    mask_layers: int = bounded(2, most=16)
    mask_expansion: int = 4
    fft_samples: int = 2048
    hop_samples: int = 441
    window_samples: int = 2048
    normalised: bool = False
    zero_dc: bool = True
    segment_samples: int = bounded(352_800, most=100_000_000)
    overlap_samples: int = bounded(88_200, most=100_000_000)
    residual: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = ("features", "layers", "time_depth", "frequency_depth", "heads")
        for name in (*positive, "head_features", "mask_layers", "mask_expansion", "hop_samples"):
            self.require(getattr(self, name) >= 1, f"{name} must be positive")
        self.require(self.linear_depth >= 0, "linear_depth must not be negative")
        for name in ("attention_dropout", "dropout"):
            self.require(0 <= getattr(self, name) < 1, f"{name} must be 0 or more and below 1")
        self.require(
            self.window_samples <= self.fft_samples and self.fft_samples % 2 == 0,
            "fft_samples must be even and not below window_samples",
        )
        self.require(
            2 * self.hop_samples <= self.window_samples, "hop_samples exceed half a window"
        )
        self.require(
            0 <= self.overlap_samples < self.segment_samples,
            "overlap_samples must be below segment_samples",
        )
        if self.residual:
            self.require(len(self.sources) >= 2, "a residual needs other sources")

    @property
    def learned(self) -> tuple[str, ...]:
        """The sources with a network."""
        return self.sources[:-1] if self.residual else self.sources

    @property
    def bins(self) -> int:
        """Frequency bins of the transform."""
        return self.fft_samples // 2 + 1

    @property
    def window(self) -> Window:
        """The window; windows begin whole hops apart, so that all have the same frame grid."""
        hop = self.segment_samples - self.overlap_samples
        hops = max(1, min(round(hop / self.hop_samples), self.segment_samples // self.hop_samples))
        if hops * self.hop_samples > self.segment_samples:
            return Window(self.segment_samples, self.overlap_samples)
        return Window(
            self.segment_samples, self.segment_samples - hops * self.hop_samples, self.hop_samples
        )


class RoformerModel(SeparationModel):
    """Base class of RoFormers: axial transformers that estimate complex masks.

    Parameters
    ----------
    config : RoformerConfig
    band_sizes : list of int
        Bins of each band, from the lowest band up.
    mask_hidden : int
        Hidden layers of the mask estimators.
    mixes_values, norm_output : bool
        See `TransformerSizes`.
    """

    config: RoformerConfig
    core = "mask_parts"

    def __init__(
        self,
        config: RoformerConfig,
        *,
        band_sizes: list[int],
        mask_hidden: int,
        mixes_values: bool,
        norm_output: bool,
    ) -> None:
        super().__init__(config)
        self.window: Window | None = config.window
        self._mixes_values = mixes_values
        self.layers = nn.ModuleList(
            self._transformers(
                TransformerSizes(
                    config.features,
                    config.heads,
                    config.head_features,
                    config.attention_dropout,
                    config.dropout,
                    mixes_values=mixes_values and layer > 0,
                    norm_output=norm_output,
                )
            )
            for layer in range(config.layers)
        )
        self.time_positions = self._positions()
        self.frequency_positions = self._positions()
        self.qkv_bias: nn.Parameter | None = None
        self.out_bias: nn.Parameter | None = None
        if config.shared_bias:
            self.qkv_bias = nn.Parameter(torch.zeros(3 * config.heads * config.head_features))
            self.out_bias = nn.Parameter(torch.zeros(config.features))
        self.final_norm = nn.Identity() if norm_output else RmsNorm(config.features)
        values = [2 * bins * config.channels for bins in band_sizes]
        self.band_split = BandSplit(config.features, values)
        hidden = [config.mask_expansion * config.features] * mask_hidden
        self.networks = nn.ModuleDict(
            {source: MaskEstimator(config.features, values, hidden) for source in config.learned}
        )

    @property
    def learned(self) -> tuple[str, ...]:
        """The sources with a network."""
        return self.config.learned

    def _transformers(self, sizes: TransformerSizes) -> nn.ModuleList:
        config = self.config
        linear = [Transformer(sizes, config.linear_depth, linear=True)]
        return nn.ModuleList(
            [
                *(linear if config.linear_depth else []),
                Transformer(sizes, config.time_depth),
                Transformer(sizes, config.frequency_depth),
            ]
        )

    def _positions(self) -> Rotary | Polar:
        config = self.config
        if config.positions == "polar":
            return Polar(config.heads, config.head_features)
        return Rotary(config.head_features)

    @abstractmethod
    def in_bands(self, x: Tensor) -> Tensor:
        """Order the bins of ``[batch, frames, bins, channels, 2]`` by bands, along axis 2."""

    @abstractmethod
    def of_bands(self, masks: Tensor) -> Tensor:
        """Undo `in_bands` for complex masks ``[batch, frames, …, channels]``, along axis 2."""

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        samples = mixture.shape[-1]
        spectrogram = self._analyse(mixture)  # [B, C, F, N]
        x = torch.view_as_real(spectrogram).permute(0, 3, 2, 1, 4)  # [B, N, F, C, 2]
        estimates = []
        for numbers in self.mask_parts(x).unbind(dim=1):
            masks = self.of_bands(torch.view_as_complex(numbers))  # [B, N, F, C]
            masked = spectrogram * masks.permute(0, 3, 2, 1)  # [B, C, F, N]
            if self.config.zero_dc:
                masked = functional.pad(masked[:, :, 1:], (0, 0, 1, 0))
            estimates.append(self._synthesise(masked, samples))
        if self.config.residual:
            estimates.append(mixture - torch.stack(estimates).sum(dim=0))
        return torch.stack(estimates, dim=1)

    def mask_parts(self, seen: Tensor) -> Tensor:
        """Estimate real and imaginary parts of masks ``[batch, learned sources, frames, …, C, 2]``.

        Parameters
        ----------
        seen : Tensor ``[batch, frames, bins, channels, 2]``
            Real and imaginary parts of the mixture's spectrogram.

        Returns
        -------
        Tensor
            For the bins of all bands, one band after the other.
        """
        features = self._transformed(self.band_split(self.in_bands(seen).flatten(2)))
        found = [network(features).float() for network in self.networks.values()]
        return torch.unflatten(torch.stack(found, dim=1), -1, (-1, self.channels, 2))

    def _transformed(self, x: Tensor) -> Tensor:
        """Map features ``[batch, frames, bands, features]`` to the same shape."""
        biases = None
        if self.qkv_bias is not None and self.out_bias is not None:
            biases = self.qkv_bias, self.out_bias
        time_values: Tensor | None = None
        band_values: Tensor | None = None
        before: list[Tensor] = []
        for transformers in self.layers:
            *linear, along_time, across_bands = transformers.children()
            for transformer in linear:
                flat, _ = transformer(x.flatten(1, 2), self.time_positions, biases, None)
                x = flat.reshape(x.shape)
            if self.config.skip_connections:
                for each in before:
                    x = x + each
            batch, frames, bands, _ = x.shape
            x = x.transpose(1, 2).flatten(0, 1)  # [B bands, N, D]
            x, values = self._run(along_time, x, self.time_positions, biases, time_values)
            time_values = values if time_values is None else time_values
            x = x.reshape(batch, bands, frames, -1).transpose(1, 2).flatten(0, 1)  # [B N, bands, D]
            x, values = self._run(across_bands, x, self.frequency_positions, biases, band_values)
            band_values = values if band_values is None else band_values
            x = x.reshape(batch, frames, bands, -1)
            before.append(x)
        normalised: Tensor = self.final_norm(x)
        return normalised

    def _run(
        self,
        transformer: nn.Module,
        x: Tensor,
        positions: nn.Module,
        biases: tuple[Tensor, Tensor] | None,
        first_values: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Run `Transformer.forward` on independent rows.

        For inference on CPUs some rows at a time, so that activations stay in the cache: this takes
        two thirds of the time.
        """
        if self._mixes_values or torch.is_grad_enabled() or x.device.type != "cpu":
            result: tuple[Tensor, Tensor | None] = transformer(x, positions, biases, first_values)
            return result
        rows = torch.split(x, max(1, _CACHED_TOKENS // x.shape[1]))
        return torch.cat([transformer(part, positions, biases, None)[0] for part in rows]), None

    def _analyse(self, mixture: Tensor) -> Tensor:
        """Transform ``[batch, channels, samples]`` to a complex ``[batch, channels, F, N]``.

        Signals are padded by reflection; those too short for that are padded with zeros first.
        """
        config = self.config
        missing = max(0, config.fft_samples // 2 + 1 - mixture.shape[-1])
        signal = functional.pad(mixture, (0, missing)).flatten(0, 1)
        spectrogram = torch.stft(
            signal,
            config.fft_samples,
            config.hop_samples,
            config.window_samples,
            torch.hann_window(config.window_samples, device=mixture.device),
            normalized=config.normalised,
            return_complex=True,
        )
        return spectrogram.reshape(*mixture.shape[:2], *spectrogram.shape[1:])

    def _synthesise(self, spectrogram: Tensor, samples: int) -> Tensor:
        """Transform a complex ``[batch, channels, F, N]`` back to ``[batch, channels, n]``."""
        config = self.config
        signal = torch.istft(
            spectrogram.flatten(0, 1),
            config.fft_samples,
            config.hop_samples,
            config.window_samples,
            torch.hann_window(config.window_samples, device=spectrogram.device),
            normalized=config.normalised,
            length=max(samples, config.fft_samples // 2 + 1),
        )
        return signal[:, :samples].reshape(*spectrogram.shape[:2], samples)
