"""Single hits of drum machines, made of sines, noise and square waves.

Noise and metal are made as spectra: their colour costs nothing then, and nothing aliases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Floats = NDArray[np.floating[Any]]

_FALL_60_DB = 6.9
_HIGHEST_PART_OF_RATE = 0.45
_ATTACK_S = 0.0004


class Sound(Protocol):
    """What a key of a kit sounds like."""

    def render(self, force: float, sample_rate: int, rng: np.random.Generator) -> Samples:
        """Return a hit ``[samples]`` with a peak of 1.

        Parameters
        ----------
        force : float
            0 to 1: how bright the hit is; how loud is left to the caller.
        sample_rate : int
            In hertz.
        rng : Generator
            Makes each hit a little different.
        """
        ...


@dataclass(frozen=True)
class Kick:
    """A bass drum: a sine that falls, with a click at its start.

    Attributes
    ----------
    hertz, drop, drop_s : float
        Where the pitch ends, how many times as high it starts, and how fast it falls.
    decay_s : float
        Until it has fallen by 60 dB.
    click, click_hz : float
        The level and the pitch of the beater.
    drive : float
        Of the saturation; 0.1 is none.
    """

    hertz: float
    drop: float
    drop_s: float
    decay_s: float
    click: float
    click_hz: float
    drive: float

    def render(self, force: float, sample_rate: int, rng: np.random.Generator) -> Samples:
        """Return a hit: see `Sound`."""
        samples = round(self.decay_s * sample_rate)
        drop = 1 + (self.drop - 1) * (0.6 + 0.4 * force)
        body = _falling_sine(samples, sample_rate, self.hertz, drop, self.drop_s)
        body *= _fall(samples, sample_rate, self.decay_s)
        body = np.tanh(self.drive * body) / np.float32(np.tanh(self.drive))
        click = _noise(samples, sample_rate, rng, 0.4 * self.click_hz, self.click_hz, seconds=0.03)
        body += np.float32(self.click * (0.3 + 0.7 * force)) * click
        return _finish(body, sample_rate)


@dataclass(frozen=True)
class Snare:
    """A snare drum: two modes of the skin, and noise.

    Attributes
    ----------
    hertz, decay_s : float
        Of the skin.
    noise : float
        0 (skin only) to 1 (noise only).
    noise_decay_s, low_hz, high_hz : float
        Of the noise.
    """

    hertz: float
    decay_s: float
    noise: float
    noise_decay_s: float
    low_hz: float
    high_hz: float

    def render(self, force: float, sample_rate: int, rng: np.random.Generator) -> Samples:
        """Return a hit: see `Sound`."""
        samples = round(max(self.decay_s, self.noise_decay_s) * sample_rate)
        skin = _falling_sine(samples, sample_rate, self.hertz, 1.5, 0.03)
        skin += np.float32(0.6) * _falling_sine(samples, sample_rate, 1.78 * self.hertz, 1.3, 0.03)
        skin *= _fall(samples, sample_rate, self.decay_s)
        high_hz = self.high_hz * (0.35 + 0.65 * force)
        rattle = _noise(samples, sample_rate, rng, self.low_hz, high_hz, seconds=self.noise_decay_s)
        return _finish(_blend(skin, rattle, self.noise), sample_rate)


@dataclass(frozen=True)
class Clap:
    """Hands: bursts of noise, then a tail.

    Attributes
    ----------
    bursts : int
    apart_s : float
    tail_s : float
    hertz : float
        Centre of the noise.
    """

    bursts: int
    apart_s: float
    tail_s: float
    hertz: float

    def render(self, force: float, sample_rate: int, rng: np.random.Generator) -> Samples:
        """Return a hit: see `Sound`."""
        times_s = self.apart_s * (np.arange(self.bursts) + rng.uniform(-0.15, 0.15, self.bursts))
        times_s -= times_s[0]
        samples = round((float(times_s[-1]) + self.tail_s) * sample_rate)
        high_hz = self.hertz * (1.5 + 2.5 * force)
        noise = _noise(samples, sample_rate, rng, 0.7 * self.hertz, high_hz)
        level = np.zeros(samples, np.float32)
        for number, time_s in enumerate(times_s):
            begin = round(float(time_s) * sample_rate)
            is_last = number == self.bursts - 1
            burst = _fall(samples - begin, sample_rate, self.tail_s if is_last else 0.03)
            np.maximum(level[begin:], burst, out=level[begin:])
        return _finish(noise * level, sample_rate)


@dataclass(frozen=True)
class Struck:
    """Skin or wood: modes that fall in pitch a little, and the noise of the stroke.

    Attributes
    ----------
    hertz, decay_s : float
    drop : float
        How many times as high the pitch starts; below 1 it rises.
    modes : sequence of (float, float)
        Frequencies by the first mode's, and gains; the higher, the sooner they fall.
    noise : float
        0 to 1.
    drop_s : float
    """

    hertz: float
    decay_s: float
    drop: float = 1.0
    modes: Sequence[tuple[float, float]] = ((1.0, 1.0),)
    noise: float = 0.05
    drop_s: float = 0.15

    def render(self, force: float, sample_rate: int, rng: np.random.Generator) -> Samples:
        """Return a hit: see `Sound`."""
        samples = round(self.decay_s * sample_rate)
        body = np.zeros(samples, np.float32)
        for ratio, gain in self.modes:
            if self.hertz * ratio * max(1.0, self.drop) > _HIGHEST_PART_OF_RATE * sample_rate:
                continue
            hertz = self.hertz * ratio * rng.uniform(0.995, 1.005)
            bright = gain if ratio == 1.0 else gain * (0.3 + 0.7 * force)
            mode = _falling_sine(samples, sample_rate, hertz, self.drop, self.drop_s)
            mode *= _fall(samples, sample_rate, self.decay_s / ratio**0.5)
            body += np.float32(bright) * mode
        stroke = _noise(samples, sample_rate, rng, 0.8 * self.hertz, 8000, seconds=0.04)
        return _finish(_blend(body, stroke, self.noise * (0.4 + 0.6 * force)), sample_rate)


@dataclass(frozen=True)
class Metal:
    """Cymbals, hats and bells: rows of squares, and noise.

    Attributes
    ----------
    hertz : sequence of float
        The squares' pitches.
    decay_s : float
    low_hz, high_hz : float
        The band that is let through.
    noise : float
        0 (squares only) to 1 (noise only).
    splash : float
        How much louder than what rings on the first tenth of the decay is.
    """

    hertz: Sequence[float]
    decay_s: float
    low_hz: float
    high_hz: float
    noise: float
    splash: float = 0.5

    def render(self, force: float, sample_rate: int, rng: np.random.Generator) -> Samples:
        """Return a hit: see `Sound`."""
        samples = round(self.decay_s * sample_rate)
        high_hz = self.high_hz * (0.4 + 0.6 * force)
        if self.noise < 1.0:
            ring = _squares(samples, sample_rate, rng, self.hertz, self.low_hz, high_hz)
        else:
            ring = np.zeros(samples, np.float32)
        if self.noise > 0.0:
            hiss = _noise(samples, sample_rate, rng, self.low_hz, high_hz)
            ring = _blend(ring, hiss, self.noise)
        hit = _dying(ring, sample_rate, self.decay_s)
        ring *= _fall(samples, sample_rate, 0.2 * self.decay_s)
        hit += np.float32(self.splash) * ring
        return _finish(hit, sample_rate)


@dataclass(frozen=True)
class Shaken:
    """Grains in a gourd or teeth under a stick: noise in pulses that grow and fall.

    Attributes
    ----------
    low_hz, high_hz : float
    rise_s, decay_s : float
    pulses_hz : float
        How many strokes a second; 0 is a single one.
    jingles : float
        0 (grains) to 1 (small cymbals).
    """

    low_hz: float
    high_hz: float
    rise_s: float
    decay_s: float
    pulses_hz: float = 0.0
    jingles: float = 0.0

    def render(self, force: float, sample_rate: int, rng: np.random.Generator) -> Samples:
        """Return a hit: see `Sound`."""
        samples = round((self.rise_s + self.decay_s) * sample_rate)
        high_hz = self.high_hz * (0.5 + 0.5 * force)
        grains = _noise(samples, sample_rate, rng, self.low_hz, high_hz)
        if self.jingles:
            hertz = self.low_hz * rng.uniform(1.0, 2.5, 6)
            small = _squares(samples, sample_rate, rng, hertz, self.low_hz, high_hz)
            grains = _blend(small, grains, 1.0 - self.jingles)
        times_s = np.arange(samples, dtype=np.float32) / np.float32(sample_rate)
        level = np.minimum(times_s / np.float32(self.rise_s), 1.0) ** 2
        after_s = np.maximum(times_s - np.float32(self.rise_s), 0.0)
        level *= np.exp(np.float32(-_FALL_60_DB / self.decay_s) * after_s)
        if self.pulses_hz:
            turns = times_s * np.float32(self.pulses_hz * rng.uniform(0.95, 1.05))
            level *= np.exp(-5.0 * (turns % np.float32(1.0)))
        return _finish(grains * level, sample_rate)


@dataclass(frozen=True)
class Whistle:
    """A whistle with a pea in it.

    Attributes
    ----------
    hertz, duration_s : float
    """

    hertz: float
    duration_s: float

    def render(self, force: float, sample_rate: int, rng: np.random.Generator) -> Samples:
        """Return a hit: see `Sound`."""
        samples = round(self.duration_s * sample_rate)
        times_s = np.arange(samples) / sample_rate
        pea = np.sin(2 * np.pi * rng.uniform(28, 36) * times_s)
        tone = np.sin(2 * np.pi * self.hertz * times_s + 0.8 * pea) * (0.7 + 0.3 * pea)
        wind = _noise(samples, sample_rate, rng, 0.7 * self.hertz, 2 * self.hertz)
        level = np.minimum(1.0, times_s / 0.02) * np.minimum(
            1.0, (self.duration_s - times_s) / 0.03
        )
        mixed = _blend(tone.astype(np.float32), wind, 0.1 + 0.1 * force)
        return _finish(mixed * level.astype(np.float32), sample_rate)


def _finish(wave: Samples, sample_rate: int) -> Samples:
    """Begin and end softly, with a peak of 1."""
    count = min(max(1, round(_ATTACK_S * sample_rate)), wave.size)
    wave[:count] *= np.arange(count, dtype=np.float32) / count
    last = min(round(0.005 * sample_rate), wave.size)
    wave[wave.size - last :] *= np.linspace(1, 0, last, dtype=np.float32)
    wave /= max(float(np.abs(wave).max()), 1e-9)
    return wave


def _blend(tone: Samples, noise: Samples, share: float) -> Samples:
    """Mix by the RMS of their loudest parts; `share` is the noise's."""
    if share >= 1.0:
        return noise
    loud_tone, loud_noise = (max(float(np.abs(wave).max()), 1e-9) for wave in (tone, noise))
    mixed: Samples = np.float32((1 - share) / loud_tone) * tone
    mixed += np.float32(share / loud_noise) * noise
    return mixed


