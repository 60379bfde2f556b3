"""Data sets as tables: other names, sums and excerpts of stems, without copying audio."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from partita.datasets import Track
from partita.datasets.tracks import MIXTURE, StemFile
from partita.errors import write_error
from partita.files import write_text

_COLUMNS = ("track", "subset", "stem", "path", "stream", "start_s", "duration_s")
#: Of the power of a stem's loudest second: fainter ones are pauses, far fainter ones silence.
_FAINT, _UNHEARD = 1e-2, 1e-6
_MOST_EXCERPTS = 2
_Counts = npt.NDArray[np.float64]
#: Stem → the stems of the data set that it is the sum of.
Stems = Mapping[str, Sequence[str]]


def write_table(path: Path, tracks: Iterable[Track]) -> None:
    """Write a csv that `partita.datasets.open_dataset` reads; unless it says that already.

    Raises
    ------
    AudioWriteError
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for track in tracks:
        for stem, file in track.files.items():
            writer.writerows(
                (track.name, track.subset, stem, part.path.absolute(), *_place(part))
                for part in file.parts
            )
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise write_error(path, error) from error


def _place(part: StemFile) -> tuple[int, str, str]:
    duration = "" if part.duration_s is None else f"{part.duration_s:g}"
    return part.stream, f"{part.start_s:g}" if part.start_s else "", duration


def middle(track: Track, seconds: float | None) -> Track:
    """Return the middle of a track; the whole track where it is no longer than that."""
    if seconds is None or track.duration_s <= seconds:
        return track
    return _cut(track, round((track.duration_s - seconds) / 2), seconds, set(track.stems))


def telling_excerpts(track: Track, seconds: float | None) -> list[Track]:
    """Return excerpts in which stems sound: one, or two if no single one has all stems.

    Windows in which a stem is as good as silent have scores that say nothing about systems. So in
    the first excerpt as many stems as possible sound half of the time; the second has stems that
    the first lacks. Stems that are never heard in an excerpt are left out of it.

    Parameters
    ----------
    track : Track
        It is read, unless it is short.
    seconds : float or None
        Of each excerpt; a track that is no longer is its own excerpt, and so is any with None.

    Raises
    ------
    AudioReadError
    """
    if seconds is None or track.duration_s <= seconds:
        return [track]
    span, length = round(seconds), int(track.duration_s)
    powers = {stem: _powers(file, length) for stem, file in track.stems.items()}
    counts = {stem: _seconds_above(_FAINT, power, span) for stem, power in powers.items()}
    heard = {stem: _seconds_above(_UNHEARD, power, span) for stem, power in powers.items()}
    found: list[Track] = []
    wanted = {stem for stem, count in counts.items() if count.any()}
    while wanted and len(found) < _MOST_EXCERPTS:
        start = _best_start({stem: counts[stem] for stem in wanted}, counts, span)
        covered = {stem for stem in wanted if 2 * counts[stem][start] >= span}
        if found and not covered:
            break
        stems = {stem for stem, count in heard.items() if count[start]}
        made = _cut(track, start, seconds, stems)
        found.append(replace(made, name=f"{track.name} at {start} s") if found else made)
        wanted -= covered or wanted
    return found or [middle(track, seconds)]


def _best_start(wanted: Mapping[str, _Counts], counts: Mapping[str, _Counts], span: int) -> int:
    """Return where most of the wanted stems sound half of the time, and the others much or not."""
    enough = np.sum([2 * count >= span for count in wanted.values()], axis=0)
    sparse = np.sum([count * (2 * count < span) for count in counts.values()], axis=0)
    much = np.sum(list(counts.values()), axis=0)
    scale = len(counts) * span + 1  # each of them decides where those before are equal
    return int(np.argmax((enough * scale - sparse) * scale + much))


def _powers(file: StemFile, length: int) -> _Counts:
    """Return the power of each second."""
    powers = np.zeros(length)
    with file.open() as reader:
        found = [float(np.mean(np.square(b))) for b in reader.blocks(reader.sample_rate)]
    powers[: len(found)] = found[:length]
    return powers


def _seconds_above(fraction: float, powers: _Counts, span: int) -> _Counts:
    """Return for each second how many of the `span` from there on have that much of the peak."""
    loud = (powers > fraction * powers.max()).astype(float)
    return np.convolve(loud, np.ones(span), mode="valid").round()


def _cut(track: Track, start_s: float, seconds: float, stems: Collection[str]) -> Track:
    """Return an excerpt with those of the stems that reach into it."""

    def part(file: StemFile) -> StemFile:
        first, *others = [
            StemFile(each.path, each.stream, (), each.start_s + start_s, seconds)
            for each in file.parts
            if each.header.duration_s > start_s
        ]
        return replace(first, others=tuple(others))

    files = {
        name: part(file)
        for name, file in track.files.items()
        if file.header.duration_s > start_s and (name in stems or name == MIXTURE)
    }
    mixture = files.pop(MIXTURE, None)
    return replace(track, stems=files, mixture=mixture)


def regrouped(tracks: Iterable[Track], stems: Stems) -> Iterator[Track]:
    """Yield tracks with other stems; those that lack all members of a stem lack that stem.

    Stems that are in none of them are dropped with the mixture, unless none is.
    """
    used = {member for members in stems.values() for member in members}
    for track in tracks:
        found = {
            stem: _sum([track.stems[name] for name in members if name in track.stems])
            for stem, members in stems.items()
            if any(name in track.stems for name in members)
        }
        if found:
            whole = set(track.stems) <= used
            yield replace(track, stems=found, mixture=track.mixture if whole else None)


def _sum(files: Sequence[StemFile]) -> StemFile:
    first, *others = [part for file in files for part in file.parts]
    return replace(first, others=tuple(others))
