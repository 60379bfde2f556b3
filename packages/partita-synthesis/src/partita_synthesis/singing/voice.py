"""The sound of a voice: vocal folds, noise, and the vocal tract that filters them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

from partita_synthesis._active_blocks import ActiveBlocks
from partita_synthesis.singing.expression import CONTROL_S, Performance
from partita_synthesis.singing.phonemes import NOISES
from partita_synthesis.singing.singer import Singer

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.floating[Any]]
Bins = npt.NDArray[np.complex64]

_HOP_S = 0.01
_STEPS = 16  # of a hop; lengths of transforms that are multiples of it are fast ones
_NEIGHBOURS = slice(None, -1), slice(1, None)
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
    rng: np.random.Generator,
) -> Samples:
    """Return the sound of a performance.

    Returns
    -------
    float32 ``[samples]``
    """
    clock = _Clock.of(performance, samples, sample_rate)
    phase = _phase(performance, singer, clock, rng)
    cycle, within = _cycles(phase, clock.step)
    voicing, breath, mouth = _amplitudes(performance, clock)
    voiced = _pulses(performance, singer, within, clock)
    voiced *= voicing
    voiced *= _unevenness(singer, cycle, rng)
    # The open vocal folds let more breath through.
    opening = np.cos(np.float32(2 * math.pi) * within)
    opening *= np.minimum(voicing, 1)
    opening *= 0.5
    breath *= 1 + opening
    noise = np.hypot(breath, mouth)
    noise *= rng.standard_normal(noise.shape, np.float32)
    made = np.zeros(samples, np.float32)
    filtered = _through_tract(performance, singer, voiced.reshape(-1), noise.reshape(-1), clock)
    clock.sung.add(filtered, made)
    return made


@dataclass(frozen=True, eq=False)
class _Clock:
    """The time of a song without the pauses of the singer.

    Curves are worked out at the edges of steps of some 0.6 ms, finer than all that they tell, and
    are straight lines in between.

    Attributes
    ----------
    sung : ActiveBlocks
        In blocks of `_STEPS` steps.
    sample_rate : int
    """

    sung: ActiveBlocks
    sample_rate: int

    @classmethod
    def of(cls, performance: Performance, samples: int, sample_rate: int) -> _Clock:
        """Find out when something is sung."""
        hop = _STEPS * round(_HOP_S * sample_rate / _STEPS)
        blocks = -(-samples // hop)
        loud = np.asarray(performance.amplitudes.any(axis=1))
        places = np.clip(performance.times_s * (sample_rate / hop), 0, blocks).astype(np.int64)
        begins, ends = (places[each][loud[:-1] | loud[1:]] for each in _NEIGHBOURS)
        changes = np.zeros(blocks + 2, np.int64)
        np.add.at(changes, begins, 1)
        np.add.at(changes, ends + 1, -1)
        sounding = np.cumsum(changes)[:blocks] > 0
        sung = ActiveBlocks.around(sounding, hop, before=1, after=_TAIL_HOPS + 1)
        return cls(sung, sample_rate)

    @property
    def step(self) -> int:
        """Samples of a step."""
        return self.sung.hop // _STEPS

    def edges_s(self) -> Curve:
        """Return the times of the edges ``[blocks, _STEPS + 1]``."""
        steps = np.arange(_STEPS + 1) / _STEPS
        edges = self.sung.blocks[:, None] + steps
        return np.asarray(edges * (self.sung.hop / self.sample_rate))


def _lines(edges: Curve, samples: int) -> Samples:
    """Return straight lines from edge to edge: ``[..., steps, samples]``."""
    ramp = np.arange(samples, dtype=np.float32) / np.float32(samples)
    lines = np.diff(edges).astype(np.float32)[..., None] * ramp
    lines += edges[..., :-1, None].astype(np.float32)
    return lines.reshape(-1, samples)


def _amplitudes(performance: Performance, clock: _Clock) -> tuple[Samples, Samples, Samples]:
    """Return voicing, aspiration and mouth noise ``[steps, samples]``."""
    mouth = np.sqrt(np.square(performance.amplitudes[:, 2:]).sum(axis=1))
    edges_s = clock.edges_s()
    voicing, breath, noise = (
        _lines(np.interp(edges_s, performance.times_s, level, left=0, right=0), clock.step)
        for level in (performance.amplitudes[:, 0], performance.amplitudes[:, 1], mouth)
    )
    return voicing, breath, noise


def _frequency(performance: Performance) -> Curve:
    hertz = 440 * np.exp2((performance.pitch - 69) / 12)
    return np.asarray(np.clip(hertz, _LOWEST_HZ, _HIGHEST_HZ))


def _steps_hz(performance: Performance, clock: _Clock) -> Curve:
    """Return the pitch of each step ``[steps]``."""
    hertz = _frequency(performance)
    edges_s = clock.edges_s()
    middles_s = (edges_s[:, :-1] + edges_s[:, 1:]).reshape(-1) / 2
    return np.asarray(np.interp(middles_s, np.arange(len(hertz)) * CONTROL_S, hertz))


def _phase(
    performance: Performance, singer: Singer, clock: _Clock, rng: np.random.Generator
) -> Curve:
    """Return the number of cycles since the beginning at the edges of all steps."""
    rises = _steps_hz(performance, clock) * (clock.step / clock.sample_rate)
    phase = np.append(0, np.cumsum(rises))
    cycles = np.arange(int(phase[-1]) + 2)
    jitter = singer.jitter * rng.standard_normal(len(cycles))
    return np.asarray(np.maximum(phase + np.interp(phase, cycles, jitter), 0))


def _cycles(phase: Curve, samples: int) -> tuple[npt.NDArray[np.intp], Samples]:
    """Return which cycle each sample is in, and where in it, 0 to 1: ``[steps, samples]``."""
    begin = np.floor(phase[:-1])
    # Counted from a step's own first cycle, float32 is precise enough.
    edges = np.stack([phase[:-1] - begin, phase[1:] - begin], axis=1)
    within = _lines(edges, samples)
    whole = np.floor(within)
    within -= whole
    cycle = whole.astype(np.intp)
    cycle += begin.astype(np.intp)[:, None]
    return cycle, within


def _unevenness(singer: Singer, cycle: npt.NDArray[np.intp], rng: np.random.Generator) -> Samples:
    """Return the factor by which cycles differ in loudness."""
    count = int(cycle.max(initial=0)) + 2
    factor = 1 + singer.shimmer * rng.standard_normal(count, np.float32)
    knots = np.arange(0, count + _ROUGH_CYCLES, _ROUGH_CYCLES)
    slow = np.interp(np.arange(0, count, 2), knots, rng.random(len(knots)))
    factor[::2] -= singer.roughness * slow
    return np.take(factor, cycle)


def _pulses(performance: Performance, singer: Singer, within: Samples, clock: _Clock) -> Samples:
    """Read the glottal pulse, each pitch from a table whose harmonics end where they must."""
    tables = _pulse_tables(round(singer.open_quotient, 2), clock.sample_rate)
    octaves = np.log2(_steps_hz(performance, clock) / _LOWEST_HZ)
    band = np.minimum((octaves * _BANDS_PER_OCTAVE).astype(np.intp), len(tables) - 1)
    position = within * np.float32(_PULSE_SAMPLES)
    index = np.minimum(position.astype(np.intp), _PULSE_SAMPLES - 1)
    position -= index
    index += band[:, None] * (_PULSE_SAMPLES + 1)
    flat = tables.reshape(-1)
    left = np.take(flat, index)
    index += 1
    slope = np.take(flat, index)
    slope -= left
    slope *= position
    left += slope
    return left


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
    performance: Performance, singer: Singer, voiced: Samples, noise: Samples, clock: _Clock
) -> Samples:
    """Filter short frames, each by the vocal tract of its time, and overlap them."""
    hop, blocks = clock.sung.hop, clock.sung.blocks
    if not len(blocks):
        return voiced
    size = (2 + _TAIL_HOPS) * hop
    frames = len(blocks) + 1
    window = np.hanning(2 * hop + 1)[:-1].astype(np.float32)
    padded = np.zeros((2, (frames + 1) * hop), np.float32)
    padded[:, hop:-hop] = voiced, noise
    pieces = sliding_window_view(padded, 2 * hop, axis=1)[:, ::hop]  # [2, frames, 2 hop]
    centres_s = np.append(blocks, blocks[-1] + 1) * (hop / clock.sample_rate)
    tract = _Tract(performance, singer, centres_s, size, clock.sample_rate)
    out = np.zeros((frames + 1 + _TAIL_HOPS, hop), np.float32)
    for begin in range(0, frames, _CHUNK_FRAMES):
        chosen = slice(begin, min(begin + _CHUNK_FRAMES, frames))
        spectra = fft.rfft(pieces[:, chosen] * window, size, axis=-1)
        made = fft.irfft(tract.filter(spectra[0], spectra[1], chosen), size, axis=-1)
        for offset in range(2 + _TAIL_HOPS):
            out[chosen.start + offset : chosen.stop + offset] += made[
                :, offset * hop : (offset + 1) * hop
            ]
    return out.reshape(-1)[hop : hop + len(voiced)]


class _Tract:
    """The vocal tract of a singer, as it moves."""

    def __init__(
        self,
        performance: Performance,
        singer: Singer,
        times_s: Curve,
        size: int,
        sample_rate: int,
    ) -> None:
        shape_times = performance.shape_times_s
        self._hertz = np.fft.rfftfreq(size, 1 / sample_rate).astype(np.float32)
        self._fixed = _higher_formants(self._hertz, float(np.mean(singer.tract)))
        self._fixed *= _presence(self._hertz, singer.presence_db)
        self._breath_spectrum = _breath_spectrum(self._hertz)
        self._noises = _mouth_noises(self._hertz, float(np.mean(singer.tract)))
        effort = np.interp(times_s, shape_times, performance.effort)
        bends = singer.brightness_hz * np.exp(2.2 * (effort - 0.65))
        self._bends = bends.astype(np.float32)  # [frames]
        self._breath, self._mouth = _noise_shares(performance, times_s)
        self._formants = _formants(performance, singer, times_s)
        self._nasality, self._zero_hz = (
            np.interp(times_s, shape_times, column) for column in performance.nasality.T
        )

    def filter(self, voiced: Bins, noise: Bins, frames: slice) -> Bins:
        """Filter spectra ``[frames, bins]``."""
        mouth = self._mouth[frames]
        bend = np.ones(voiced.shape, np.complex64)
        bend.imag = self._hertz / self._bends[frames, None]
        source = noise * (self._breath[frames, None] * self._breath_spectrum)
        source *= bend
        source += voiced
        source *= self._fixed
        for centre, width in self._formants:
            bend *= _resonance(self._hertz, centre[frames], width[frames])
        source /= bend
        self._through_nose(source, frames)
        mouthy = np.flatnonzero(mouth.any(axis=1))
        source[mouthy] += noise[mouthy] * (mouth[mouthy] @ self._noises)
        return source

    def _through_nose(self, source: Bins, frames: slice) -> None:
        """Give spectra, in place, the dip of a nose that is open."""
        nasality, zero_hz = self._nasality[frames], self._zero_hz[frames]
        nasal = np.flatnonzero(nasality > 0.01)
        if not len(nasal):
            return
        dip = _resonance(self._hertz, zero_hz[nasal], np.full(len(nasal), 150.0))
        dip /= _resonance(self._hertz, 1.1 * zero_hz[nasal], np.full(len(nasal), 600.0))
        share = nasality[nasal, None].astype(np.float32)
        source[nasal] *= 1 - share + share * dip


def _noise_shares(performance: Performance, times_s: Curve) -> tuple[Samples, Samples]:
    """Return what part of the noise is made at the vocal folds, and where in the mouth.

    Noise comes with its loudness; bursts are shorter than a frame, so all of it is looked at.
    """
    around = times_s[:, None] + np.linspace(-0.9, 0.9, 10) * _HOP_S
    levels = np.stack(
        [
            np.interp(around, performance.times_s, level, left=0, right=0).mean(axis=1)
            for level in performance.amplitudes[:, 1:].T
        ],
        axis=1,
    )
    total = np.sqrt(np.square(levels).sum(axis=1, keepdims=True))
    shares = (levels / np.maximum(total, 1e-9)).astype(np.float32)
    return shares[:, 0], shares[:, 1:]


def _formants(
    performance: Performance, singer: Singer, times_s: Curve
) -> list[tuple[Curve, Curve]]:
    """Return centre and width in hertz of each formant ``[frames]``."""
    pitch_at = np.arange(len(performance.pitch)) * CONTROL_S
    pitch_hz = np.interp(times_s, pitch_at, _frequency(performance))
    formants = []
    for index, column in enumerate(performance.formants.T):
        centre = np.interp(times_s, performance.shape_times_s, column) * singer.tract[index]
        if index == 0:  # who sings high opens the mouth until F1 is above the pitch
            centre = np.maximum(centre, 1.02 * pitch_hz)
        if index >= 2:
            gathered = _RING_HZ[index - 2] * singer.tract[index] ** 0.5
            centre += singer.ring * (gathered - centre)
        formants.append((centre, _BANDWIDTHS_HZ[index] * (1 + 0.25 * centre / 2500)))
    return formants


def _resonance(hertz: Samples, centre_hz: Curve, width_hz: Curve) -> Bins:
    """Return the denominator of resonances ``[frames, bins]``; 1 at 0 Hz."""
    made = np.empty((len(centre_hz), len(hertz)), np.complex64)
    np.multiply(np.square(hertz), (-1 / centre_hz**2).astype(np.float32)[:, None], out=made.real)
    made.real += 1
    np.multiply(hertz, (width_hz / centre_hz**2).astype(np.float32)[:, None], out=made.imag)
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
