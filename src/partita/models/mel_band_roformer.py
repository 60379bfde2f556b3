"""Mel-Band RoFormer: BS-RoFormer with overlapping mel bands.

Wang, Lu & Won, "Mel-Band RoFormer for Music Source Separation", 2023 (arXiv 2310.01809), as
`bs-roformer` and MSST implement it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.models._registry import register_model
from partita.models._roformer import RoformerConfig, RoformerModel
from partita.validation import bounded

#: Slaney's mel scale: linear up to 1 kHz, a mel each 200/3 Hz; logarithmic above.
_LINEAR_HZ = 200.0 / 3
_BREAK_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0


@dataclass(frozen=True)
class MelBandRoformerConfig(RoformerConfig):
    """Configuration of `MelBandRoformer`.

    Attributes
    ----------
    bands : int
    bands_rate : int
        Sample rate in hertz for which the bands were computed; 0: `sample_rate`.
    """

    bands: int = bounded(60, most=512)
    bands_rate: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.bands >= 1, "bands must be positive")
        self.require(self.bands_rate >= 0, "bands_rate must not be negative")
        filters = mel_bands(self.bands_rate or self.sample_rate, self.fft_samples, self.bands)
        self.require(
            bool(filters.any(axis=0).all() and filters.any(axis=1).all()),
            f"{self.bands} mel bands of {self.bins} bins: some are empty, take fewer bands",
        )


def mel_bands(rate: int, fft_samples: int, bands: int) -> npt.NDArray[np.bool_]:
    """Return which bins belong to which bands ``[bands, bins]``: those with a non-zero mel filter.

    The lowest and the highest bin, where filters are zero, belong to the outermost bands.
    """
    bins_hz = np.linspace(0, rate / 2, fft_samples // 2 + 1)
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(rate / 2), bands + 2))
    rising = (bins_hz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins_hz) / np.diff(edges)[1:, None]
    passes = np.minimum(rising, falling) > 0
    passes[0, 0] = passes[-1, -1] = True
    return passes


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ
    return float(_BREAK_HZ / _LINEAR_HZ + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _mel_to_hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = mels - _BREAK_HZ / _LINEAR_HZ
    hz: npt.NDArray[np.float64] = np.where(
        above >= 0, _BREAK_HZ * np.exp(_LOG_STEP * above), _LINEAR_HZ * mels
    )
    return hz


@register_model("mel-band-roformer")
class MelBandRoformer(RoformerModel):
    """A transformer over mel bands; masks of overlapping bands are averaged.

    Departures from the references: as in `BsRoformer`.
    """

    config_type = MelBandRoformerConfig
    config: MelBandRoformerConfig

    def __init__(self, config: MelBandRoformerConfig) -> None:
        rate = config.bands_rate or config.sample_rate
        passes = mel_bands(rate, config.fft_samples, config.bands)
        super().__init__(
            config,
            band_sizes=[int(size) for size in passes.sum(axis=1)],
            mask_hidden=config.mask_layers,
            mixes_values=False,
            norm_output=True,
        )
        bins = np.nonzero(passes)[1]
        self.bin_of: Tensor  # [bins of all bands together]
        self.register_buffer("bin_of", _kept(bins), persistent=False)
        self.bands_of_bin: Tensor  # [bins]
        self.register_buffer("bands_of_bin", _kept(passes.sum(axis=0)), persistent=False)

    def in_bands(self, x: Tensor) -> Tensor:
        """Repeat bins of ``[batch, frames, bins, …]`` that belong to several bands."""
        return x.index_select(2, self.bin_of)

    def of_bands(self, masks: Tensor) -> Tensor:
        """Average the masks ``[batch, frames, bins of all bands, channels]`` of each bin."""
        sums = masks.new_zeros(*masks.shape[:2], len(self.bands_of_bin), masks.shape[3])
        sums = sums.index_add(2, self.bin_of, masks)
        return sums / self.bands_of_bin[:, None]


def _kept(values: npt.NDArray[np.int64]) -> Tensor:
    """Return integers as a tensor that has storage also in models built on the meta device."""
    return torch.from_numpy(values)
