"""Demucs: a U-Net from waveform to waveforms with an LSTM at the bottleneck.

Défossez, Usunier, Bottou & Bach, "Music Source Separation in the Waveform Domain", 2019, as their
package demucs 2.0.3 has it (version 2: 64 channels, input of twice the rate). Version 1 is
``hidden=100, resample=false``.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from partita.dsp.overlap_add import Window
from partita.models._demucs_blocks import DemucsConfig, Down, Recurrence, Up, rescale_weights
from partita.models._demucs_fused import FusedDemucs
from partita.models._demucs_signal import separate_with
from partita.models._protocol import SeparationModel
from partita.models._registry import register_model


@register_model("demucs")
class Demucs(SeparationModel):
    """One network for the waveforms of all sources.

    Parameters
    ----------
    config : DemucsConfig
    decoders : int
        1, or one for each source.
    decoder_width : float
        Channels behind the decoders' rewriting convolutions, in multiples of the encoder's.

    Notes
    -----
    Departures from demucs 2.0.3: levels are normalised for each excerpt or window (`normalise`),
    not once for the song; if the channels cancel each other in the mono mix, the deviation of all
    channels counts as well. Mixtures that are exactly zero have estimates that are exactly zero.
    Windows of 10 s instead of 40 s are padded with silence, not with the song, and crossfade with
    squared sines. A unidirectional LSTM, which theirs does not offer, has no dense layer behind
    it, as in the authors' "Real Time Speech Enhancement in the Waveform Domain" (Interspeech
    2020). Training losses include the ends of excerpts, where theirs leave out what has less
    context.
    """

    config_type = DemucsConfig
    config: DemucsConfig
    core = "network"

    def __init__(
        self, config: DemucsConfig, *, decoders: int = 1, decoder_width: float = 1.0
    ) -> None:
        super().__init__(config)
        self.decoders = decoders
        self.window: Window | None = config.window
        widths = config.widths
        outputs = len(config.sources) * config.channels // decoders
        self.encoder = nn.ModuleList(
            Down(config, inside, outside)
            for inside, outside in itertools.pairwise([config.channels, *widths])
        )
        self.recurrence = Recurrence(config, widths[-1]) if config.lstm_layers else None
        self.decoder = nn.ModuleList(
            Up(
                config,
                inside,
                max(1, round(decoder_width * inside)),
                outside,
                decoders=decoders,
                outermost=level == config.depth - 1,
            )
            for level, (inside, outside) in enumerate(
                itertools.pairwise([*reversed(widths), outputs])
            )
        )
        if config.rescale:
            rescale_weights(self, config.rescale)

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        return separate_with(self.network, self.config, mixture)

    def for_inference(self) -> SeparationModel:
        """Return a model that gives the same estimates faster, on a CPU."""
        if next(self.parameters()).device.type != "cpu":
            return self.eval()
        return FusedDemucs(
            self.registry_name, self.config, self.encoder, self.recurrence, self.decoder
        )

    def network(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, n]`` to ``[batch, sources * channels, n or fewer]``."""
        skips = []
        for down in self.encoder:
            x = down(x)
            skips.append(x)
        if self.recurrence is not None:
            x = self.recurrence(x)
        x = x.repeat(1, self.decoders, 1)
        for up in self.decoder:
            x = up(x, skips.pop())
        return x
