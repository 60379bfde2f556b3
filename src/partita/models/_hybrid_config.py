"""The configuration common to hybrid models, and the levels that follow from it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

from partita.dsp.overlap_add import Window
from partita.models._residual_config import ResidualConfig
from partita.validation import bounded


@dataclass(frozen=True)
class HybridConfig(ResidualConfig):
    """Configuration common to hybrid models; see `ResidualConfig` for the rest.

    Attributes
    ----------
    hidden_time : int
        Channels of the time branch's outermost level; 0: `hidden`.
    fft_samples : int
        Frame length of the short-time Fourier transform, four hops.
    complex_as_channels : bool
        Whether the network maps complex spectrograms to complex ones, real and imaginary parts as
        channels; False: magnitudes to magnitudes.
    wiener_iterations : int
        Of the Wiener filter behind magnitudes; 0: no filter, magnitudes get the mixture's phases;
        -1: the same, and nearly silent bins fade out.
    wiener_residual : bool
        Whether the Wiener filter has a residual: one more source, the mixture minus all others.
    stride : int
        Of the convolutions between levels; kernels are twice as wide.
    time_stride : int
        The same in levels below the one where the branches join.
    encoder_context : int
        Neighbours on each side that the encoder's gated convolutions see.
    bands : tuple of float
        Upper edges, as fractions of all bins, of frequency bands whose layers have their own
        weights; the last band has no edge. Empty: one band.
    band_levels : int
        How many levels, the outermost ones, have bands.
    embedding : float
        Weight of the frequency embedding behind the outermost level; 0: no embedding.
    embedding_scale : float
        Factor of its parameters, which makes them learn faster.
    embedding_smooth : bool
        Whether the embedding is initialised smoothly along frequency.
    """

    key_order: ClassVar[str] = """
        sources sample_rate channels hidden hidden_time growth depth fft_samples complex_as_channels
        wiener_iterations wiener_residual stride time_stride context encoder_context bands
        band_levels embedding embedding_scale embedding_smooth norm_from norm_groups dconv
        dconv_depth dconv_compress dconv_scale rescale segment_s overlap
    """

    hidden: int = 48
    hidden_time: int = 0
    depth: int = bounded(6, most=12)
    fft_samples: int = 4096
    complex_as_channels: bool = True
    wiener_iterations: int = bounded(0, most=100)
    wiener_residual: bool = False
    stride: int = bounded(4, most=64)
    time_stride: int = bounded(2, most=64)
    encoder_context: int = bounded(0, most=64)
    bands: tuple[float, ...] = ()
    band_levels: int = bounded(2, most=12)
    embedding: float = 0.2
    embedding_scale: float = 10.0
    embedding_smooth: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.hidden_time >= 0, "hidden_time must not be negative")
        is_whole = self.fft_samples >= 8 and self.fft_samples % 8 == 0
        self.require(is_whole, "fft_samples must be a multiple of 8")
        for name in ("stride", "time_stride"):
            stride = getattr(self, name)
            self.require(stride >= 2 and stride % 2 == 0, f"{name} must be even and positive")
        self.require(self.wiener_iterations >= -1, "wiener_iterations must be -1 or more")
        self.require(self.encoder_context >= 0, "encoder_context must not be negative")
        self.require(self.embedding_scale > 0, "embedding_scale must be positive")
        self._check_bands()
        levels = self.levels
        for level in levels:
            whole = level.joins or not level.over_frequency or level.bins % self.stride == 0
            self.require(whole, "fft_samples must divide by twice the strides of all levels")
            is_whole = self.stride ** (level.index + 1) == self.fft_samples // 4
            self.require(
                not level.joins or is_whole,
                "branches must join at one step per hop",
            )

    def _check_bands(self) -> None:
        ascending = all(low < high for low, high in itertools.pairwise((0.0, *self.bands, 1.0)))
        self.require(ascending, "bands must be ascending fractions between 0 and 1")
        self.require(self.band_levels >= 0, "band_levels must not be negative")
        if self.bands:
            plain = all(
                level.over_frequency and not level.joins
                for level in self.levels[: self.band_levels]
            )
            plain = plain and self.band_levels <= self.norm_from
            self.require(plain, "levels with bands must be outer ones without normalisation")

    @property
    def window(self) -> Window:
        """The window; the hop is that of demucs's own loop."""
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
        True: there are two branches; False: the level is behind the joint, with one branch.
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
