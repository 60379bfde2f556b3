"""A round trip through a lossy codec, in memory, aligned to the sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pedalboard

Samples = npt.NDArray[np.float32]

_PROBABILITY = 0.08  # a codec takes longer than the rest of the mix
_MP3_SHARE = 0.75
_MP3_QUALITIES = (0.0, 6.0)
_AAC_KBITS_PER_CHANNEL = (48, 64, 80, 96, 128)
_AAC_FRAME = 1024
_AAC_DELAY = 1024  # samples of FFmpeg's encoder, at all rates
_SAMPLE_RATES = (16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True)
class Codec:
    """MP3 at a variable bit rate, or AAC.

    Attributes
    ----------
    name : str
        ``mp3`` or ``aac``.
    setting : float
        LAME's quality, 0 (best) to 10, or kbit/s for each channel.
    """

    name: str
    setting: float

    def __call__(self, samples: Samples, sample_rate: int) -> Samples:
        """Return ``[channels, samples]`` as decoded; silence stays silence."""
        if not samples.any():
            return samples
        return (self._mp3 if self.name == "mp3" else self._aac)(samples, sample_rate)

    def _mp3(self, samples: Samples, sample_rate: int) -> Samples:
        return pedalboard.MP3Compressor(self.setting)(samples, sample_rate)

    def _aac(self, samples: Samples, sample_rate: int) -> Samples:
        import av

        channels, count = samples.shape
        layout = "stereo" if channels == 2 else "mono"
        encoder = av.CodecContext.create("aac", "w")
        encoder.sample_rate, encoder.layout, encoder.format = sample_rate, layout, "fltp"
        encoder.options = {"aac_coder": "fast"}
        encoder.bit_rate = round(self.setting * 1000) * channels
        encoder.thread_count = 1
        encoder.open()
        packets = []
        for start in range(0, count, _AAC_FRAME):
            piece = np.ascontiguousarray(samples[:, start : start + _AAC_FRAME])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = sample_rate, start
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
        decoder = av.CodecContext.create("aac", "r")
        decoder.extradata, decoder.thread_count = encoder.extradata, 1
        frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
        decoded = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
        return np.ascontiguousarray(decoded[:, _AAC_DELAY : _AAC_DELAY + count], np.float32)


def draw_codec(sample_rate: int, rng: np.random.Generator) -> Codec | None:
    """Draw a codec or, mostly, none; none at sample rates that they do not have."""
    wanted, kind = rng.random(2)
    quality = round(float(rng.uniform(*_MP3_QUALITIES)), 1)
    kbits = int(rng.choice(_AAC_KBITS_PER_CHANNEL))
    if wanted >= _PROBABILITY or sample_rate not in _SAMPLE_RATES:
        return None
    return Codec("mp3", quality) if kind < _MP3_SHARE else Codec("aac", kbits)
