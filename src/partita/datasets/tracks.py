"""A track: a song whose stems are known."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from partita.audio.formats import is_lossy
from partita.audio.reader import open_audio
from partita.audio.signal import Audio
from partita.datasets.summed import StemReader, SummedReader
from partita.errors import AudioReadError, UnknownNameError, UsageError, one_line
from partita.stem_names import stem_members

MIXTURE = "mixture"
VOCALS = "vocals"
ACCOMPANIMENT = "accompaniment"
LINEAR_MIXTURE = "linear_mixture"
_FIRST = (VOCALS, "drums", "bass", "other")


def order_stems(names: Iterable[str]) -> list[str]:
    """Return stem names in the order of this package: the usual four, then by alphabet."""
    rank = {name: index for index, name in enumerate(_FIRST)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


@dataclass(frozen=True)
class FileHeader:
    """What the header of a file says.

    Attributes
    ----------
    sample_rate : int
        In hertz.
    channels : int
    samples : int
        In each channel; of lossy files to within a couple of codec frames.
    """

    sample_rate: int
    channels: int
    samples: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate


@dataclass(frozen=True)
class StemFile:
    """Where the audio of a stem is.

    Attributes
    ----------
    path : Path
    stream : int
        Which audio stream of the file.
    others : tuple of StemFile
        More files or streams; the stem is the sum of all.
    start_s, duration_s : float
        The excerpt of the file that is the stem, in seconds; None: to its end.
    """

    path: Path
    stream: int = 0
    others: tuple[StemFile, ...] = ()
    start_s: float = 0.0
    duration_s: float | None = None

    @property
    def parts(self) -> tuple[StemFile, ...]:
        """What is added up: itself, if there is nothing else."""
        return (replace(self, others=()), *self.others) if self.others else (self,)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files of the stem."""
        return tuple(part.path for part in self.parts)

    def states(self) -> list[tuple[object, ...]]:
        """Return what changes when the audio does: places, sizes and times of all parts.

        Raises
        ------
        OSError
            A file is not there.
        """
        found: list[tuple[object, ...]] = []
        for part in self.parts:
            # The whole path: files of two tracks may have one name, one size and one time.
            path, state = os.fspath(part.path.absolute()), part.path.stat()
            whole = not part.start_s and part.duration_s is None
            excerpt = () if whole else (part.start_s, part.duration_s)
            found.append((path, part.stream, state.st_size, state.st_mtime_ns, *excerpt))
        return found

    @property
    def is_lossy(self) -> bool:
        """Whether a lossy codec may have made one of the files."""
        return any(map(is_lossy, self.paths))

    @cached_property
    def header(self) -> FileHeader:
        """Rate, channels and length, read once; decoded where the file does not state its length.

        Raises
        ------
        AudioReadError
            The file cannot be read as audio.
        """
        with self.open() as reader:
            samples = reader.frames
            if samples is None or not reader.frames_stated:  # an estimate: count
                samples = sum(block.shape[1] for block in reader.blocks())
            return FileHeader(reader.sample_rate, reader.channels, samples)

    def open(self, *, start_s: float = 0.0, duration_s: float | None = None) -> StemReader:
        """Open it for reading in blocks; parameters and errors are those of `open_audio`."""
        if not self.others:
            if self.duration_s is not None:
                left_s = self.duration_s - start_s
                duration_s = left_s if duration_s is None else min(duration_s, left_s)
            start_s += self.start_s
            return open_audio(self.path, start_s=start_s, duration_s=duration_s, stream=self.stream)
        needed = [part for part in self.parts if not start_s or part.header.duration_s > start_s]
        with ExitStack() as stack:
            readers: list[StemReader] = [
                stack.enter_context(part.open(start_s=start_s, duration_s=duration_s))
                for part in needed or self.parts
            ]
            stack.pop_all()
        return SummedReader(readers, self.header.channels if start_s else None)

    def __str__(self) -> str:
        if self.others:
            return f"{self.path} and {len(self.others)} more"
        return f"{self.path} (stream {self.stream})" if self.stream else str(self.path)


