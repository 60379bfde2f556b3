"""What Hybrid Demucs and Hybrid Transformer Demucs share: two U-Nets, of spectrogram and waveform.

Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX workshop at ISMIR 2021.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from partita.dsp.overlap_add import Window
from partita.models._dconv import DConvShape, rescale_convolutions
from partita.models._hybrid_fused import fuse
from partita.models._hybrid_layers import (
    BandDecoder,
    BandEncoder,
    DecoderLayer,
    EncoderLayer,
    FrequencyEmbedding,
    LevelShape,
)
from partita.models._hybrid_spectrum import (
    HybridTransform,
    as_channels,
    from_channels,
    images_of_magnitudes,
)
from partita.models._protocol import ModelConfig, SeparationModel
from partita.models._validation import bounded

_LEAST_DEVIATION = 1e-5  # added: mixtures that are all but silent are not blown up


@dataclass(frozen=True)
class HybridConfig(ModelConfig):
    """Configuration common to hybrid models.

    Attributes
    ----------
    hidden : int
        Channels of the outermost level.
    hidden_time : int
        The same in the time branch; 0: as many.
    growth : float
        By which channels multiply from level to level, inwards.
    depth : int
        Levels of the encoder, and of the decoder.
    fft_samples : int
        Frame length of the short-time Fourier transform, four hops.
    complex_as_channels : bool
        Whether the network maps complex spectrograms to complex ones, real and imaginary parts as
        channels; False: magnitudes to magnitudes.
    wiener_iterations : int
        Of the Wiener filter behind magnitudes; 0: they take the mixture's phases; -1: the same, but
        where the mixture is all but silent.
    wiener_residual : bool
        Whether that filter counts with one source more, what the others leave.
    stride : int
        Of the convolutions that lead from level to level; they are twice as wide.
    time_stride : int
        The same in levels behind the one where the branches join.
    context, encoder_context : int
        Neighbours on each side that gated convolutions of the decoder and the encoder see.
    bands : tuple of float
        Where frequency bands end whose layers have weights of their own, as parts of all bins; the
        last one ends with them. Empty: there is one band.
    band_levels : int
        How many of the outermost levels have bands.
    embedding : float
        Weight of the embedding of frequencies behind the outermost level; 0: there is none.
    embedding_scale : float
        By which its learned numbers are multiplied.
    embedding_smooth : bool
        Whether neighbouring frequencies' resemble each other before training.
    norm_from : int
        The first level with group normalisations.
    norm_groups : int
    dconv : str
        Where residual branches are: ``none``, ``encoder``, ``decoder``, ``both``.
    dconv_depth, dconv_compress, dconv_scale
        Of those; see `partita.models._dconv.DConvShape`.
    rescale : float
        The deviation that convolutions' first weights are brought nearer to; 0: they stay.
    segment_s, overlap : float
        Length of a window, and the part of it that neighbours share.
    """

    sources: tuple[str, ...] = ("drums", "bass", "other", "vocals")
    hidden: int = 48
    hidden_time: int = 0
    growth: float = 2.0
    depth: int = bounded(6, most=12)
    fft_samples: int = 4096
    complex_as_channels: bool = True
    wiener_iterations: int = bounded(0, most=100)
    wiener_residual: bool = False
    stride: int = bounded(4, most=64)
    time_stride: int = bounded(2, most=64)
    context: int = bounded(1, most=64)
    encoder_context: int = bounded(0, most=64)
    bands: tuple[float, ...] = ()
    band_levels: int = bounded(2, most=12)
    embedding: float = 0.2
    embedding_scale: float = 10.0
    embedding_smooth: bool = True
    norm_from: int = 4
    norm_groups: int = 4
    dconv: Literal["none", "encoder", "decoder", "both"] = "encoder"
    dconv_depth: int = bounded(2, most=16)
    dconv_compress: float = 4.0
    dconv_scale: float = 1e-4
    rescale: float = 0.1
    segment_s: float = 40.0
    overlap: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.hidden >= 1 and self.depth >= 1, "hidden and depth must be positive")
        self.require(self.hidden_time >= 0, "hidden_time must not be negative")
        self.require(self.growth >= 1, "growth must be at least 1")
        is_whole = self.fft_samples >= 8 and self.fft_samples % 8 == 0
        self.require(is_whole, "fft_samples must be a multiple of 8")
        even = self.stride >= 2 and self.stride % 2 == 0
        self.require(even, "stride must be even and positive")
        even = self.time_stride >= 2 and self.time_stride % 2 == 0
        self.require(even, "time_stride must be even and positive")
        self.require(self.wiener_iterations >= -1, "wiener_iterations must be -1 or more")
        self.require(min(self.context, self.encoder_context) >= 0, "contexts must not be negative")
        self.require(min(self.norm_from, self.norm_groups) >= 0, "norms must not be negative")
        self.require(self.dconv_depth >= 0, "dconv_depth must not be negative")
        wide = 0 < self.dconv_compress <= self.hidden
        self.require(wide, "dconv_compress must be positive, and hidden at most")
        self.require(self.rescale >= 0, "rescale must not be negative")
        self.require(self.embedding_scale > 0, "embedding_scale must be positive")
        self.require(self.segment_samples >= 1, "segment_s is too short")
        self.require(0 <= self.overlap < 1, "overlap must be 0 or more and below 1")
        self._check_bands()
        levels = self.levels
        for level in levels:
            whole = level.joins or not level.over_frequency or level.bins % self.stride == 0
            self.require(whole, "fft_samples must divide by twice the strides of all levels")
            is_whole = self.stride ** (level.index + 1) == self.fft_samples // 4
            self.require(not level.joins or is_whole, "branches must join at one step a hop")

    def _check_bands(self) -> None:
        ascending = all(low < high for low, high in itertools.pairwise((0.0, *self.bands, 1.0)))
        self.require(ascending, "bands must be ascending parts between 0 and 1")
        self.require(self.band_levels >= 0, "band_levels must not be negative")
        if self.bands:
            plain = all(
                level.over_frequency and not level.joins
                for level in self.levels[: self.band_levels]
            )
            plain = plain and self.band_levels <= self.norm_from
            self.require(plain, "bands need outer levels, without normalisation")

    @property
    def segment_samples(self) -> int:
        """Samples of a window."""
        return int(self.segment_s * self.sample_rate + 1e-6)  # 7.8 s are 343980, not one less

    @property
    def window(self) -> Window:
        """The window; neighbours begin as far from each other as in demucs's own loop."""
        length = self.segment_samples
        return Window(length, length - max(1, int((1 - self.overlap) * length)))

    @property
    def levels(self) -> list[Level]:
        """The levels, outermost first."""
        levels = []
        bins, width, width_time = (
            self.fft_samples // 2,
            self.hidden,
            self.hidden_time or self.hidden,
        )
        for index in range(self.depth):
            joins = 1 < bins <= 2 * self.stride
            if joins:
                width = width_time = max(width, width_time)
            levels.append(Level(index, bins, bins > 1, joins, width, width_time))
            width, width_time = int(self.growth * width), int(self.growth * width_time)
            bins = 1 if joins else max(1, bins // self.stride)
        return levels


@dataclass(frozen=True)
class Level:
    """A level of both U-Nets.

    Attributes
    ----------
    index : int
        0 is the outermost.
    bins : int
        Of its encoder's input.
    over_frequency : bool
        Whether there are two branches; False: behind the level where they join, there is one.
    joins : bool
        Whether the branches join here.
    width, width_time : int
        Channels of its encoders' outputs.
    """

    index: int
    bins: int
    over_frequency: bool
    joins: bool
    width: int
    width_time: int


class HybridModel(SeparationModel):
    """Base of models with a U-Net of spectrograms and one of waveforms, whose estimates are added.

    Mixtures that are exactly zero have estimates that are exactly zero.
    """

    config: HybridConfig

    def __init__(self, config: HybridConfig) -> None:
        super().__init__(config)
        self.window: Window | None = config.window
        self.transform = HybridTransform(config.fft_samples, delayed=self._delayed)
        images = 2 * config.channels if config.complex_as_channels else config.channels
        inside, inside_time = images, config.channels
        outside, outside_time = len(config.sources) * images, len(config.sources) * config.channels
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        self.tencoder, self.tdecoder = nn.ModuleList(), nn.ModuleList()
        self.freq_emb: FrequencyEmbedding | None = None
        for level in config.levels:
            shape = self._shape(level)
            outermost = level.index == 0
            self._add_level(level, shape, (inside, outside), outermost)
            if level.over_frequency:
                in_time = self._shape_in_time(shape, level)
                self.tencoder.append(EncoderLayer(inside_time, level.width_time, in_time))
                in_time = dataclasses.replace(
                    in_time, context=config.context, dconv=self._dconv(level, "decoder")
                )
                up = DecoderLayer(level.width_time, outside_time, in_time, outermost=outermost)
                self.tdecoder.insert(0, up)
            inside = outside = level.width
            inside_time = outside_time = level.width_time
            if outermost and config.embedding:
                bins = 1 if level.joins else level.bins // config.stride
                self.freq_emb = FrequencyEmbedding(
                    bins, level.width, scale=config.embedding_scale, smooth=config.embedding_smooth
                )
        if config.rescale:
            rescale_convolutions(self, config.rescale)

    @property
    def _delayed(self) -> bool:
        return False

    def _add_level(
        self, level: Level, shape: LevelShape, widths: tuple[int, int], outermost: bool
    ) -> None:
        config = self.config
        inside, outside = widths
        has_bands = bool(config.bands) and level.index < config.band_levels
        up_shape = dataclasses.replace(
            shape,
            context=config.context,
            frequency_context=not has_bands,
            dconv=self._dconv(level, "decoder"),
        )
        if has_bands:
            self.encoder.append(BandEncoder(inside, level.width, shape, config.bands))
            up: nn.Module = BandDecoder(
                level.width, outside, up_shape, config.bands, outermost=outermost
            )
        else:
            self.encoder.append(EncoderLayer(inside, level.width, shape))
            up = DecoderLayer(level.width, outside, up_shape, outermost=outermost)
        self.decoder.insert(0, up)

    def _shape(self, level: Level) -> LevelShape:
        """Return what the encoder of the frequency branch is like, or the one behind both."""
        config = self.config
        stride = config.stride if level.over_frequency else config.time_stride
        kernel = level.bins if level.joins else 2 * stride
        return LevelShape(
            over_frequency=level.over_frequency,
            kernel=kernel,
            stride=stride,
            pad=0 if level.joins else kernel // 4,
            norm_groups=config.norm_groups if level.index >= config.norm_from else 0,
            context=config.encoder_context,
            dconv=self._dconv(level, "encoder"),
        )

    def _shape_in_time(self, shape: LevelShape, level: Level) -> LevelShape:
        kernel = 2 * self.config.stride
        return dataclasses.replace(
            shape, over_frequency=False, kernel=kernel, pad=kernel // 4, only_conv=level.joins
        )

    def _dconv(self, level: Level, side: str) -> DConvShape | None:
        """Return what the residual branches of a level are like, None where there are none."""
        del level
        config = self.config
        if config.dconv not in (side, "both"):
            return None
        return DConvShape(config.dconv_compress, config.dconv_depth, config.dconv_scale)

    def _bottom(self, x: Tensor, xt: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return what the decoders of spectrogram and waveform begin with, None for nothing."""
        del x, xt
        return None, None

    def _padded(self, mixture: Tensor) -> Tensor:
        """Return the mixture as long as the network wants it."""
        return mixture

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        config, samples = self.config, mixture.shape[-1]
        mixture = self._padded(mixture)
        spectrogram = self.transform.analyse(mixture)  # [B, C, F, N]
        images = as_channels(spectrogram) if config.complex_as_channels else spectrogram.abs()
        (x, mean, deviation), (xt, mean_time, deviation_time) = map(_levelled, (images, mixture))
        x, xt = self._unets(x, xt)
        sources = len(config.sources)
        x, xt = (torch.unflatten(each.float(), 1, (sources, -1)) for each in (x, xt))
        x = torch.addcmul(mean.unsqueeze(1), x, deviation.unsqueeze(1))
        xt = torch.addcmul(mean_time.unsqueeze(1), xt, deviation_time.unsqueeze(1))  # [B, S, C, T]
        estimates = self.transform.synthesise(self._images(x, spectrogram), xt.shape[-1])
        together: Tensor = xt + estimates
        return together[..., :samples]

    def for_inference(self) -> SeparationModel:
        """Return a model that gives the same estimates faster, on a CPU."""
        if next(self.parameters()).device.type != "cpu":
            return self.eval()
        return fuse(self)

    def _images(self, x: Tensor, spectrogram: Tensor) -> Tensor:
        """Make a complex ``[B, S, C, F, N]`` of the network's ``[B, S, images, F, N]``."""
        if self.config.complex_as_channels:
            return from_channels(x)
        return images_of_magnitudes(
            x,
            spectrogram,
            iterations=self.config.wiener_iterations,
            residual=self.config.wiener_residual,
        )

    def _unets(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        """Run both U-Nets.

        Parameters
        ----------
        x : Tensor ``[batch, images, bins, frames]``
        xt : Tensor ``[batch, channels, samples]``

        Returns
        -------
        Tensor ``[batch, sources * images, bins, frames]``
        Tensor ``[batch, sources * channels, samples]``
        """
        skips, skips_time, lengths, lengths_time = [], [], [], []
        joined = len(self.encoder) - len(self.tencoder)  # levels of one branch only
        joins = any(level.joins for level in self.config.levels)
        for index, down in enumerate(self.encoder):
            lengths.append(x.shape[-1])
            inject = None
            if index < len(self.tencoder):
                lengths_time.append(xt.shape[-1])
                xt = self.tencoder[index](xt)
                if joins and index == len(self.tencoder) - 1:
                    inject = xt
                else:
                    skips_time.append(xt)
            x = down(x, inject)
            if index == 0 and self.freq_emb is not None:
                x = x + self.config.embedding * self.freq_emb()
            skips.append(x)
        y, yt = self._bottom(x, xt)
        for index, up in enumerate(self.decoder):
            y, before = up(y, skips.pop(), lengths.pop())
            if index >= joined:
                skip = None
                if joins and index == joined:
                    yt = before.squeeze(2)
                else:
                    skip = skips_time.pop()
                yt, _ = self.tdecoder[index - joined](yt, skip, lengths_time.pop())
        if y is None or yt is None:
            raise ValueError("a network without levels")
        return y, yt


def _levelled(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``[batch, …]`` with mean 0 and deviation 1, and its mean and deviation."""
    axes = tuple(range(1, x.ndim))
    mean = x.mean(dim=axes, keepdim=True)
    others = min(1, x[0].numel() - 1)  # of a single number the deviation is 0
    deviation = x.std(dim=axes, keepdim=True, correction=others)
    return (x - mean) / (_LEAST_DEVIATION + deviation), mean, deviation
