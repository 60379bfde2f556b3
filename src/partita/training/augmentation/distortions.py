"""Distortions of mixtures, which are in no source: noise, clipping, codecs."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from partita.audio.encode import encode_file
from partita.audio.formats import StemFormat
from partita.audio.reader import open_audio
from partita.audio.tags import Tags
from partita.training.augmentation.settings import Augmentation

Samples = npt.NDArray[np.float32]

_NOISE_DB = (-60.0, -30.0)  # beside the mixture
_HUM_HZ, _HARMONICS = (50.0, 60.0), 8
_CLIPPED_DB = (0.5, 6.0)
#: File format: lowest and highest bit rate of two channels, bits a second.
_CODECS = {"mp3": (48_000, 160_000), "m4a": (56_000, 128_000), "opus": (24_000, 96_000)}
_PEAK = 0.9  # into codecs: some of them clip


def draw_distortion(
    rng: np.random.Generator, mixture: Samples, rate: int, augmentation: Augmentation
) -> tuple[Samples, str]:
    """Draw distortions of a mixture: noise, then clipping, then a codec.

    Parameters
    ----------
    rng : Generator
    mixture : ndarray ``[channels, samples]``
        float32; the sum of the sources.
    rate : int
        In hertz.
    augmentation : Augmentation

    Returns
    -------
    ndarray ``[channels, samples]``
        What is to be added to the mixture.
    str
        What it is: ``noise, clipped, mp3 at 64 kbit/s``, or ``none``.

    Raises
    ------
    AudioWriteError, OSError
        There is no room for a temporary file.
    """
    distorted, kinds = mixture, []
    probabilities = (
        augmentation.noisy_mixtures,
        augmentation.clipped_mixtures,
        augmentation.coded_mixtures,
    )
    noisy, clipped, coded = (bool(p) and rng.random() < p for p in probabilities)
    if not mixture.any():
        return np.zeros_like(mixture), "none"
    if noisy:
        distorted = distorted + _draw_noise(rng, distorted, rate)
        kinds.append("noise")
    if clipped:
        limit = np.float32(np.abs(distorted).max() * 10 ** (-rng.uniform(*_CLIPPED_DB) / 20))
        distorted = np.clip(distorted, -limit, limit)
        kinds.append("clipped")
    if coded:
        name = sorted(_CODECS)[rng.integers(len(_CODECS))]
        bitrate = round(math.exp(rng.uniform(*np.log(_CODECS[name]))) * len(mixture) / 2)
        distorted = decoded(distorted, rate, StemFormat(name, bitrate=bitrate))
        kinds.append(f"{name} at {bitrate / 1000:.0f} kbit/s")
    return distorted - mixture, ", ".join(kinds) or "none"


def _draw_noise(rng: np.random.Generator, mixture: Samples, rate: int) -> Samples:
    """Draw hiss, or hum, ``[channels, samples]``; in half of mono mixtures it is mono as well."""
    channels, samples = mixture.shape
    level = np.sqrt(np.square(mixture).mean()) * 10 ** (rng.uniform(*_NOISE_DB) / 20)
    if rng.random() < 0.5:
        is_mono = channels == 2 and np.array_equal(mixture[0], mixture[1])
        alike = is_mono and rng.random() < 0.5
        noise = rng.standard_normal((1 if alike else channels, samples), np.float32)
    else:
        noise = _draw_hum(rng, samples, rate)[None]
    scaled = noise * np.float32(level / np.sqrt(np.square(noise).mean()))
    return np.broadcast_to(scaled, mixture.shape)


def _draw_hum(rng: np.random.Generator, samples: int, rate: int) -> Samples:
    """Draw hum of the mains and its harmonics, the higher the softer, ``[samples]``."""
    base_hz = _HUM_HZ[rng.integers(2)]
    phases = np.arange(samples, dtype=np.float64) * (2 * np.pi * base_hz / rate)
    levels = rng.uniform(0, 1, _HARMONICS) / np.arange(1, _HARMONICS + 1)
    levels[0] = 1.0
    offsets = rng.uniform(0, 2 * np.pi, _HARMONICS)
    hum = np.zeros(samples, np.float32)
    for harmonic, (level, offset) in enumerate(zip(levels, offsets, strict=True), start=1):
        if harmonic * base_hz < rate / 2:
            hum += np.float32(level) * np.sin((harmonic * phases + offset).astype(np.float32))
    return hum


def decoded(signal: Samples, rate: int, form: StemFormat) -> Samples:
    """Return what a lossy file holds of ``[channels, samples]``, sample for sample at its place."""
    channels, samples = signal.shape
    gain = np.float32(_PEAK / np.abs(signal).max())
    with tempfile.TemporaryDirectory(prefix="partita-codec-") as folder:
        path = Path(folder) / f"excerpt.{form.name}"
        sizes = {"sample_rate": rate, "channels": channels, "frames": samples}
        encode_file(path, [signal * gain], form, **sizes, tags=Tags())
        with open_audio(path) as reader:
            found = np.concatenate(list(reader.blocks()), axis=1)
            if reader.sample_rate != rate:
                found = soxr.resample(found.T, reader.sample_rate, rate).T
    result = np.zeros_like(signal)
    length = min(samples, found.shape[1])
    result[:, :length] = found[:, :length] / gain
    return result
