"""A short synthetic song with known stems: a voice sings vowels over drums, bass and chords.

Tests and the demo use it as a song whose stems are known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

TEMPO_BPM = 112
#: Formant frequencies in hertz and levels of the sung vowels a, e, i, o, u.
VOWELS = {
    "a": [(800, 1.0), (1150, 0.5), (2900, 0.25), (3900, 0.1)],
    "e": [(400, 1.0), (1600, 0.4), (2700, 0.3), (3300, 0.15)],
    "i": [(350, 1.0), (1700, 0.35), (2700, 0.3), (3700, 0.15)],
    "o": [(450, 1.0), (800, 0.55), (2830, 0.2), (3500, 0.1)],
    "u": [(325, 1.0), (700, 0.4), (2530, 0.1), (3500, 0.05)],
}
CHORDS = [(57, 60, 64), (53, 57, 60), (60, 64, 67), (55, 59, 62)]  # Am F C G
MELODY = [(69, "a"), (72, "e"), (71, "i"), (69, "o"), (64, "a"), (67, "u"), (69, "a"), (71, "o")]


def render(duration_s: float = 8.0, sample_rate: int = 44100, seed: int = 0) -> dict[str, Samples]:
    """Return ``vocals``, ``drums``, ``bass`` and ``other``, each ``[2, samples]``.

    Their sum peaks at about 0.8. The same seed gives the same samples.
    """
    rng = np.random.default_rng(seed)
    count = round(duration_s * sample_rate)
    beat_s = 60 / TEMPO_BPM
    stems = {name: np.zeros((2, count)) for name in ("vocals", "drums", "bass", "other")}
    for beat in range(int(duration_s / beat_s) + 1):
        at = round(beat * beat_s * sample_rate)
        chord = CHORDS[beat // 4 % len(CHORDS)]
        note, vowel = MELODY[beat % len(MELODY)]
        sung_s = beat_s * 0.92
        voice = _voice(note, vowel, sung_s, sample_rate, rng)
        _add(stems["vocals"], at, np.stack([voice, voice]))
        if beat % 4 == 0:
            pad = _pad(chord, 4 * beat_s, sample_rate)
            _add(stems["other"], at, pad)
        for half in range(2):
            start = at + round(half * beat_s / 2 * sample_rate)
            bass = _bass(chord[0] - 24, beat_s / 2, sample_rate)
            _add(stems["bass"], start, np.stack([bass, bass]))
            _add(stems["drums"], start, _noise(0.04, 9000, sample_rate, rng) * 0.12)
        drum = _kick(sample_rate) if beat % 2 == 0 else None
        hit = np.stack([drum, drum]) if drum is not None else _noise(0.15, 2500, sample_rate, rng) * 0.4  # fmt: skip  # noqa: E501
        _add(stems["drums"], at, hit)
    gains = {"vocals": 0.9, "drums": 0.9, "bass": 0.6, "other": 0.5}
    peak = np.abs(sum(stems[name] * gain for name, gain in gains.items())).max()
    return {
        name: (stems[name] * (gain * 0.8 / peak)).astype(np.float32) for name, gain in gains.items()
    }


def mixture(stems: dict[str, Samples]) -> Samples:
    """Return the sum of all stems."""
    return np.sum(list(stems.values()), axis=0, dtype=np.float32)


def _hertz(note: float) -> float:
    return float(440.0 * 2 ** ((note - 69) / 12))


def _add(stem: npt.NDArray[np.float64], at: int, sound: npt.NDArray[np.float64]) -> None:
    end = min(stem.shape[1], at + sound.shape[1])
    if at < end:
        stem[:, at:end] += sound[:, : end - at]


def _fade(count: int, rate: int, attack_s: float, release_s: float) -> npt.NDArray[np.float64]:
    time_s = np.arange(count) / rate
    left_s = time_s[::-1]
    return np.minimum(1, time_s / attack_s) * np.minimum(1, left_s / release_s)


def _voice(
    note: int, vowel: str, duration_s: float, rate: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    count = round(duration_s * rate)
    time_s = np.arange(count) / rate
    vibrato = 0.25 * np.minimum(1, time_s / 0.25) * np.sin(2 * np.pi * 5.5 * time_s)  # semitones
    scoop = -1.5 * np.exp(-time_s / 0.04)
    pitch = 440.0 * 2 ** ((note - 69 + vibrato + scoop) / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = np.zeros(count)
    for harmonic in range(1, int(8000 / _hertz(note))):
        frequency = harmonic * _hertz(note)
        shape = sum(level / (1 + ((frequency - f) / 110) ** 2) for f, level in VOWELS[vowel])
        voice += (shape + 0.02) / harmonic**0.3 * np.sin(harmonic * phase)
    breath = np.diff(rng.standard_normal(count + 1)) * 0.01
    return (voice * 0.5 + breath) * _fade(count, rate, 0.03, 0.08)


def _bass(note: int, duration_s: float, rate: int) -> npt.NDArray[np.float64]:
    time_s = np.arange(round(duration_s * rate)) / rate
    phase = 2 * np.pi * _hertz(note) * time_s
    tone = sum(np.sin(k * phase) * np.exp(-k * time_s * 3) / k for k in range(1, 9))
    return tone * _fade(len(time_s), rate, 0.005, 0.03)


def _pad(chord: tuple[int, ...], duration_s: float, rate: int) -> npt.NDArray[np.float64]:
    time_s = np.arange(round(duration_s * rate)) / rate
    sides = []
    for detune in (-0.04, 0.04):
        tone = np.zeros(len(time_s))
        for note in chord:
            phase = 2 * np.pi * _hertz(note + detune) * time_s
            tone += sum(np.sin(k * phase) / k**1.5 for k in range(1, 12))
        sides.append(tone * _fade(len(time_s), rate, 0.05, 0.1) / len(chord))
    return np.stack(sides)


def _kick(rate: int) -> npt.NDArray[np.float64]:
    time_s = np.arange(round(0.25 * rate)) / rate
    pitch = 50 + 120 * np.exp(-time_s / 0.025)
    return np.sin(2 * np.pi * np.cumsum(pitch) / rate) * np.exp(-time_s / 0.08)


def _noise(
    decay_s: float, lowest_hz: float, rate: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    count = round(6 * decay_s * rate)
    spectrum = np.fft.rfft(rng.standard_normal((2, count)))
    spectrum *= 1 / (1 + (lowest_hz / (np.fft.rfftfreq(count, 1 / rate) + 1)) ** 4)
    noise = np.fft.irfft(spectrum, count)
    return noise * np.exp(-np.arange(count) / rate / decay_s)
