"""The configuration that hybrid models share, and what follows from it for each level."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

from partita.dsp.overlap_add import Window
from partita.models._protocol import ModelConfig
from partita.models._validation import bounded


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
