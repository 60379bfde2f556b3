"""Transformations that do not make a song another song.

Each maps true stems and their sample rate to a `Version`: a mixture, and the references for its
estimates. Linear transformations change stems and mixture alike; codecs, clipping, hiss and hum
change only the mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import av
import numpy as np
import soxr
from scipy.signal import butter, sosfilt

Samples = np.ndarray
Stems = Mapping[str, Samples]
#: From ``[2, samples]`` and the sample rate to the same shape.
Change = Callable[[Samples, int], Samples]


@dataclass(frozen=True)
class Version:
    """A transformed song.

    Attributes
    ----------
    mixture : ndarray ``[2, samples]``
    stems : mapping of str to ndarray ``[2, samples]``
        References of the estimates.
    rate : int
        In hertz.
    start_s : float or None
        Its start in the untransformed song; None: times do not correspond.
    """

    mixture: Samples
    stems: Stems
    rate: int
    start_s: float | None = 0.0


Transformation = Callable[[Stems, int], Version]


def sum_of(stems: Stems) -> Samples:
    """Return the mixture."""
    return np.sum(list(stems.values()), axis=0)


def as_it_is(stems: Stems, rate: int) -> Version:
    """Change nothing."""
    return Version(sum_of(stems), stems, rate)


def alike(change: Change, start_s: float | None = 0.0) -> Transformation:
    """Return a transformation of stems and mixture alike."""

    def transform(stems: Stems, rate: int) -> Version:
        changed = {name: change(stem, rate) for name, stem in stems.items()}
        return Version(change(sum_of(stems), rate), changed, rate, start_s)

    return transform


def mixture_alone(change: Change) -> Transformation:
    """Return a transformation of the mixture only."""
    return lambda stems, rate: Version(change(sum_of(stems), rate), stems, rate)


# Stereo


def _matrix(*rows: tuple[float, float]) -> Change:
    gains = np.array(rows, np.float32)
    return lambda samples, _: gains @ samples


def matrix(*rows: tuple[float, float]) -> Transformation:
    """Return a transformation that mixes left and right by a matrix."""
    return alike(_matrix(*rows))


def narrowed(decibels: float) -> Transformation:
    """Return a transformation that lowers the side signal (left minus right) by some dB."""
    gain = 10 ** (-decibels / 20)
    return matrix(((1 + gain) / 2, (1 - gain) / 2), ((1 - gain) / 2, (1 + gain) / 2))


_to_mono = _matrix((0.5, 0.5), (0.5, 0.5))


def mono_with_noise(decibels: float) -> Transformation:
    """Return a transformation to mono with white noise in the side signal, some dB lower."""

    def transform(stems: Stems, rate: int) -> Version:
        mono = alike(_to_mono)(stems, rate)
        noise = np.random.default_rng(0).standard_normal(mono.mixture.shape[1])
        noise *= _rms(mono.mixture) * 10 ** (-decibels / 20)
        noisy = (mono.mixture + np.array([[1.0], [-1.0]]) * noise).astype(np.float32)
        return Version(noisy, mono.stems, rate)

    return transform


def hard_panned(alternate: int, middle: str = "") -> Transformation:
    """Return a transformation that makes each stem mono and hard-panned, or one of them centred.

    Number of neighbours on one side: 1 is right, left, right, left; 2 is right, right, left, left.
    """

    def transform(stems: Stems, rate: int) -> Version:
        panned = {}
        for index, (name, stem) in enumerate(stems.items()):
            right = 1.0 if index // alternate % 2 == 0 else 0.0
            sides = (0.5**0.5, 0.5**0.5) if name == middle else (1 - right, right)
            panned[name] = stem.mean(axis=0) * np.array(sides, np.float32)[:, None]
        return Version(sum_of(panned), panned, rate)

    return transform


# Level, distortion, noise


def gain(decibels: float) -> Transformation:
    """Return a transformation that changes the level."""
    factor = np.float32(10 ** (decibels / 20))
    return alike(lambda samples, _: factor * samples)


def clipped(decibels: float) -> Transformation:
    """Return a transformation that clips some dB below the highest peak."""

    def clip(samples: Samples, _: int) -> Samples:
        limit = np.abs(samples).max() * 10 ** (-decibels / 20)
        return np.clip(samples, -limit, limit)

    return mixture_alone(clip)


def hiss(decibels: float) -> Transformation:
    """Return a transformation that adds independent white noise to each channel, some dB lower."""

    def add(samples: Samples, _: int) -> Samples:
        noise = np.random.default_rng(0).standard_normal(samples.shape)
        return (samples + _rms(samples) * 10 ** (-decibels / 20) * noise).astype(np.float32)

    return mixture_alone(add)


def hum(hertz: float, decibels: float) -> Transformation:
    """Return a transformation that adds mains hum, some dB lower: ten harmonics, the nth at 1/n."""

    def add(samples: Samples, rate: int) -> Samples:
        times = np.arange(samples.shape[1]) / rate
        tone = sum(np.sin(2 * np.pi * n * hertz * times + n) / n for n in range(1, 11))
        tone *= _rms(samples) * 10 ** (-decibels / 20) / _rms(tone)
        return (samples + tone).astype(np.float32)

    return mixture_alone(add)


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))


# Rates, bands, speed, time


def at_rate(hertz: int, band_hz: tuple[float, float] | None = None) -> Transformation:
    """Return a transformation to a lower sample rate and a frequency band."""

    def change(samples: Samples, rate: int) -> Samples:
        lower = resampled(samples, rate, hertz)
        if band_hz is None:
            return lower
        sections = butter(4, band_hz, "bandpass", fs=hertz, output="sos")
        return sosfilt(sections, lower).astype(np.float32)

    def transform(stems: Stems, rate: int) -> Version:
        changed = alike(change)(stems, rate)
        return Version(changed.mixture, changed.stems, hertz)

    return transform


def resampled(samples: Samples, rate: float, hertz: float) -> Samples:
    """Return ``[2, samples]`` at another sample rate."""
    return np.ascontiguousarray(soxr.resample(samples.T, rate, hertz, quality="VHQ").T)


def speed(factor: float) -> Transformation:
    """Return a transformation that plays a song faster and higher."""
    return alike(lambda samples, rate: resampled(samples, rate * factor, rate), start_s=None)


def silence_before(seconds: float) -> Transformation:
    """Return a transformation that adds silence before a song."""
    return alike(
        lambda samples, rate: np.pad(samples, ((0, 0), (round(seconds * rate), 0))), -seconds
    )


def start_cut(seconds: float) -> Transformation:
    """Return a transformation that removes the beginning of a song."""
    return alike(lambda samples, rate: samples[:, round(seconds * rate) :], seconds)


# Codecs


@dataclass(frozen=True)
class Codec:
    """An encoder of FFmpeg and its decoder.

    Attributes
    ----------
    encoder, decoder, format : str
    rates : tuple of int
        Supported sample rates; the first replaces others.
    delay : int
        Delay of the decoder in samples that no packet declares.
    """

    encoder: str
    decoder: str
    format: str
    rates: tuple[int, ...]
    delay: int = 0


CODECS = {
    "mp3": Codec("libmp3lame", "mp3float", "fltp", (44100, 48000)),
    "aac": Codec("aac", "aac", "fltp", (44100, 48000), delay=1024),
    "opus": Codec("libopus", "opus", "flt", (48000,)),
}


def coded(name: str, kbits: int) -> Transformation:
    """Return a transformation by a codec, aligned to the sample."""
    return mixture_alone(lambda samples, rate: round_trip(CODECS[name], kbits, samples, rate))


def round_trip(codec: Codec, kbits: int, samples: Samples, rate: int) -> Samples:
    """Return ``[2, samples]`` encoded and decoded, of the same length and aligned."""
    coded_rate = rate if rate in codec.rates else codec.rates[0]
    peak = max(1.0, float(np.abs(samples).max()))  # codecs clip
    given = samples / peak if rate == coded_rate else resampled(samples / peak, rate, coded_rate)
    decoded = _decode(codec, *_encode(codec, kbits, given.astype(np.float32), coded_rate))
    decoded = decoded[:, codec.delay :]
    if rate != coded_rate:
        decoded = resampled(decoded, coded_rate, rate)
    fitted = np.zeros(samples.shape, np.float32)
    count = min(samples.shape[1], decoded.shape[1])
    fitted[:, :count] = peak * decoded[:, :count]
    return fitted


def _encode(
    codec: Codec, kbits: int, samples: Samples, rate: int
) -> tuple[list[av.Packet], bytes | None]:
    encoder = av.CodecContext.create(codec.encoder, "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, "stereo", codec.format
    encoder.bit_rate, encoder.thread_count = 1000 * kbits, 1
    encoder.open()
    packets = []
    for start in range(0, samples.shape[1], encoder.frame_size):
        piece = np.ascontiguousarray(samples[:, start : start + encoder.frame_size])
        if codec.format == "flt":  # left and right in turns
            piece = np.ascontiguousarray(piece.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(piece, format=codec.format, layout="stereo")
        frame.sample_rate, frame.pts = rate, start
        packets += encoder.encode(frame)
    return [*packets, *encoder.encode(None)], encoder.extradata


def _decode(codec: Codec, packets: list[av.Packet], extradata: bytes | None) -> Samples:
    decoder = av.CodecContext.create(codec.decoder, "r")
    decoder.extradata, decoder.thread_count = extradata, 1
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1)  # all are planar


TRANSFORMATIONS: Mapping[str, Transformation] = {
    "mono": alike(_to_mono),
    "left only": matrix((1, 0), (0, 0)),
    "right only": matrix((0, 0), (0, 1)),
    "mono, all to the left": matrix((0.5, 0.5), (0, 0)),
    "mono, hard to the left": matrix((0.5, 0.5), (0.1, 0.1)),
    "right -20 dB": matrix((1, 0), (0, 0.1)),
    "left -10 dB": matrix((0.316, 0), (0, 1)),
    "swapped": matrix((0, 1), (1, 0)),
    "one polarity turned": matrix((1, 0), (0, -1)),
    "mono, opposite polarity": matrix((0.5, 0.5), (-0.5, -0.5)),
    "side -6 dB": narrowed(6),
    "side -12 dB": narrowed(12),
    "side -20 dB": narrowed(20),
    "side -60 dB": narrowed(60),
    "mono, side noise -60 dB": mono_with_noise(60),
    "mono, side noise -40 dB": mono_with_noise(40),
    "hard-panned by turns": hard_panned(1),
    "hard-panned in pairs": hard_panned(2),
    "voice amid hard-panned": hard_panned(1, "vocals"),
    "+12 dB": gain(12),
    "-12 dB": gain(-12),
    "-40 dB": gain(-40),
    "clipped by 3 dB": clipped(3),
    "mp3, 64 kbit/s": coded("mp3", 64),
    "mp3, 128 kbit/s": coded("mp3", 128),
    "AAC, 96 kbit/s": coded("aac", 96),
    "Opus, 48 kbit/s": coded("opus", 48),
    "22.05 kHz": at_rate(22050),
    "32 kHz": at_rate(32000),
    "telephone, 8 kHz": at_rate(8000, (300.0, 3400.0)),
    "hiss -45 dB": hiss(45),
    "hum 50 Hz, -40 dB": hum(50, 40),
    "hum 60 Hz, -40 dB": hum(60, 40),
    "speed +3 %": speed(1.03),
    "speed -3 %": speed(0.97),
    "tuned to 432 Hz": speed(432 / 440),
    "0.3 s of silence before": silence_before(0.3),
    "start cut by 0.1 s": start_cut(0.1),
    "start cut by 0.77 s": start_cut(0.77),
    "start cut by 2.3 s": start_cut(2.3),
}