def _fall(samples: int, sample_rate: int, decay_s: float) -> Samples:
    """Return an exponential that has fallen by 60 dB after `decay_s`."""
    slope = -_FALL_60_DB / (decay_s * sample_rate)
    level: Samples = np.exp(np.arange(samples, dtype=np.float32) * np.float32(slope))
    return level


def _dying(wave: Samples, sample_rate: int, decay_s: float) -> Samples:
    """Return the wave falling by 60 dB in `decay_s`, and its top half sooner."""
    dull = wave.copy()
    dull[1:-1] = 0.5 * wave[1:-1] + 0.25 * (wave[:-2] + wave[2:])
    top = wave - dull
    top *= _fall(wave.size, sample_rate, 0.6 * decay_s)
    dull *= _fall(wave.size, sample_rate, decay_s)
    dull += top
    return dull


def _falling_sine(
    samples: int, sample_rate: int, hertz: float, drop: float, drop_s: float
) -> Samples:
    """Return a sine that starts at `drop` times its final pitch."""
    times_s = np.arange(samples) / sample_rate
    rate = _FALL_60_DB / drop_s
    turns = hertz * (times_s + (drop - 1) / rate * (1 - np.exp(-rate * times_s)))
    wave: Samples = np.sin((2 * np.pi * (turns % 1.0)).astype(np.float32))
    return wave


