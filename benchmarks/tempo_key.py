"""How right tempo, beats and key are, on songs that are made for it.

    python benchmarks/tempo_key.py [--songs 64] [--seconds 60] [FOLDER ...]

partita-synthesis composes songs in all its styles, whose tempo, beats and key are known; their
true stems go to `TempoKeyMeter`. Counted are tempos within 4 %, those within 4 % of twice, half, a
third, … of the true one, keys, and keys and tempos that are said to be sure. Beats count as found
within 70 ms (F-measure, as in MIREX; of songs whose tempo is right), and their lateness and its
standard deviation within a song are given in ms, medians over the songs. Of folders of stems, what
is estimated is printed.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from partita.mixing.song import StemBlocks, find_song
from partita.mixing.tempo_key import KEYS, TEMPO_FACTORS, TempoKey
from partita.mixing.tempo_key_meter import TempoKeyMeter
from partita_synthesis.keys import NOTE_NAMES
from partita_synthesis.score import Score
from partita_synthesis.settings import SynthesisSettings
from partita_synthesis.song import Studio

STEMS = ("vocals", "drums", "bass", "other")
RATE = 44_100
TEMPO_TOLERANCE, BEAT_TOLERANCE_S = 0.04, 0.07


class Scores:
    """A writer of scores that keeps the last one."""

    def __init__(self, writer: Any) -> None:
        self.writer, self.last = writer, None

    def write(self, *arguments: Any) -> Score | None:
        """Write one."""
        self.last = self.writer.write(*arguments)
        return self.last


def is_near(tempo_bpm: float, wanted_bpm: float) -> bool:
    return abs(tempo_bpm / wanted_bpm - 1) < TEMPO_TOLERANCE


def pitch_class(key: str) -> tuple[int, str]:
    mode = key.split()[1]
    return [each for each in KEYS if each.endswith(mode)].index(key), mode


def beats_found(found: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """F-measure, lateness and its deviation in ms."""
    distances = found[:, None] - true[None]
    hits = np.abs(distances) < BEAT_TOLERANCE_S
    if not hits.any():
        return 0.0, np.nan, np.nan
    precision, recall = hits.any(axis=1).mean(), hits.any(axis=0).mean()
    late_ms = 1e3 * distances[hits]
    return 2 * precision * recall / (precision + recall), np.median(late_ms), late_ms.std()


def measure(found: TempoKey | None, score: Score) -> dict[str, float]:
    if found is None or found.tempo_bpm is None:
        return {"tempo": 0.0, "multiple": 0.0, "key": 0.0}
    tempo = is_near(found.tempo_bpm, score.tempo_bpm)
    multiples = [score.tempo_bpm * factor for factor in TEMPO_FACTORS]
    key = found.key is not None and pitch_class(found.key) == (score.key, score.mode)
    row = {"tempo": tempo, "multiple": any(is_near(found.tempo_bpm, each) for each in multiples)}
    row |= {"key": key, "sure keys": found.is_key_sure}
    row |= {"right of the sure": key} if found.is_key_sure else {"right of the others": key}
    if tempo:
        names = ("beats", "late_ms", "spread_ms")
        row |= dict(zip(names, beats_found(np.array(found.beats_s), np.array(score.beats_s)),
                        strict=True))  # fmt: skip
    return row


def on_folder(path: str) -> None:
    song = find_song(path)
    started = time.perf_counter()
    with StemBlocks(song) as reader:
        meter = TempoKeyMeter([*song.stems], reader.sample_rate)
        for block in reader.blocks():
            meter.add(block)
    found = meter.finish()
    text = "nothing" if found is None else f"{found.tempo_bpm} BPM, {found.key}"
    if found is not None:
        text += "" if found.is_tempo_sure else ", tempo unsure"
        text += "" if found.is_key_sure else f", or {', '.join(found.other_keys)}"
    print(f"{song.name}: {text}  ({time.perf_counter() - started:.1f} s)")


def on_songs(count: int, seconds: float, seed: int) -> None:
    studio = Studio(SynthesisSettings(stems=STEMS, duration_s=seconds, sample_rate=RATE, seed=seed))
    studio._writer = scores = Scores(studio._writer)
    rows = []
    for number in range(count):
        song, score = studio.song(number), scores.last
        assert score is not None
        meter = TempoKeyMeter(STEMS, RATE)
        meter.add(np.stack([song.stems[stem] for stem in STEMS]))
        found = meter.finish()
        rows.append(measure(found, score))
        said = "nothing" if found is None else f"{found.tempo_bpm} BPM, {found.key}"
        true = f"{score.tempo_bpm:.1f} BPM, {NOTE_NAMES[score.key]} {score.mode}"
        print(f"{score.style}: {true}: {said}", flush=True)
    print(f"{count} songs")
    for name in dict.fromkeys(each for row in rows for each in row):
        values = np.array([row[name] for row in rows if name in row], float)
        shown = f"{np.nanmedian(values):.1f}" if name.endswith("ms") else f"{values.mean():.2f}"
        print(f"{name:20} {shown}  of {len(values)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", metavar="FOLDER")
    parser.add_argument("--songs", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        on_folder(folder)
    if not arguments.folders:
        on_songs(arguments.songs, arguments.seconds, arguments.seed)


if __name__ == "__main__":
    main()
