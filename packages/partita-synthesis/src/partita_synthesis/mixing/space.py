"""Send effects that all players share: a reverb and a delay. Both are linear."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from partita_synthesis.mixing.equaliser import Band, convolve, equalise, sections

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Space:
    probability: float
    decay_s: tuple[float, float]  # to -60 dB
    predelay_s: tuple[float, float]
    reflections: int
    early_share: float  # of the energy


_SPACES = {
    "room": _Space(0.35, (0.25, 0.8), (0.0, 0.012), 14, 0.5),
    "plate": _Space(0.4, (0.7, 2.0), (0.0, 0.03), 0, 0.0),
    "hall": _Space(0.25, (1.4, 3.0), (0.015, 0.05), 10, 0.15),
}
_SPLITS_HZ = (400.0, 3500.0)
_DELAY_PROBABILITY = 0.6
_BEATS = {1.0: 0.3, 0.75: 0.35, 0.5: 0.35}
_LONGEST_DELAY_S = 1.2


@dataclass(frozen=True, eq=False)
class Reverb:
    """A space.

    Attributes
    ----------
    kind : str
        ``room``, ``plate`` or ``hall``.
    decay_s : float
        Until 60 dB are gone, in the middle of the spectrum.
    response : ndarray ``[2, taps]``
        Energy 1, both channels together.
    """

    kind: str
    decay_s: float
    response: Samples

    def __call__(self, send: Samples) -> Samples:
        """Return what comes back ``[2, samples]`` for what was sent ``[samples]``."""
        return convolve(send, self.response)


@dataclass(frozen=True)
class Delay:
    """Echoes in time with the song.

    Attributes
    ----------
    time_s : float
    feedback : float
    ping_pong : bool
        Echoes come from the left and the right in turn, else from the middle.
    bands : tuple of Band
        What the echoes lose.
    """

    time_s: float
    feedback: float
    ping_pong: bool
    bands: tuple[Band, ...]

    def __call__(self, send: Samples, sample_rate: int) -> Samples:
        """Return what comes back ``[2, samples]`` for what was sent ``[samples]``."""
        lag = max(1, round(self.time_s * sample_rate))
        out = np.zeros((2, len(send)), np.float32)
        if lag >= len(send):
            return out
        out[0, lag:] = equalise(send[None, :-lag], self.bands, sample_rate)[0]
        if self.ping_pong:
            _feed_back(out[0], 2 * lag, self.feedback**2)
            out[1, lag:] = np.float32(self.feedback) * out[0, :-lag]
        else:
            _feed_back(out[0], lag, self.feedback)
            out[0] *= np.float32(math.sqrt(0.5))
            out[1] = out[0]
        return out


def _feed_back(samples: Samples, lag: int, factor: float) -> None:
    """Add to every piece of the length of the lag, in place, the one before it."""
    for start in range(lag, len(samples), lag):
        piece = samples[start : start + lag]
        piece += np.float32(factor) * samples[start - lag : start - lag + len(piece)]


def draw_reverb(sample_rate: int, chance: np.random.Generator) -> Reverb:
    """Draw a space: early reflections, and noise that dies away faster the higher it is."""
    kinds = list(_SPACES)
    kind = kinds[chance.choice(len(kinds), p=[_SPACES[name].probability for name in kinds])]
    space = _SPACES[kind]
    decay_s = float(chance.uniform(*space.decay_s))
    predelay = round(chance.uniform(*space.predelay_s) * sample_rate)
    taps = round(decay_s * sample_rate)
    tail = _tail(taps, decay_s, sample_rate, chance)
    early = _reflections(taps, space.reflections, sample_rate, chance)
    response = math.sqrt(1 - space.early_share) * tail + math.sqrt(space.early_share) * early
    padded = np.pad(_shaped(response, sample_rate, chance), ((0, 0), (predelay, 0)))
    return Reverb(kind, decay_s, _unit_energy(padded).astype(np.float32))


def _tail(
    taps: int, decay_s: float, sample_rate: int, chance: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return dense noise ``[2, taps]`` whose lows last longer and whose highs are shorter."""
    from scipy.signal import sosfilt

    noise = chance.standard_normal((2, taps), dtype=np.float32)
    time_s = np.arange(taps) / sample_rate
    low = sosfilt(sections([Band("lowpass", _SPLITS_HZ[0], q=0.5)], sample_rate), noise)
    upper = noise - low
    middle = sosfilt(sections([Band("lowpass", _SPLITS_HZ[1], q=0.5)], sample_rate), upper)
    high = upper - middle
    fall = -math.log(1000) / decay_s
    lasting = chance.uniform(1.0, 1.4), 1.0, chance.uniform(0.3, 0.7)
    bands = zip((low, middle, high), lasting, strict=True)
    return _unit_energy(sum(band * np.exp(fall / factor * time_s) for band, factor in bands))


def _reflections(
    taps: int, count: int, sample_rate: int, chance: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return a few echoes ``[2, taps]`` within the first 60 ms, the later the weaker."""
    early = np.zeros((2, taps))
    if not count:
        return early
    times_s = np.sort(chance.uniform(0.003, 0.06, (2, count)), axis=1)
    gains = 0.003 / (0.003 + times_s) * chance.choice([-1, 1], (2, count))
    places = np.minimum((times_s * sample_rate).astype(int), taps - 1)
    for row, place, gain in zip(early, places, gains, strict=True):
        np.add.at(row, place, gain)
    return _unit_energy(early)


def _shaped(
    response: npt.NDArray[np.float64], sample_rate: int, chance: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Keep the lows and, darker or brighter, the highs out of the reverb, as engineers do."""
    from scipy.signal import sosfilt

    bands = [
        Band("highpass", float(chance.uniform(120, 350))),
        Band("lowpass", float(chance.uniform(4000, 12000))),
    ]
    return np.asarray(sosfilt(sections(bands, sample_rate), response))


def _unit_energy(response: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return response / math.sqrt(max(float(np.square(response).sum()), 1e-20))


def draw_delay(tempo_bpm: float, chance: np.random.Generator) -> Delay | None:
    """Draw echoes in time with the song, or none."""
    wanted, beats = chance.random(), chance.choice(list(_BEATS), p=list(_BEATS.values()))
    feedback, low, high = chance.uniform((0.15, 150, 2000), (0.5, 400, 7000))
    ping_pong = bool(chance.random() < 0.5)
    if wanted >= _DELAY_PROBABILITY:
        return None
    time_s = float(beats) * 60 / tempo_bpm
    while time_s > _LONGEST_DELAY_S:
        time_s /= 2
    bands = Band("highpass", float(low)), Band("lowpass", float(high))
    return Delay(time_s, float(feedback), ping_pong, bands)