@dataclass(frozen=True, eq=False, repr=False)
class Track:
    """A song with known stems; files are read when they are needed.

    Attributes
    ----------
    name : str
        ``"Artist - Title"``; no other track of the data set has it.
    path : Path
        The ``.stem.mp4``, the folder of the track, or the root of the data set where a track
        has no folder of its own.
    subset : str
        ``"train"``, ``"valid"``, ``"test"``, or ``""`` where the layout does not say.
    stems : mapping of str to StemFile
        Stem name → where it is; any names.
    mixture : StemFile or None
        None: the mixture is the sum of the stems.
    """

    name: str
    path: Path
    subset: str
    stems: Mapping[str, StemFile]
    mixture: StemFile | None = None

    def __repr__(self) -> str:
        subset = f" of {self.subset}" if self.subset else ""
        return f"Track({self.name!r}{subset}: {', '.join(self.stems)})"

    @property
    def files(self) -> Mapping[str, StemFile]:
        """All files of the track: the stems', and ``"mixture"`` where there is one."""
        return {**self.stems, **({MIXTURE: self.mixture} if self.mixture else {})}

    @property
    def sample_rate(self) -> int:
        """In hertz, by the header of the mixture, else of the first stem."""
        return self._main.header.sample_rate

    @property
    def channels(self) -> int:
        """Channel count, from the same file as `sample_rate`."""
        return self._main.header.channels

    @cached_property
    def duration_s(self) -> float:
        """Length in seconds of the longest file, by the headers."""
        return max(file.header.duration_s for file in self.files.values())

    @property
    def rate(self) -> int:
        """The same as `sample_rate`."""
        return self.sample_rate

    @property
    def audio(self) -> Tensor:
        """The mixture, decoded at every call: float32 ``[channels, samples]``."""
        return self.load(MIXTURE).samples

    @property
    def sources(self) -> Mapping[str, str]:
        """Stem name → path of its file."""
        return {name: str(file.path) for name, file in self.stems.items()}

    @cached_property
    def targets(self) -> Mapping[str, tuple[str, ...]]:
        """Target name → the stems it is the sum of.

        Every stem; then ``accompaniment``, all but the vocals, where there are vocals and
        something else; then ``linear_mixture``, all of them.
        """
        targets: dict[str, tuple[str, ...]] = {name: (name,) for name in self.stems}
        accompaniment = tuple(name for name in self.stems if name != VOCALS)
        if VOCALS in self.stems and accompaniment:
            targets.setdefault(ACCOMPANIMENT, accompaniment)
        targets.setdefault(LINEAR_MIXTURE, tuple(self.stems))
        return targets

    def load(self, target: str, *, start_s: float = 0.0, duration_s: float | None = None) -> Audio:
        """Read a target, or an excerpt of it; only the excerpt is decoded.

        A file that ends before the others goes on in silence: an excerpt that lies within the
        track has the length asked for.

        Parameters
        ----------
        target : str
            One of `targets`, ``"mixture"`` (the file where there is one, else the sum of the
            stems), a sum (``drums+bass``) or a rest (``no_vocals``).
        start_s, duration_s : float
            The excerpt in seconds; None reads to the end.

        Returns
        -------
        Audio
            ``[channels, samples]`` at the files' own rate.

        Raises
        ------
        UsageError
            No such target, or no such excerpt can exist.
        AudioReadError
            A file cannot be read, the track ends before the excerpt, or the files of a sum have
            different rates or channel counts.
        """
        if target == MIXTURE and self.mixture is not None:
            files: Sequence[StemFile] = [self.mixture]
        else:
            files = [self.stems[name] for name in self._members(target)]
        loaded = self._load_files(files, start_s, duration_s)
        if len(loaded) == 1:
            return loaded[0]
        total = loaded[0].samples.clone()  # [channels, samples]
        for audio in loaded[1:]:
            total += audio.samples
        return Audio(total, loaded[0].sample_rate, any(audio.is_lossy for audio in loaded))

    def load_stems(
        self,
        names: Iterable[str] | None = None,
        *,
        start_s: float = 0.0,
        duration_s: float | None = None,
    ) -> dict[str, Audio]:
        """Read several stems, all of them by default, as long as the longest of them.

        Parameters
        ----------
        names : iterable of str, optional
            Names of stems.
        start_s, duration_s : float
            As for `load`.

        Returns
        -------
        dict of str to Audio
            In the order asked for; each ``[channels, samples]``, of one shape and one rate.

        Raises
        ------
        UsageError, AudioReadError
            As for `load`.
        """
        wanted = list(self.stems) if names is None else list(names)
        for name in wanted:
            if name not in self.stems:
                raise UnknownNameError("stem", name, self.stems)
        if not wanted:
            return {}
        files = [self.stems[name] for name in wanted]
        return dict(zip(wanted, self._load_files(files, start_s, duration_s), strict=True))

    @property
    def _main(self) -> StemFile:
        return self.mixture or next(iter(self.stems.values()))

    def _members(self, target: str) -> tuple[str, ...]:
        if target in self.targets:
            return self.targets[target]
        if target == MIXTURE:
            return tuple(self.stems)
        return stem_members(target, list(self.stems))

    def _load_files(
        self, files: Sequence[StemFile], start_s: float, duration_s: float | None
    ) -> list[Audio]:
        """Read the same excerpt of several files and bring all to one length."""
        if not 0 <= start_s < math.inf:
            raise UsageError(f"an excerpt cannot start at {start_s:g} s")
        if duration_s is not None and not 0 < duration_s < math.inf:
            raise UsageError(f"an excerpt cannot be {duration_s:g} s long")
        check_same_form(self.name, files)
        rate, channels = files[0].header.sample_rate, files[0].header.channels
        pieces = [_load_piece(file, start_s, duration_s) for file in files]
        samples = max(piece.shape[1] for piece in pieces)
        samples = max(samples, self._excerpt_samples(rate, start_s, duration_s, found=samples))
        return [
            Audio(_lengthen(piece, channels, samples), rate, file.is_lossy)
            for piece, file in zip(pieces, files, strict=True)
        ]

    def _excerpt_samples(
        self, rate: int, start_s: float, duration_s: float | None, *, found: int
    ) -> int:
        """Return how long an excerpt has to be at least, of which `found` samples are there."""
        if found and (duration_s is None or found == round(duration_s * rate)):
            return found  # no need for the headers of the other files
        left_s = self.duration_s - start_s
        if left_s <= 0:
            raise AudioReadError(
                f"{one_line(self.name)}: ends after {self.duration_s:g} s, "
                f"before the excerpt at {start_s:g} s"
            )
        if not found:
            return round(min(left_s, math.inf if duration_s is None else duration_s) * rate)
        assert duration_s is not None
        return round(duration_s * rate) if duration_s <= left_s else found


