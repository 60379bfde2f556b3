"""Demucs with a decoder for each source.

Section 5 of *Music Source Separation Using Deep Learning* (Goel, Huang, Owoputi & Poudyal): encoder
and LSTM are shared, and what the encoder gives at a level goes to all decoders at that level. The
paper has no results of it; Yu & Cheuk, "Danna-Sep: Unite to separate them all", 2021, has.
"""

from __future__ import annotations

from dataclasses import dataclass

from partita.models._demucs_blocks import DemucsConfig
from partita.models._registry import register_model
from partita.models.demucs import Demucs


@dataclass(frozen=True)
class MultidecoderConfig(DemucsConfig):
    """Configuration of `DemucsMultidecoder`.

    Attributes
    ----------
    decoder_width : float
        Channels within each level of a decoder, behind its rewriting convolution, in multiples of
        the encoder's; what goes from level to level stays as wide as the skips that are added. The
        decoders' parameters grow with it: four decoders of 0.25 have as many as one of 1.
    """

    decoder_width: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.decoder_width > 0, "decoder_width must be positive")
        self.require(
            self.rewrite or self.decoder_width == 1,
            "decoder_width must be 1 where nothing is rewritten",
        )


@register_model("demucs-multidecoder")
class DemucsMultidecoder(Demucs):
    """One encoder, and a decoder for each source; grouped convolutions run all of them at once."""

    config_type = MultidecoderConfig
    config: MultidecoderConfig

    def __init__(self, config: MultidecoderConfig) -> None:
        decoders, width = len(config.sources), config.decoder_width
        super().__init__(config, decoders=decoders, decoder_width=width)
