"""Base class of hybrid models: two U-Nets, one of the spectrogram and one of the waveform.

Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX workshop at ISMIR 2021.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from partita.dsp.overlap_add import Window
from partita.models._dconv import DConvShape, rescale_convolutions
from partita.models._hybrid_config import HybridConfig, Level
from partita.models._hybrid_fused import fused_level
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
from partita.models._protocol import SeparationModel
from partita.models._shared_weights import with_shared_weights

_MIN_DEVIATION = 1e-5  # added, so that nearly silent mixtures are not amplified


class HybridModel(SeparationModel):
    """Base class of models with a U-Net of spectrograms and one of waveforms, whose outputs add up.

    Mixtures that are exactly zero have estimates that are exactly zero.
    """

    config: HybridConfig
    core = "unets"

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
        """Return the shape of an encoder level of the frequency branch, or of the joint branch."""
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
        """Return the shape of a level's residual branches; None: it has none."""
        del level
        config = self.config
        if config.dconv not in (side, "both"):
            return None
        return DConvShape(config.dconv_compress, config.dconv_depth, config.dconv_scale)

    def _bottom(self, x: Tensor, xt: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the inputs of both decoders; None: skip connections only."""
        del x, xt
        return None, None

    def _padded(self, mixture: Tensor) -> Tensor:
        """Return the mixture padded to the length that the network needs."""
        return mixture

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        config, samples = self.config, mixture.shape[-1]
        mixture = self._padded(mixture)
        spectrogram = self.transform.analyse(mixture)  # [B, C, F, N]
        images = as_channels(spectrogram) if config.complex_as_channels else spectrogram.abs()
        (x, mean, deviation), (xt, mean_time, deviation_time) = map(_normalised, (images, mixture))
        x, xt = self.unets(x, xt)
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
        fast = with_shared_weights(self).eval()
        for levels in (fast.encoder, fast.decoder, fast.tencoder, fast.tdecoder):
            for index, level in enumerate(levels):
                levels[index] = fused_level(level)
        return fast

    def _images(self, x: Tensor, spectrogram: Tensor) -> Tensor:
        """Turn the network's output ``[B, S, images, F, N]`` into a complex ``[B, S, C, F, N]``."""
        if self.config.complex_as_channels:
            return from_channels(x)
        return images_of_magnitudes(
            x,
            spectrogram,
            iterations=self.config.wiener_iterations,
            residual=self.config.wiener_residual,
        )

    def unets(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
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
        joined = len(self.encoder) - len(self.tencoder)  # levels behind the joint
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
            raise ValueError("the network has no levels")
        return y, yt


def _normalised(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each example of ``[batch, …]``; return it, its mean and its deviation."""
    axes = tuple(range(1, x.ndim))
    mean = x.mean(dim=axes, keepdim=True)
    correction = min(1, x[0].numel() - 1)  # the deviation of a single number is 0
    deviation = x.std(dim=axes, keepdim=True, correction=correction)
    return (x - mean) / (_MIN_DEVIATION + deviation), mean, deviation