def check_same_form(name: str, files: Iterable[StemFile]) -> None:
    """Raise `AudioReadError` where the files have different rates or channel counts."""
    forms = {(file.header.sample_rate, file.header.channels): file for file in files}
    if len(forms) > 1:
        (form_a, file_a), (form_b, file_b) = list(forms.items())[:2]
        raise AudioReadError(
            f"{one_line(name)}: files that belong together differ: "
            f"{one_line(file_a)} is {form_a[0]} Hz, {form_a[1]} channels, "
            f"{one_line(file_b)} is {form_b[0]} Hz, {form_b[1]} channels: convert them to one form"
        )


def _load_piece(file: StemFile, start_s: float, duration_s: float | None) -> Tensor:
    """Read ``[channels, samples]``; no samples where the file ends before the excerpt."""
    if start_s and file.header.duration_s <= start_s:
        return torch.zeros(file.header.channels, 0)
    with file.open(start_s=start_s, duration_s=duration_s) as reader:
        return torch.from_numpy(np.concatenate(list(reader.blocks()), axis=1))


def _lengthen(piece: Tensor, channels: int, samples: int) -> Tensor:
    missing = samples - piece.shape[1]
    if not missing:
        return piece
    return torch.cat([piece, piece.new_zeros(channels, missing)], dim=1)
