"""BS-RoFormer: attention along time and across frequency bands.

Lu, Wang, Kong & Hung, "Music Source Separation with Band-Split RoPE Transformer", ICASSP 2024
(arXiv 2309.02612), as `bs-roformer` and MSST implement it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from partita.models._registry import register_model
from partita.models._roformer import RoformerConfig, RoformerModel

#: Bins of the bands at 44.1 kHz with 2048 samples, as in the reference.
_BAND_BINS = (*[2] * 24, *[4] * 12, *[12] * 8, *[24] * 8, *[48] * 8, 128, 129)


@dataclass(frozen=True)
class BsRoformerConfig(RoformerConfig):
    """Configuration of `BsRoformer`.

    Attributes
    ----------
    band_bins : tuple of int
        Bins of each band, from the lowest band up; in all, those of the transform.
    value_residual : bool
        Whether later layers mix their values with those of the first (`bs-roformer` from 0.6 on).
    """

    band_bins: tuple[int, ...] = _BAND_BINS
    value_residual: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(all(bins >= 1 for bins in self.band_bins), "band_bins must be positive")
        self.require(
            sum(self.band_bins) == self.bins,
            f"band_bins have {sum(self.band_bins)} bins in all, the transform has {self.bins}",
        )


@register_model("bs-roformer")
class BsRoformer(RoformerModel):
    """A band-split transformer with a mask estimator for each source.

    Departures from the references: estimates are always as long as the mixture; mixtures shorter
    than half a frame are padded with zeros, where the references raise an error.
    """

    config_type = BsRoformerConfig
    config: BsRoformerConfig

    def __init__(self, config: BsRoformerConfig) -> None:
        super().__init__(
            config,
            band_sizes=list(config.band_bins),
            mask_hidden=config.mask_layers - 1,
            mixes_values=config.value_residual,
            norm_output=False,
        )

    def in_bands(self, x: Tensor) -> Tensor:
        """Return bins as they are: bands do not overlap."""
        return x

    def of_bands(self, masks: Tensor) -> Tensor:
        """Return masks as they are."""
        return masks
