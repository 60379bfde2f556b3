"""A song's stems on disk: found in a folder or in a ``.stem.mp4``, read side by side."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from partita.audio.audio_reader import BLOCK_SAMPLES
from partita.audio.formats import FORMATS_PER_STEM, STEM_MP4, is_stem_mp4
from partita.audio.tags import Tags, read_tags
from partita.datasets.layout import MIXTURE_NAMES, audio_files
from partita.datasets.musdb import read_musdb18
from partita.datasets.tracks import ACCOMPANIMENT, VOCALS, StemFile, order_stems
from partita.errors import AudioReadError, UnknownNameError, UsageError, one_line
from partita.separation.batch.manifest import unfinished_stems
from partita.stem_names import normal_name, stem_members

Samples = npt.NDArray[np.float32]

#: Other names of a song without its vocals.
_INSTRUMENTALS = (ACCOMPANIMENT, "instrumental", "no_vocals")
_MOST_NAMED = 3
#: Decoders may lose so much at the end of lossy files: FFmpeg's does in short ones of Vorbis.
_CODECS_DIFFER_S = 0.1


@dataclass(frozen=True)
class StemSong:
    """The stems of a song.

    Attributes
    ----------
    name : str
        The folder's, or the file's without its suffix.
    stems : mapping of str to StemFile
        Those that add up to the song.
    notes : tuple of str
        What was left out of the folder, and why.
    """

    name: str
    stems: Mapping[str, StemFile]
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of all stems."""
        return tuple(path for file in self.stems.values() for path in file.paths)

    def tags(self) -> Tags:
        """Return the song's tags: those of its first stem, whose name is taken out of the title."""
        stem, file = next(iter(self.stems.items()))
        tags = read_tags(file.path)
        title = tags.text.get("title", "")
        plain = title.removesuffix(f" ({stem})") or self.name
        return Tags({**tags.text, "title": plain}, tags.cover, tags.left_out)


def find_song(path: str | Path) -> StemSong:
    """Find the stems of a song.

    Sums of stems that are there as well (``no_vocals``, ``drums+bass``, ``accompaniment``) are left
    out, and the mixture: the stems add up to the song. Of a stem in several formats, the lossless
    one is taken.

    Parameters
    ----------
    path : str or Path
        A folder as ``partita separate`` writes it, or a ``.stem.mp4``.

    Raises
    ------
    AudioReadError
        There are no stems in it.
    """
    path = Path(path)
    name = one_line(path)
    try:
        if is_stem_mp4(path) and path.is_file():
            return _stem_mp4_song(path)
        if not path.exists():
            raise AudioReadError(f"{name}: no such folder")
        if not path.is_dir():
            raise AudioReadError(f"{name}: is a file: name the folder of the stems")
        files = audio_files(path)
    except UsageError as error:
        raise AudioReadError(str(error)) from None
    except OSError as error:
        raise AudioReadError(f"{name}: cannot be read: {error.strerror}") from None
    together = [file for file in files if is_stem_mp4(file)]
    if together and len(together) == len(files):
        if len(files) > 1:
            raise AudioReadError(f"{name}: holds {len(files)} songs: name one .{STEM_MP4}")
        return _stem_mp4_song(together[0])
    return _folder_song(path, [file for file in files if file not in together])


def _stem_mp4_song(path: Path) -> StemSong:
    reading = read_musdb18(path)
    if not reading.tracks:
        problems = "; ".join(problem.what for problem in reading.problems)
        raise AudioReadError(f"{one_line(path)}: {problems.replace(', left out', '')}")
    track = reading.tracks[0]
    return StemSong(track.name, track.stems)


def _folder_song(folder: Path, files: list[Path]) -> StemSong:
    chosen, notes = _one_of_each(files)
    stems = {stem: StemFile(path) for stem, path in chosen.items() if stem not in MIXTURE_NAMES}
    if not stems:
        raise AudioReadError(_nothing(folder, is_empty=not files))
    unfinished = unfinished_stems(folder)
    for file in stems.values():
        if file.path.name in unfinished:
            raise AudioReadError(
                f"{one_line(folder)}: {one_line(file.path.name)} was about to be replaced when a "
                "separation was interrupted: separate the song again"
            )
    names = order_stems(stems)
    sums = [stem for stem in names if _is_sum(stem, names)]
    if sums:
        notes.append(f"left out, because its stems are there: {', '.join(map(one_line, sums))}")
    return StemSong(
        normal_name(folder.resolve().name),
        {stem: stems[stem] for stem in names if stem not in sums},
        tuple(notes),
    )


