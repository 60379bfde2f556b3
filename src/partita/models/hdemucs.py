"""Hybrid Demucs: U-Nets of spectrogram and waveform that share their innermost levels.

Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX workshop at ISMIR 2021, as the
package demucs 4.1.0 has it.
"""

from __future__ import annotations

from dataclasses import dataclass

from partita.models._dconv import DConvShape
from partita.models._hybrid import HybridModel
from partita.models._hybrid_config import HybridConfig, Level
from partita.models._registry import register_model


@dataclass(frozen=True)
class HdemucsConfig(HybridConfig):
    """Configuration of `Hdemucs`; see `partita.models._hybrid_config.HybridConfig` for the rest.

    Attributes
    ----------
    dconv_attention, dconv_lstm : int
        The first level whose residual branches have local attention, and an LSTM.
    delayed : bool
        Whether estimates of the spectrogram's U-Net are 1.5 hops late, as in some networks of the
        MDX challenge 2021.
    """

    dconv_attention: int = 4
    dconv_lstm: int = 4
    delayed: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        joins = any(level.joins for level in self.levels)
        self.require(joins, "depth is too small for the branches to join")


@register_model("hdemucs")
class Hdemucs(HybridModel):
    """Both U-Nets join where one bin is left; behind that are LSTMs and attention.

    Notes
    -----
    Departures from demucs 4.1.0, without options that no published weights use: every network is
    hybrid, kernels are twice as long as strides, and all levels have gated convolutions. For songs
    in windows see `partita.models.htdemucs.Htdemucs`.
    """

    config_type = HdemucsConfig
    config: HdemucsConfig

    @property
    def _delayed(self) -> bool:
        return self.config.delayed

    def _dconv(self, level: Level, side: str) -> DConvShape | None:
        config = self.config
        if config.dconv not in (side, "both"):
            return None
        return DConvShape(
            config.dconv_compress,
            config.dconv_depth,
            config.dconv_scale,
            attention=level.index >= config.dconv_attention,
            lstm=level.index >= config.dconv_lstm,
        )
