"""Accompaniments by MMA, the Musical MIDI Accompaniment, where it is installed.

It has more than a thousand grooves. It is a program of its own (GPL-2+), run as one.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from partita.errors import UnknownNameError, UsageError, one_line
from partita_synthesis.keys import NOTE_NAMES
from partita_synthesis.midi import MidiSong, read_midi
from partita_synthesis.score import Chord, Score

_PROGRAM = "mma"
_TIMEOUT_S = 120.0
_BARS_MAX = 2000
_CHORD = re.compile(r"[A-G][#b]?(m|7|m7|M7|m7b5|sus4|dim|6|m6)?")
_QUALITIES = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "M7": (0, 4, 7, 11),
    "m7b5": (0, 3, 6, 10),
    "sus4": (0, 5, 7),
}
# Semitones above the tonic and quality, a bar each.
_PROGRESSIONS = {
    "major": (
        ((0, ""), (7, ""), (9, "m"), (5, "")),
        ((0, ""), (9, "m"), (5, ""), (7, "")),
        ((0, ""), (5, ""), (0, ""), (7, "7")),
        ((2, "m7"), (7, "7"), (0, "M7"), (0, "M7")),
        ((0, "M7"), (9, "m7"), (2, "m7"), (7, "7")),
        ((0, ""), (4, "m"), (5, ""), (7, "sus4")),
        (
            *((0, "7"), (5, "7"), (0, "7"), (0, "7"), (5, "7"), (5, "7")),
            *((0, "7"), (9, "7"), (2, "m7"), (7, "7"), (0, "7"), (7, "7")),
        ),
    ),
    "minor": (
        ((0, "m"), (8, ""), (3, ""), (10, "")),
        ((0, "m"), (5, "m"), (7, "7"), (0, "m")),
        ((0, "m"), (10, ""), (8, ""), (7, "7")),
        ((0, "m7"), (5, "m7"), (2, "m7b5"), (7, "7")),
    ),
}
# Introductions, endings and fills do not last.
_NO_SONG = re.compile(r"(intro|end|fill)\w*$", re.IGNORECASE)


def mma_is_installed() -> bool:
    """Whether the program and its library are there."""
    return shutil.which(_PROGRAM) is not None and bool(_grooves())


def groove_names() -> tuple[str, ...]:
    """Return the names of all grooves, sorted.

    Raises
    ------
    UsageError
        MMA is not installed.
    """
    require_mma()
    return tuple(sorted(_grooves()))


def accompany(chords: Sequence[str], groove: str, tempo_bpm: float, *, seed: int) -> MidiSong:
    """Let MMA accompany chords.

    Parameters
    ----------
    chords : sequence of str
        A bar each, such as ``"Cm7"``.
    groove : str
        One of `groove_names`.
    tempo_bpm : float
        Quarter notes in a minute.
    seed : int
        Of MMA's random numbers.

    Raises
    ------
    UsageError
        MMA is not installed or fails; a chord is unknown; there are none, or far too many.
    UnknownNameError
        There is no such groove.
    """
    require_mma()
    if groove not in _grooves():
        raise UnknownNameError("groove", groove, _grooves())
    if not 1 <= len(chords) <= _BARS_MAX:
        raise UsageError(f"cannot accompany {len(chords)} bars: from 1 to {_BARS_MAX}")
    for chord in chords:  # anything else could be a command of MMA's language
        if not _CHORD.fullmatch(chord):
            raise UsageError(f"unknown chord {one_line(chord)!r}; known ones are like C, F#m7, Bb")
    lines = [f"RndSeed {seed}", f"Tempo {tempo_bpm:.3f}", f"Groove {groove}"]
    lines += [f"{bar} {chord}" for bar, chord in enumerate(chords, start=1)]
    with tempfile.TemporaryDirectory(prefix="partita-mma-") as folder:
        source, target = Path(folder, "song.mma"), Path(folder, "song.mid")
        source.write_text("\n".join(lines) + "\n", "utf-8")
        _run(source, target)
        return replace(read_midi(target), path=Path(f"{groove}.mid"))


def accompaniment(duration_s: float, rng: np.random.Generator, groove: str | None = None) -> Score:
    """Draw groove, key, chords and tempo of a song, and let MMA play it.

    Parameters
    ----------
    duration_s : float
    rng : numpy.random.Generator
    groove : str, optional
        Left out: any.

    Raises
    ------
    UsageError
        MMA is not installed or fails, or there is no such groove.
    """
    names = groove_names()
    drawn = names[rng.integers(len(names))]
    groove = groove or drawn
    if groove not in _grooves():
        raise UnknownNameError("groove", groove, names)
    key = int(rng.integers(12))
    mode = "major" if rng.random() < 0.6 else "minor"
    progression = _PROGRESSIONS[mode][rng.integers(len(_PROGRESSIONS[mode]))]
    tempo_bpm = round(float(rng.uniform(75, 150)), 3)
    bar_s = _grooves()[groove] * 60 / tempo_bpm
    bars = min(_BARS_MAX, math.ceil(duration_s / bar_s) + 1)
    played = [progression[bar % len(progression)] for bar in range(bars)]
    symbols = [NOTE_NAMES[(key + step) % 12] + quality for step, quality in played]
    song = accompany(symbols, groove, tempo_bpm, seed=int(rng.integers(1 << 31)))
    chords = []
    for bar, (step, quality) in enumerate(played):
        start_s, root = bar * bar_s, (key + step) % 12
        if start_s < duration_s:
            classes = tuple((root + interval) % 12 for interval in _QUALITIES[quality])
            chords.append(Chord(start_s, min(bar_s, duration_s - start_s), root, classes))
    score = replace(song, duration_s=max(song.duration_s, duration_s)).score(0.0, duration_s)
    return replace(score, style="mma", key=key, mode=mode, tempo_bpm=tempo_bpm, chords=chords)


def require_mma() -> None:
    """Raise UsageError where MMA is not installed."""
    if not mma_is_installed():
        raise UsageError("the program mma is not installed; Debian's package mma has it")


def _run(source: Path, target: Path) -> None:
    command = [_PROGRAM, "-m", str(_BARS_MAX + 1), "-f", str(target), str(source)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            cwd=source.parent,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"mma failed: {one_line(error)}") from None
    if done.returncode or not target.is_file():
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        said = [line for line in said if line and not line.startswith("Warning")]
        raise UsageError(f"mma failed: {one_line(' '.join(said)[:200]) or 'it does not say why'}")


@cache
def _grooves() -> Mapping[str, int]:
    """Return the quarter notes in a bar of every groove of the standard library."""
    grooves: dict[str, int] = {}
    for folder in _libraries():
        for path in sorted(folder.glob("*.mma")):
            beats = 4
            for line in path.read_text("utf-8", "replace").splitlines():
                words = line.split()
                if len(words) < 2:
                    continue
                command = words[0].lower()
                if command == "time" and words[1].isdigit():
                    beats = max(1, int(words[1]))
                elif command == "defgroove" and not _NO_SONG.search(words[1]):
                    grooves.setdefault(words[1], beats)
        if grooves:
            break
    return MappingProxyType(grooves)


def _libraries() -> list[Path]:
    program = shutil.which(_PROGRAM)
    beside = [Path(program).resolve().parent] if program else []
    shared = [Path("/usr/share/mma"), Path("/usr/local/share/mma")]
    return [base / "lib/stdlib" for base in (*shared, *beside)]
