"""Inspecting a data set: its tracks and its problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from partita.datasets.audio_checks import check_audio
from partita.datasets.dataset import Dataset
from partita.datasets.fingerprint import find_duplicates
from partita.datasets.layout import Problem
from partita.datasets.tracks import FileHeader, Track, order_stems
from partita.errors import AudioReadError
from partita.progress import Progress, added_up


@dataclass(frozen=True)
class TrackFacts:
    """What the headers say about a track.

    Attributes
    ----------
    name, subset : str
    stems : tuple of str
    has_mixture : bool
        Whether the mixture is a file of its own.
    sample_rate, channels : int or None
        Those of most files; None where none can be read.
    duration_s : float or None
        Of the longest file.
    """

    name: str
    subset: str
    stems: tuple[str, ...]
    has_mixture: bool
    sample_rate: int | None
    channels: int | None
    duration_s: float | None


@dataclass(frozen=True, repr=False)
class Report:
    """The result of `inspect_dataset`.

    Attributes
    ----------
    tracks : sequence of TrackFacts
    problems : sequence of Problem
        To be fixed before training or scoring on the data set.
    warnings : sequence of Problem
        What may be intended.
    """

    tracks: Sequence[TrackFacts]
    problems: Sequence[Problem]
    warnings: Sequence[Problem]

    def __repr__(self) -> str:
        counts = f"problems: {len(self.problems)}, warnings: {len(self.warnings)}"
        return f"Report(tracks: {len(self.tracks)}, {counts})"


def inspect_dataset(
    dataset: Dataset, *, deep: bool = True, progress: Progress | None = None
) -> Report:
    """Check the tracks of a data set, and list what was wrong when it was opened.

    From the headers: files that cannot be read, stems that most other tracks have, and files of
    one track that differ in rate, channel count or length (by more than 8192 samples and 0.1 %:
    codecs pad). From the samples: damage, NaN, silent stems (a warning), mixtures that are not
    the sum of their stems, and tracks that are the same recording, see
    `partita.datasets.fingerprint`. Memory does not grow with the length of the tracks.

    Parameters
    ----------
    dataset : Dataset
    deep : bool
        False: headers only.
    progress : callable, optional
        Called with the seconds of music decoded so far and in all.
    """
    headers = [dict(_headers(track)) for track in dataset]
    problems = list(dataset.problems)
    if dataset.is_aligned:
        problems += _missing_stems(dataset.tracks)
    for track, found in zip(dataset, headers, strict=True):
        problems += [Problem(track.name, what) for what in _check_headers(found)]
    facts = [_facts(track, found) for track, found in zip(dataset, headers, strict=True)]
    warnings = [*dataset.warnings, *_doubtful_layout(dataset, facts)]
    if deep:
        warnings += _check_all(dataset.tracks, headers, problems, progress)
    return Report(facts, problems, warnings)


def _doubtful_layout(dataset: Dataset, facts: Sequence[TrackFacts]) -> list[Problem]:
    """Warn where files may be unrelated recordings in folders that look like tracks or stems."""
    if dataset.layout not in ("tracks", "stems") or len(facts) < 2:
        return []
    counts = Counter(stem for track in facts for stem in track.stems)
    if max(counts.values()) > 1:
        return []
    advice = 'if folders are sources with unrelated files, say so: `layout="unaligned"`'
    return [Problem(str(dataset.root), f"no two tracks have a stem in common: {advice}")]


def _headers(track: Track) -> Iterator[tuple[str, FileHeader | AudioReadError]]:
    for name, file in track.files.items():
        try:
            yield name, file.header
        except AudioReadError as error:
            yield name, error


def _readable(found: Mapping[str, FileHeader | AudioReadError]) -> dict[str, FileHeader]:
    return {name: header for name, header in found.items() if isinstance(header, FileHeader)}


def _missing_stems(tracks: Sequence[Track]) -> list[Problem]:
    """Compare every track with the stems that more than half of all have."""
    counts = Counter(name for track in tracks for name in track.stems)
    usual = [name for name in order_stems(counts) if counts[name] > len(tracks) / 2]
    problems = []
    for track in tracks:
        missing = [name for name in usual if name not in track.stems]
        if missing:
            problems.append(
                Problem(track.name, f"lacks {', '.join(missing)}, which most tracks have")
            )
    return problems


def _check_headers(found: Mapping[str, FileHeader | AudioReadError]) -> list[str]:
    problems = [str(error) for error in found.values() if isinstance(error, AudioReadError)]
    headers = _readable(found)
    rates = {name: header.sample_rate for name, header in headers.items()}
    channels = {name: header.channels for name, header in headers.items()}
    if len(set(rates.values())) > 1:
        problems.append(f"different sample rates: {_groups(rates, ' Hz')}")
    if len(set(channels.values())) > 1:
        problems.append(f"different channel counts: {_groups(channels)}")
    if len(set(rates.values())) == 1:
        lengths = {name: header.samples for name, header in headers.items()}
        longest = max(lengths.values())
        if longest - min(lengths.values()) > max(8192, longest / 1000):
            problems.append(f"different lengths: {_groups(lengths, ' samples')}")
    return problems


def _groups(values: Mapping[str, int], unit: str = "") -> str:
    """Return ``44100 Hz (vocals, bass), 48000 Hz (drums)``."""
    return ", ".join(
        f"{value}{unit} ({', '.join(name for name in values if values[name] == value)})"
        for value in sorted(set(values.values()))
    )


def _facts(track: Track, found: Mapping[str, FileHeader | AudioReadError]) -> TrackFacts:
    headers = list(_readable(found).values())
    return TrackFacts(
        name=track.name,
        subset=track.subset,
        stems=tuple(track.stems),
        has_mixture=track.mixture is not None,
        sample_rate=_most_common([header.sample_rate for header in headers]),
        channels=_most_common([header.channels for header in headers]),
        duration_s=max((header.duration_s for header in headers), default=None),
    )


def _most_common(values: Sequence[int]) -> int | None:
    return Counter(values).most_common(1)[0][0] if values else None


def _check_all(
    tracks: Sequence[Track],
    headers: Sequence[Mapping[str, FileHeader | AudioReadError]],
    problems: list[Problem],
    progress: Progress | None,
) -> list[Problem]:
    """Add the problems of all tracks' audio to `problems`; return the warnings."""
    readable = [_readable(found) for found in headers]
    total_s = sum(
        max((header.duration_s for header in found.values()), default=0.0) for found in readable
    )
    advance = added_up(progress, total_s)
    warnings: list[Problem] = []
    fingerprints: dict[int, Tensor] = {}
    for index, (track, found) in enumerate(zip(tracks, readable, strict=True)):
        if not found:
            continue
        result = check_audio({name: track.files[name] for name in found}, advance)
        problems += [Problem(track.name, what) for what in result.problems]
        warnings += [Problem(track.name, what) for what in result.warnings]
        # The sum of only some of the stems is another recording.
        if result.fingerprint is not None and len(found) == len(track.files):
            fingerprints[index] = result.fingerprint
    problems += _duplicates([tracks[index] for index in fingerprints], [*fingerprints.values()])
    return warnings


def _duplicates(tracks: Sequence[Track], fingerprints: Sequence[Tensor]) -> list[Problem]:
    problems = []
    for pair in find_duplicates(fingerprints):
        first, second = tracks[pair.first], tracks[pair.second]
        what = f"is the same recording as {first.name!r}"
        if first.subset != second.subset:
            what += f", which is in {first.subset or 'no subset'}: the subsets overlap"
        where = f"{second.name} ({second.subset})" if second.subset else second.name
        agree = 1 - pair.bit_error_rate
        problems.append(Problem(where, f"{what} ({agree:.0%} of the fingerprints agree)"))
    return problems
