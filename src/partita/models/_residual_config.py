"""What the configurations of Demucs from version 3 on have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from partita.models._protocol import ModelConfig
from partita.validation import bounded


@dataclass(frozen=True)
class ResidualConfig(ModelConfig):
    """Configuration common to U-Nets with residual branches: Demucs v3 and the hybrid models.

    Attributes
    ----------
    hidden : int
        Channels of the outermost level.
    depth : int
        Levels of the encoder, and of the decoder.
    growth : float
        Channels grow by this factor from level to level.
    context : int
        Neighbours on each side in the kernels of the decoder's gated convolutions.
    norm_from : int
        The first level with group normalisations.
    norm_groups : int
    dconv : str
        Which levels have residual branches: ``none``, ``encoder``, ``decoder``, ``both``.
    dconv_depth, dconv_compress, dconv_scale
        Of the residual branches; see `partita.models._dconv.DConvShape`.
    rescale : float
        Initial weights are rescaled towards this standard deviation; 0: they are not.
    segment_s, overlap : float
        Length of a window in seconds, and how much of it overlaps with the next one, 0 to 1.
    """

    #: The keys of `to_dict` in the order that checkpoints store them; other keys follow.
    key_order: ClassVar[str]

    sources: tuple[str, ...] = ("drums", "bass", "other", "vocals")
    hidden: int = 64
    depth: int = bounded(6, most=16)
    growth: float = 2.0
    context: int = bounded(1, most=64)
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
        self.require(self.growth >= 1, "growth must be at least 1")
        self.require(self.context >= 0, "context must not be negative")
        self.require(min(self.norm_from, self.norm_groups) >= 0, "norms must not be negative")
        self.require(self.dconv_depth >= 0, "dconv_depth must not be negative")
        is_wide = 0 < self.dconv_compress <= self.hidden
        self.require(is_wide, "dconv_compress must be positive and at most hidden")
        self.require(self.rescale >= 0, "rescale must not be negative")
        self.require(self.segment_samples >= 1, "segment_s is too short")
        self.require(0 <= self.overlap < 1, "overlap must be 0 or more and below 1")

    @property
    def segment_samples(self) -> int:
        """Samples of a window."""
        return int(self.segment_s * self.sample_rate + 1e-6)  # 7.8 s are 343980, not one less

    def to_dict(self) -> dict[str, Any]:
        """Return plain values in the order that checkpoints have always stored them."""
        values = super().to_dict()
        ordered = [key for key in self.key_order.split() if key in values]
        return {key: values[key] for key in dict.fromkeys([*ordered, *values])}
