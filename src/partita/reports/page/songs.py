"""Songs as the page's player takes them: audio beside the page, the rest as JSON."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partita.audio.reader import open_audio
from partita.errors import AudioReadError
from partita.progress import Progress
from partita.reports.content import Song
from partita.reports.page.audio import (
    PageSignal,
    Source,
    encode_signal,
    file_source,
    remove_unused,
    residual_source,
)
from partita.reports.page.coding import OPUS_RATE, Coding, page_coding
from partita.threads import map_awake

_MOST_THREADS = 8
_SUMS = ("accompaniment", "instrumental")  # besides those that say so: drums+bass, no_vocals


@dataclass(frozen=True)
class _Job:
    """A signal that is to be encoded: its place in the page's values, and what it is."""

    place: tuple[int, str, str, str]  # song, kind, system, stem
    label: str
    source: Callable[[], Source]


def encode_songs(
    songs: Sequence[Song], folder: Path, audio: str, progress: Progress | None = None
) -> dict[str, Any]:
    """Write the audio of all songs and return what the player needs, ready for JSON.

    Parameters
    ----------
    songs : sequence of Song
        One or more.
    folder : Path
        Of the audio; made if missing. What an earlier page had there and this one has not is
        removed.
    audio : {"opus", "flac"}
    progress : callable, optional
        Counts signals.

    Returns
    -------
    dict
        ``coding``, ``songs``, and under ``problems`` a line for each file that cannot be read: it
        is not played, and neither is a song whose mixture it is.

    Raises
    ------
    AudioWriteError
    UsageError
        `audio` is unknown.
    """
    folder.mkdir(parents=True, exist_ok=True)
    coding = page_coding(audio, _sample_rate(songs))
    jobs = [job for number, song in enumerate(songs) for job in _jobs(number, song)]
    signals: dict[tuple[int, str, str, str], PageSignal] = {}
    problems: list[str] = []

    def encode(job: _Job) -> PageSignal | AudioReadError:
        try:
            return encode_signal(job.source(), folder, coding, label=job.label)
        except AudioReadError as error:
            return error

    pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))
    try:
        for number, (job, made) in enumerate(zip(jobs, map_awake(pool, encode, jobs), strict=True)):
            if isinstance(made, PageSignal):
                signals[job.place] = made
            elif str(made) not in problems:
                problems.append(str(made))
            if progress is not None:
                progress(number + 1, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
    remove_unused(folder, {signal.folder for signal in signals.values()})
    described = [
        _described(number, song, signals, coding)
        for number, song in enumerate(songs)
        if (number, "mixture", "", "mixture") in signals
    ]
    return {"coding": coding.for_engine(), "songs": described, "problems": problems}


def adding_up(stems: Sequence[str]) -> list[str]:
    """Return the stems whose sum should be the mixture: without sums of others among them.

    Parameters
    ----------
    stems : sequence of str
        Names; ``drums+bass``, ``no_vocals`` and ``accompaniment`` are sums where two others are
        left.
    """
    single = [
        stem
        for stem in stems
        if "+" not in stem and not stem.startswith("no_") and stem not in _SUMS
    ]
    return single if len(single) > 1 else list(stems)


def _sample_rate(songs: Sequence[Song]) -> int:
    """Return that of the first song that can be read."""
    for song in songs:
        with contextlib.suppress(AudioReadError), open_audio(song.mixture) as reader:
            return reader.sample_rate
    return OPUS_RATE


def _jobs(number: int, song: Song) -> Iterator[_Job]:
    def job(kind: str, system: str, stem: str, source: Callable[[], Source]) -> _Job:
        label = "-".join(filter(None, (song.name[:20], system[:20], stem[:14])))
        return _Job((number, kind, system, stem), label, source)

    def of_file(path: Path) -> Callable[[], Source]:
        return lambda: file_source(path)

    def of_residual(stems: Mapping[str, Path]) -> Callable[[], Source]:
        return lambda: residual_source(song.mixture, stems)

    yield job("mixture", "", "mixture", of_file(song.mixture))
    for stem, path in song.references.items():
        yield job("reference", "reference", stem, of_file(path))
    for system, stems in song.estimates.items():
        for stem, path in stems.items():
            yield job("estimate", system, stem, of_file(path))
        summed = {stem: stems[stem] for stem in adding_up(list(stems))}
        if len(summed) > 1:
            yield job("residual", system, "residual", of_residual(summed))


def _described(
    number: int,
    song: Song,
    signals: Mapping[tuple[int, str, str, str], PageSignal],
    coding: Coding,
) -> dict[str, Any]:
    def shown(kind: str, system: str, stem: str) -> dict[str, Any] | None:
        signal = signals.get((number, kind, system, stem))
        if signal is None:
            return None
        return {
            **signal.for_engine(),
            "peak": float(f"{signal.peak:.4g}"),
            "peaks": signal.peaks,
        }

    def those_of(kind: str, system: str, stems: Iterable[str]) -> dict[str, Any]:
        found = {stem: shown(kind, system, stem) for stem in stems}
        return {stem: signal for stem, signal in found.items() if signal is not None}

    mixture = signals[number, "mixture", "", "mixture"]
    stems = list(
        dict.fromkeys([*song.references, *(s for e in song.estimates.values() for s in e)])
    )
    return {
        "name": song.name,
        "seconds": mixture.samples / coding.sample_rate,
        "hop": song.hop_s,
        "sums": [stem for stem in stems if stem not in adding_up(stems)],
        "mixture": shown("mixture", "", "mixture"),
        "references": those_of("reference", "reference", song.references),
        "systems": [
            {
                "name": system,
                "stems": those_of("estimate", system, stems),
                "residual": shown("residual", system, "residual"),
                "null": _level_text(song.null_depth_db.get(system)),
                "sdr": {
                    stem: [_figure(value) for value in values]
                    for stem, values in song.sdr.get(system, {}).items()
                },
            }
            for system, stems in song.estimates.items()
        ],
    }


def _figure(value: float) -> float | None:
    return round(float(value), 2) if math.isfinite(value) else None


def _level_text(level_db: float | None) -> str:
    if level_db is None or math.isnan(level_db):
        return ""
    return f"{level_db:.1f} dB".replace("-", "−") if math.isfinite(level_db) else "−∞ dB"
