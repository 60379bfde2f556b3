"""The sound of a voice: vocal folds, noise, and the vocal tract that filters them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from partita.datasets.synthesis.singing.performance import CONTROL_S, Performance
from partita.datasets.synthesis.singing.phonemes import NOISES
from partita.datasets.synthesis.singing.singer import Singer

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.floating[Any]]
Bins = npt.NDArray[np.complex64]

_HOP_S = 0.01
_TAIL_HOPS = 3  # how long the tract rings on
_CHUNK_FRAMES = 64  # so many spectra stay in the processor's cache
_PULSE_SAMPLES = 4096
_ROUGH_CYCLES = 40  # roughness comes and goes this fast
_BANDS_PER_OCTAVE, _LOWEST_HZ, _HIGHEST_HZ = 2, 50.0, 1600.0
_HARMONICS_TO_HZ = 16000.0  # above there is but noise
_BANDWIDTHS_HZ = (65.0, 85.0, 120.0, 180.0, 260.0)
_RING_HZ = (2550.0, 2950.0, 3350.0)  # where trained singers gather F3 to F5
_FRICATION = 0.35
#: Mouth noise: lower and upper edge in hertz, and how steep they are.
_NOISE_BANDS = {
    "s": (5200.0, 9500.0, 5, 3),
    "sh": (2500.0, 5600.0, 5, 2),
    "f": (1800.0, 11000.0, 1, 1),
    "t": (2800.0, 8000.0, 2, 2),
    "k": (1300.0, 2800.0, 3, 2),
    "p": (300.0, 1400.0, 1, 1.5),
}


def sound(
    performance: Performance,
    singer: Singer,
    samples: int,
    sample_rate: int,
    chance: np.random.Generator,
) -> Samples:
    """Make a performance heard.

    Returns
    -------
    float32 ``[samples]``
    """
    times = np.arange(samples, dtype=np.float64) / sample_rate
    voicing, breath, mouth = _amplitudes(performance, times)
    phase = _phase(performance, singer, times, sample_rate, chance)
    cycle = np.floor(phase)
    within = (phase - cycle).astype(np.float32)
    voiced = _pulses(performance, singer, within, sample_rate)
    voiced *= voicing * _unevenness(singer, cycle.astype(np.int64), chance)
    noise = chance.standard_normal(samples, np.float32)
    # The open vocal folds let more breath through.
    breath *= 1 + 0.5 * np.minimum(voicing, 1) * np.cos(2 * np.float32(math.pi) * within)
    noise *= np.hypot(breath, mouth)
    return _through_tract(performance, singer, voiced, noise, sample_rate)


def _amplitudes(performance: Performance, times: Curve) -> tuple[Samples, Samples, Samples]:
    """Return voicing, aspiration and mouth noise of every sample."""
    mouth = np.sqrt(np.square(performance.amplitudes[:, 2:]).sum(axis=1))
    levels = (performance.amplitudes[:, 0], performance.amplitudes[:, 1], mouth)
    voicing, breath, noise = (
        np.interp(times, performance.times_s, level, left=0, right=0).astype(np.float32)
        for level in levels
    )
    return voicing, breath, noise


def _frequency(performance: Performance) -> Curve:
    hertz = 440 * np.exp2((performance.pitch - 69) / 12)
    return np.asarray(np.clip(hertz, _LOWEST_HZ, _HIGHEST_HZ))


def _phase(
    performance: Performance,
    singer: Singer,
    times: Curve,
    sample_rate: int,
    chance: np.random.Generator,
) -> Curve:
    """Return the number of cycles since the beginning, at every sample."""
    hertz = _frequency(performance)
    control = np.arange(len(hertz)) * CONTROL_S
    phase = np.cumsum(np.interp(times, control, hertz) / sample_rate)
    cycle = phase.astype(np.int64)
    jitter = singer.jitter * chance.standard_normal(int(cycle[-1]) + 2)
    phase += jitter[cycle] + (phase - cycle) * (jitter[cycle + 1] - jitter[cycle])
    return np.maximum(phase, 0)


def _unevenness(
    singer: Singer, cycle: npt.NDArray[np.int64], chance: np.random.Generator
) -> Samples:
    """Return the factor by which cycles differ in loudness."""
    count = int(cycle[-1]) + 2
    factor = 1 + singer.shimmer * chance.standard_normal(count, np.float32)
    knots = np.arange(0, count + _ROUGH_CYCLES, _ROUGH_CYCLES)
    slow = np.interp(np.arange(0, count, 2), knots, chance.random(len(knots)))
    factor[::2] -= singer.roughness * slow
    return np.asarray(factor[cycle], np.float32)


def _pulses(performance: Performance, singer: Singer, within: Samples, sample_rate: int) -> Samples:
    """Read the glottal pulse, each pitch from a table whose harmonics end where they must."""
    tables = _pulse_tables(round(singer.open_quotient, 2), sample_rate)
    octaves = np.log2(_frequency(performance) / _LOWEST_HZ)
    band = np.minimum((octaves * _BANDS_PER_OCTAVE).astype(np.int64), len(tables) - 1)
    step = np.minimum(
        (np.arange(len(within)) / (sample_rate * CONTROL_S)).astype(np.int64), len(band) - 1
    )
    position = within * np.float32(_PULSE_SAMPLES)
    index = np.minimum(position.astype(np.int64), _PULSE_SAMPLES - 1)
    rest = position - index.astype(np.float32)
    index += band[step] * (_PULSE_SAMPLES + 1)
    flat = tables.reshape(-1)
    left = flat[index]
    return np.asarray(left + rest * (flat[index + 1] - left), np.float32)


@lru_cache(maxsize=64)
def _pulse_tables(open_quotient: float, sample_rate: int) -> Samples:
    """Return ``[bands, _PULSE_SAMPLES + 1]``, a cycle each, of unit power.

    The pulse is Rosenberg's: the flow through the vocal folds rises and falls along cosines and
    stops at once; what is radiated is its derivative.
    """
    at = np.arange(_PULSE_SAMPLES) / _PULSE_SAMPLES
    rise, fall = open_quotient * 0.68, open_quotient * 0.32
    flow = np.where(at < rise, 0.5 - 0.5 * np.cos(math.pi * at / rise), 0)
    flow = np.where(
        (at >= rise) & (at < open_quotient), np.cos(math.pi / 2 * (at - rise) / fall), flow
    )
    spectrum = np.fft.rfft(flow)
    order = np.arange(len(spectrum))
    spectrum = spectrum * 1j * order
    spectrum /= np.sqrt(np.square(np.abs(spectrum[1:])).sum() * 2) / _PULSE_SAMPLES
    octaves = np.arange(math.ceil(math.log2(_HIGHEST_HZ / _LOWEST_HZ) * _BANDS_PER_OCTAVE) + 1)
    highest = _LOWEST_HZ * 2 ** ((octaves + 1) / _BANDS_PER_OCTAVE)
    limit = min(_HARMONICS_TO_HZ, 0.48 * sample_rate)
    kept = order <= limit / highest[:, None]
    tables = np.fft.irfft(spectrum * kept, axis=1)
    closed = np.concatenate([tables, tables[:, :1]], axis=1).astype(np.float32)
    closed.setflags(write=False)
    return closed


def _through_tract(
    performance: Performance, singer: Singer, voiced: Samples, noise: Samples, sample_rate: int
) -> Samples:
    """Filter short frames, each by the vocal tract of its time, and overlap them."""
    from scipy import fft

    hop = round(_HOP_S * sample_rate)
    size = (2 + _TAIL_HOPS) * hop
    frames = math.ceil(len(voiced) / hop) + 1
    window = np.hanning(2 * hop + 1)[:-1].astype(np.float32)
    padded = np.zeros((2, (frames + 1) * hop), np.float32)
    padded[:, hop : hop + len(voiced)] = voiced, noise
    pieces = sliding_window_view(padded, 2 * hop, axis=1)[:, ::hop]  # [2, frames, 2 hop]
    centres_s = np.arange(frames) * (hop / sample_rate)
    heard = np.flatnonzero(padded.reshape(2, -1, hop).any(axis=(0, 2)))
    heard = np.unique(np.concatenate([heard, heard - 1]))
    heard = heard[(heard >= 0) & (heard < frames)]
    tract = _Tract(performance, singer, size, sample_rate)
    out = np.zeros((frames + 1 + _TAIL_HOPS, hop), np.float32)
    for begin in range(0, len(heard), _CHUNK_FRAMES):
        chosen = heard[begin : begin + _CHUNK_FRAMES]
        spectra = fft.rfft(pieces[:, chosen] * window, size, axis=-1)
        made = fft.irfft(tract.filter(spectra[0], spectra[1], centres_s[chosen]), size, axis=-1)
        for offset in range(2 + _TAIL_HOPS):
            out[chosen + offset] += made[:, offset * hop : (offset + 1) * hop]
    return out.reshape(-1)[hop : hop + len(voiced)]


class _Tract:
    """The vocal tract of a singer, as it moves."""

    def __init__(
        self, performance: Performance, singer: Singer, size: int, sample_rate: int
    ) -> None:
        self._performance = performance
        self._singer = singer
        self._hertz = np.fft.rfftfreq(size, 1 / sample_rate).astype(np.float32)
        self._fixed = _higher_formants(self._hertz, float(np.mean(singer.tract)))
        self._fixed *= _presence(self._hertz, singer.presence_db)
        self._breath = _breath_spectrum(self._hertz)
        self._noises = _mouth_noises(self._hertz, float(np.mean(singer.tract)))

    def filter(self, voiced: Bins, noise: Bins, times_s: Curve) -> Bins:
        """Filter spectra ``[frames, bins]``."""
        shape_times = self._performance.shape_times_s
        effort = np.interp(times_s, shape_times, self._performance.effort)
        bends = self._singer.brightness_hz * np.exp(2.2 * (effort - 0.65))
        bend = bends.astype(np.float32)[:, None]
        breath, mouth = self._noise_shares(times_s)
        source = voiced / (1 + np.complex64(1j) * (self._hertz / bend))
        source += noise * (breath[:, None] * self._breath)
        source *= self._response(times_s)
        mouthy = np.flatnonzero(mouth.any(axis=1))
        source[mouthy] += noise[mouthy] * (mouth[mouthy] @ self._noises)
        return source

    def _noise_shares(self, times_s: Curve) -> tuple[Samples, Samples]:
        """Return what part of the noise is made at the vocal folds, and where in the mouth.

        Noise comes with its loudness; bursts are shorter than a frame, so all of it is looked at.
        """
        around = times_s[:, None] + np.linspace(-0.9, 0.9, 10) * _HOP_S
        levels = np.stack(
            [
                np.interp(around, self._performance.times_s, level, left=0, right=0).mean(axis=1)
                for level in self._performance.amplitudes[:, 1:].T
            ],
            axis=1,
        )
        total = np.sqrt(np.square(levels).sum(axis=1, keepdims=True))
        shares = (levels / np.maximum(total, 1e-9)).astype(np.float32)
        return shares[:, 0], shares[:, 1:]

    def _response(self, times_s: Curve) -> Bins:
        """Return the response of the moving formants ``[frames, bins]``."""
        shape_times = self._performance.shape_times_s
        pitch_at = np.arange(len(self._performance.pitch)) * CONTROL_S
        pitch_hz = np.interp(times_s, pitch_at, _frequency(self._performance))
        denominator = np.ones((len(times_s), len(self._hertz)), np.complex64)
        for index, column in enumerate(self._performance.formants.T):
            formant = np.interp(times_s, shape_times, column) * self._singer.tract[index]
            if index == 0:  # who sings high opens the mouth until F1 is above the pitch
                formant = np.maximum(formant, 1.02 * pitch_hz)
            if index >= 2:
                gathered = _RING_HZ[index - 2] * self._singer.tract[index] ** 0.5
                formant += self._singer.ring * (gathered - formant)
            width = _BANDWIDTHS_HZ[index] * (1 + 0.25 * formant / 2500)
            denominator *= _resonance(self._hertz, formant, width)
        response = self._fixed / denominator
        nasality, zero_hz = (
            np.interp(times_s, shape_times, column) for column in self._performance.nasality.T
        )
        nasal = np.flatnonzero(nasality > 0.01)
        if len(nasal):
            dip = _resonance(self._hertz, zero_hz[nasal], np.full(len(nasal), 150.0))
            dip /= _resonance(self._hertz, 1.1 * zero_hz[nasal], np.full(len(nasal), 600.0))
            share = nasality[nasal, None].astype(np.float32)
            response[nasal] *= 1 - share + share * dip
        return response


def _resonance(hertz: Samples, centre_hz: Curve, width_hz: Curve) -> Bins:
    """Return the denominator of resonances ``[frames, bins]``; 1 at 0 Hz."""
    relative = hertz / centre_hz.astype(np.float32)[:, None]
    made = np.empty(relative.shape, np.complex64)
    made.real = 1 - np.square(relative)
    made.imag = relative * (width_hz / centre_hz).astype(np.float32)[:, None]
    return made


def _higher_formants(hertz: Samples, size: float) -> Bins:
    """Return the response of all formants above the fifth: a tract has no end of them."""
    apart = 1000.0 * size
    wave = hertz.astype(np.float64)
    response = np.exp(np.square(wave / apart) / 59)  # those from the 60th on, nearly
    for order in range(6, 60):
        centre = apart * (order - 0.5)
        width = 250.0 + 90.0 * (order - 5)
        response = response / (1 - np.square(wave / centre) + 1j * wave * width / centre**2)
    return (response * _rumble(hertz)).astype(np.complex64)


def _rumble(hertz: Samples) -> Curve:
    """Return a high-pass: heads do not radiate, and studios cut, what is below the voice."""
    relative = hertz.astype(np.float64) / 160
    return relative**2 / (1 + relative**2)


def _presence(hertz: Samples, gain_db: float) -> Samples:
    """Return a shelf above 1 to 5 kHz: voices cut through, and studios help them to."""
    rise = np.hypot(1, hertz / 1200) / np.hypot(1, hertz / 6000)  # to a factor of 5: 14 dB
    return np.asarray(rise ** (gain_db / 14), np.float32)


def _breath_spectrum(hertz: Samples) -> Samples:
    """Return the spectrum of aspiration: little below the second formant."""
    spectrum = hertz / np.hypot(hertz, 900.0) / np.hypot(1, hertz / 6000.0)
    return np.asarray(spectrum, np.float32)


def _mouth_noises(hertz: Samples, size: float) -> Samples:
    """Return the spectra of noise made in the mouth ``[noises, bins]``, each of one power."""
    reference = np.linspace(1, 22050, 2000)
    rows = []
    for name in NOISES:
        power = np.square(_noise_band(name, reference, size)).mean() * 22050
        row = _noise_band(name, np.maximum(hertz, 1).astype(np.float64), size)
        rows.append(_FRICATION * row * np.sqrt(hertz[-1] / power))
    return np.array(rows, np.float32)


def _noise_band(name: str, hertz: Curve, size: float) -> Curve:
    low, high, steep_low, steep_high = _NOISE_BANDS[name]
    below = 1 + (low * size**0.5 / hertz) ** (2 * steep_low)
    above = 1 + (hertz / (high * size**0.5)) ** (2 * steep_high)
    return np.asarray(1 / np.sqrt(below * above), np.float64)
