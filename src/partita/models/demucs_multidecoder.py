"""Demucs with a decoder for each source.

Section 5 of *Music Source Separation Using Deep Learning* (Goel, Huang, Owoputi & Poudyal): encoder
and LSTM are shared, and each level of the encoder has skip connections to that level of all
decoders. The paper has no results of it; Yu & Cheuk, "Danna-Sep: Unite to separate them all", 2021,
has.
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
        Channels behind the rewriting convolution of a decoder's level, in multiples of the
        encoder's; between levels they are as many as in the skip connections. Four decoders of
        width 0.25 have as many parameters as one of width 1.
    """

    decoder_width: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.decoder_width > 0, "decoder_width must be positive")
        self.require(
            self.rewrite or self.decoder_width == 1,
            "decoder_width must be 1 without rewrite",
        )


@register_model("demucs-multidecoder")
class DemucsMultidecoder(Demucs):
    """One encoder and a decoder for each source; grouped convolutions run all decoders at once."""

    config_type = MultidecoderConfig
    config: MultidecoderConfig

    def __init__(self, config: MultidecoderConfig) -> None:
        decoders, width = len(config.sources), config.decoder_width
        super().__init__(config, decoders=decoders, decoder_width=width)