def _noise(
    samples: int,
    sample_rate: int,
    rng: np.random.Generator,
    low_hz: float,
    high_hz: float,
    *,
    seconds: float = 0.0,
) -> Samples:
    """Return noise in a band, with an RMS near 0.3; it falls by 60 dB in `seconds`, if given."""
    length = min(samples, round(seconds * sample_rate)) if seconds else samples
    size = _fast_size(length)
    spectrum = rng.standard_normal(size + 2, np.float32).view(np.complex64)
    spectrum *= _band(size, sample_rate, low_hz, high_hz)
    noise = _even_level(spectrum, size)[:length]
    if not seconds:
        return noise
    out = np.zeros(samples, np.float32)
    out[:length] = _dying(noise, sample_rate, seconds)
    return out


def _squares(
    samples: int,
    sample_rate: int,
    rng: np.random.Generator,
    hertz: Sequence[float] | Floats,
    low_hz: float,
    high_hz: float,
) -> Samples:
    """Return square waves together, in a band, with an RMS of 0.3."""
    size = _fast_size(samples)
    spectrum = np.zeros(size // 2 + 1, np.complex64)
    limit_hz = _HIGHEST_PART_OF_RATE * sample_rate
    for pitch_hz in hertz:
        numbers = np.arange(1, limit_hz / pitch_hz, 2)
        bins = np.round(numbers * (pitch_hz * size / sample_rate)).astype(np.intp)
        turn = 2 * np.pi * rng.random()
        spectrum[bins] += np.exp(1j * numbers * turn) / numbers
    spectrum *= _band(size, sample_rate, low_hz, high_hz)
    return _even_level(spectrum, size)[:samples]


def _even_level(spectrum: NDArray[np.complex64], size: int) -> Samples:
    power = float(np.sum(spectrum.real**2 + spectrum.imag**2))
    scale = 0.3 * size / np.sqrt(2 * max(power, 1e-20))
    wave: Samples = np.fft.irfft(spectrum * np.float32(scale), size).astype(np.float32)
    return wave


def _band(size: int, sample_rate: int, low_hz: float, high_hz: float) -> Samples:
    """Return gains ``[size // 2 + 1]`` that fall by 12 dB an octave on both sides."""
    frequencies_hz = np.arange(size // 2 + 1, dtype=np.float32) * np.float32(sample_rate / size)
    frequencies_hz[0] = 1e-3
    below = (np.float32(low_hz) / frequencies_hz) ** 2
    above = (frequencies_hz / np.float32(high_hz)) ** 2
    gains: Samples = 1 / np.sqrt((1 + below * below) * (1 + above * above))
    gains[frequencies_hz > _HIGHEST_PART_OF_RATE * sample_rate] = 0
    return gains


def _fast_size(samples: int) -> int:
    """Return a length that the Fourier transform is fast at: a power of 2, or 1.5 times one."""
    power = 1 << max(4, (samples - 1).bit_length())
    return power * 3 // 4 if power * 3 // 4 >= samples else power
