"""Stems without a record: whether they are complete, and as long as their song."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from partita.audio.reader import AudioReader, open_audio
from partita.errors import AudioReadError, one_line

#: Codecs may add or remove as much at either end, in seconds.
_TOLERANCE_S = 0.1


def fault_of_stems(song: AudioReader, paths: Mapping[str, Path], *, in_one: bool) -> str:
    """Return why files cannot be the stems of a song; empty: they can.

    Parameters
    ----------
    song : AudioReader
        The song, or an excerpt of it. Its samples are read only if its stated length differs from
        that of the stems.
    paths : mapping of str to Path
        Stem name → file.
    in_one : bool
        All stems are in one file, after the mixture.

    Returns
    -------
    str
        A few words.

    Raises
    ------
    AudioReadError
        The song cannot be read.
    """
    expected_s = song.duration_s
    counted = False
    for number, path in enumerate(paths.values(), start=1):
        try:
            with open_audio(path, stream=number if in_one else 0) as stem:
                length_s = _counted_s(stem)
                if stem.warnings:
                    return f"{one_line(path.name)} is damaged"
        except AudioReadError:
            return f"{one_line(path.name)} cannot be read"
        if not counted and (expected_s is None or abs(length_s - expected_s) > _TOLERANCE_S):
            expected_s, counted = _counted_s(song), True  # the stated length is often an estimate
        if expected_s is None or abs(length_s - expected_s) > _TOLERANCE_S:
            return (
                f"{one_line(path.name)} is {length_s:.1f} s long, the song {expected_s or 0:.1f} s"
            )
    return ""


def _counted_s(reader: AudioReader) -> float:
    samples: int = sum(block.shape[1] for block in reader.blocks())
    return samples / reader.sample_rate