def _one_of_each(files: list[Path]) -> tuple[dict[str, Path], list[str]]:
    """Return stem → file; of several formats the first of `FORMATS_PER_STEM`, which is noted."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        found[normal_name(path.stem).lower()].append(path)
    notes = []
    for stem, paths in found.items():
        paths.sort(key=_rank)
        if len(paths) > 1:
            others = ", ".join(one_line(path.name) for path in paths[1:])
            notes.append(f"{one_line(stem)} is read from {one_line(paths[0].name)}, not {others}")
    return {stem: paths[0] for stem, paths in found.items()}, notes


def _rank(path: Path) -> tuple[int, str]:
    suffix = path.suffix.lower().removeprefix(".")
    known = FORMATS_PER_STEM.index(suffix) if suffix in FORMATS_PER_STEM else len(FORMATS_PER_STEM)
    return known, path.name


def _is_sum(stem: str, names: list[str]) -> bool:
    """Return whether a stem is the sum of others that are there."""
    others = [each for each in names if each != stem]
    single = [each for each in others if "+" not in each and not each.startswith("no_")]
    if stem in _INSTRUMENTALS:
        return VOCALS in others and any(
            each != VOCALS and each not in _INSTRUMENTALS for each in single
        )
    if "+" not in stem and not stem.startswith("no_"):
        return False
    try:
        members = stem_members(stem, single)
    except (UsageError, UnknownNameError):
        return False
    return stem.startswith("no_") or len(members) > 1


def _nothing(folder: Path, *, is_empty: bool) -> str:
    name = one_line(folder)
    inside = sorted(child for child in folder.iterdir() if child.is_dir())
    if not is_empty or not inside:
        return f"{name}: there are no stems in it: separate a song first"
    named = ", ".join(one_line(child.name) for child in inside[:_MOST_NAMED])
    more = ", …" if len(inside) > _MOST_NAMED else ""
    return f"{name}: there are no stems in it but folders ({named}{more}): name those of songs"


class StemBlocks:
    """The open stems of a song, of one sample rate, channel count and length.

    Parameters
    ----------
    song : StemSong

    Raises
    ------
    AudioReadError
        A stem cannot be read, or they have different rates or channel counts.
    """

    def __init__(self, song: StemSong) -> None:
        self._song = song
        with ExitStack() as stack:
            self._readers = [stack.enter_context(file.open()) for file in song.stems.values()]
            first = self._readers[0]
            self.sample_rate, self.channels = first.sample_rate, first.channels
            self._check_form()
            self._stack = stack.pop_all()

    def __enter__(self) -> StemBlocks:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def duration_s(self) -> float | None:
        """Length in seconds by the header of a file; None: unknown."""
        frames = self._readers[0].frames
        return None if frames is None else frames / self.sample_rate

    @property
    def warnings(self) -> list[str]:
        """Problems that did not stop reading; complete when all blocks have been read."""
        return [text for reader in self._readers for text in reader.warnings]

    def blocks(self) -> Iterator[Samples]:
        """Yield ``[stems, channels, samples]``.

        Raises
        ------
        AudioReadError
            A stem cannot be decoded, holds NaN, or is longer or shorter than the others; lossy
            ones may be so by 0.1 s, which is silence then.
        """
        streams = [reader.blocks(BLOCK_SAMPLES) for reader in self._readers]
        is_lossy = any(file.is_lossy for file in self._song.stems.values())
        allowed = round(_CODECS_DIFFER_S * self.sample_rate) if is_lossy else 0
        missing = [0] * len(streams)
        done = 0
        for blocks in itertools.zip_longest(*streams):
            lengths = [0 if block is None else block.shape[1] for block in blocks]
            longest = max(lengths)
            for index, length in enumerate(lengths):
                missing[index] += longest - length
            if max(missing) > allowed:
                raise AudioReadError(self._unequal(done + longest, missing))
            mixed = np.zeros((len(blocks), self.channels, longest), np.float32)
            for index, (block, length) in enumerate(zip(blocks, lengths, strict=True)):
                if block is not None:
                    mixed[index, :, :length] = block
            done += longest
            yield mixed

    def _check_form(self) -> None:
        for path, reader in zip(self._song.paths, self._readers, strict=True):
            if (reader.sample_rate, reader.channels) != (self.sample_rate, self.channels):
                raise AudioReadError(
                    f"{one_line(self._song.name)}: its stems differ: "
                    f"{one_line(self._song.paths[0].name)} has {self.sample_rate} Hz and "
                    f"{self.channels} channels, {one_line(path.name)} {reader.sample_rate} Hz and "
                    f"{reader.channels}: separate the song again"
                )

    def _unequal(self, done: int, missing: list[int]) -> str:
        shortest, longest = missing.index(max(missing)), missing.index(min(missing))
        paths = self._song.paths
        end_s = (done - missing[shortest]) / self.sample_rate
        return (
            f"{one_line(self._song.name)}: its stems have different lengths: "
            f"{one_line(paths[shortest].name)} ends after {end_s:.3f} s, "
            f"{one_line(paths[longest].name)} goes on: separate the song again"
        )
