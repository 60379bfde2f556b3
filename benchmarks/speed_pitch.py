"""What partita adds to Signalsmith Stretch: exact pitch, very slow tempos, seams of pieces.

    python benchmarks/speed_pitch.py [FILE ...]

Prints the error of sines that are transposed by the library itself and by `SpeedPitch`, the
residual of sines (what is not the sine, relative to it) at 0.35 of the tempo in one pass and in
two, and, for files of more than a minute, the level where pieces of a third of a minute meet at
0.8 of the tempo, relative to the pieces.
"""

from __future__ import annotations

import argparse

import numpy as np
from python_stretch.Signalsmith import Stretch

from partita import load_audio
from partita.mixing import speed_pitch
from partita.mixing.speed_pitch import SpeedPitch

RATE = 44100
HERTZ = (55.0, 110.0, 440.0, 1234.0)


def sine(hertz: float) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(10 * RATE) / RATE)).astype(np.float32)[None]


def changed(signal: np.ndarray, rate: int, speed: float, semitones: float = 0.0) -> np.ndarray:
    stream = SpeedPitch(rate, len(signal), speed=speed, semitones=semitones)
    return np.concatenate([stream.push(signal), stream.push(signal[:, :0], last=True)], axis=1)


def by_library(signal: np.ndarray, speed: float, semitones: float = 0.0) -> np.ndarray:
    stretch = Stretch(0)
    stretch.preset(len(signal), float(RATE))
    stretch.setTransposeSemitones(semitones)
    stretch.setTimeFactor(speed)
    return stretch.process(signal)


def frequency(signal: np.ndarray) -> float:
    middle = signal[0, signal.shape[1] // 4 : -signal.shape[1] // 4]
    size = 1 << 21
    levels = np.log(np.abs(np.fft.rfft(middle * np.hanning(len(middle)), size)) + 1e-20)
    k = int(levels.argmax())
    before, at, after = levels[k - 1 : k + 2]
    return float((k + (before - after) / 2 / (before - 2 * at + after)) * RATE / size)


def residual_db(signal: np.ndarray, hertz: float) -> float:
    middle = signal[0, signal.shape[1] // 4 : -signal.shape[1] // 4].astype(float)
    angles = 2 * np.pi * hertz * np.arange(len(middle)) / RATE
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    rest = middle - waves @ np.linalg.lstsq(waves, middle, rcond=None)[0]
    return float(10 * np.log10(np.square(rest).sum() / np.square(middle).sum()))


def seam_levels_db(path: str) -> list[float]:
    """Return the level of each crossfade, relative to the mean of what is crossfaded."""
    found = []
    choose = speed_pitch._most_alike

    def note(one: np.ndarray, other: np.ndarray, length: int) -> int:
        at = choose(one, other, length)
        old, new = one[:, at : at + length], other[:, at : at + length]
        rising = np.linspace(0, 1, length, dtype=np.float32)
        level = np.square(old).sum() + np.square(new).sum()
        mixed = np.square(old * (1 - rising) + new * rising).sum()
        if level > 1e-6:
            found.append(float(10 * np.log10(2 * mixed / level)))
        return at

    speed_pitch._most_alike = note
    speed_pitch._PIECE_CHANNEL_SECONDS = speed_pitch._SHORTEST_PIECE_S = 20.0
    audio = load_audio(path)
    changed(np.asarray(audio), audio.sample_rate, 0.8)
    speed_pitch._most_alike = choose
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*")
    print("Hz    6 semitones lower, cents off: library, partita   tempo 0.35, dB: one pass, two")
    for hertz in HERTZ:
        low = hertz * 2**-0.5
        cents = [
            1200 * np.log2(frequency(signal) / low)
            for signal in (by_library(sine(hertz), 1, -6), changed(sine(hertz), RATE, 1, -6))
        ]
        rests = [
            residual_db(signal, hertz)
            for signal in (by_library(sine(hertz), 0.35), changed(sine(hertz), RATE, 0.35))
        ]
        print(f"{hertz:5.0f} {cents[0]:8.2f} {cents[1]:8.2f} {rests[0]:8.0f} {rests[1]:8.0f}")
    levels = [level for path in parser.parse_args().files for level in seam_levels_db(path)]
    if levels:
        print(
            f"{len(levels)} seams: median {np.median(levels):.1f} dB, lowest {min(levels):.1f} dB"
        )


if __name__ == "__main__":
    main()
