"""Checks of the decoded audio of a track."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.datasets.fingerprint import FINGERPRINT_S, fingerprint
from partita.datasets.summed import StemReader
from partita.datasets.tracks import MIXTURE, StemFile
from partita.dsp.levels import NullMeter
from partita.errors import AudioReadError

Samples = npt.NDArray[np.float32]

#: A stem whose loudest sample is below this is silent: -80 dB of full scale.
SILENT_PEAK = 1e-4
#: A mixture is the sum of its stems where the residual is below this, in dB.
_MAX_RESIDUAL_DB = -30.0
#: Lossy codecs leave more: AAC as in MUSDB18 about -30 dB by itself.
_MAX_LOSSY_RESIDUAL_DB = -20.0


@dataclass
class AudioFindings:
    """What is wrong with the audio of a track.

    Attributes
    ----------
    problems, warnings : list of str
        One line each.
    fingerprint : Tensor ``[frames, 32]`` or None
        Of the mixture; None where it cannot be decoded.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fingerprint: Tensor | None = None


class _Beginning:
    """The beginning of a mixture in mono, for its fingerprint."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._missing = round(FINGERPRINT_S * sample_rate)
        self._blocks: list[Samples] = []

    def add(self, block: Samples) -> None:
        """Add ``[channels, samples]``."""
        if self._missing > 0:
            self._blocks.append(block.mean(axis=0)[: self._missing])
            self._missing -= block.shape[1]

    def fingerprint(self) -> Tensor | None:
        """Return the fingerprint, None where nothing was added."""
        if not self._blocks:
            return None
        return fingerprint(np.concatenate(self._blocks), self._sample_rate)


def check_audio(files: Mapping[str, StemFile], progress: Callable[[float], None]) -> AudioFindings:
    """Decode all files of a track side by side, block by block.

    Parameters
    ----------
    files : mapping of str to StemFile
        Stem name, or ``"mixture"``, → a file whose header can be read.
    progress : callable
        Called with the seconds decoded since the last call.

    Returns
    -------
    AudioFindings
        Problems: files that cannot be decoded, are damaged or hold NaN, and a mixture that is
        not the sum of its stems. Warnings: silent stems.
    """
    found = AudioFindings()
    forms = {(file.header.sample_rate, file.header.channels) for file in files.values()}
    comparable = len(forms) == 1
    rate = files[MIXTURE if MIXTURE in files else next(iter(files))].header.sample_rate
    beginning, meter = _Beginning(rate), NullMeter()
    peaks = dict.fromkeys(files, 0.0)
    failed: set[str] = set()
    for blocks in _side_by_side(files, found, failed):
        for name, block in blocks.items():
            peaks[name] = max(peaks[name], float(np.abs(block).max()))
        if comparable:
            _measure(blocks, MIXTURE in files, meter, beginning)
        elif MIXTURE in blocks:
            beginning.add(blocks[MIXTURE])
        progress(max(block.shape[1] for block in blocks.values()) / rate)
    silent = [name for name in files if peaks[name] < SILENT_PEAK and name not in failed]
    found.warnings += [f"stem {name!r} is silent" for name in silent if name != MIXTURE]
    if MIXTURE in silent:
        found.problems.append("the mixture is silent")
    elif comparable and MIXTURE in files and len(files) > 1 and not failed:
        _judge_sum(files, meter.null_depth_db, found)
    if MIXTURE not in failed and (MIXTURE in files or not failed):
        found.fingerprint = beginning.fingerprint()
    return found


def _side_by_side(
    files: Mapping[str, StemFile], found: AudioFindings, failed: set[str]
) -> Iterator[dict[str, Samples]]:
    """Yield one ``[channels, samples]`` block of every file at a time, until the longest ends."""
    with ExitStack() as stack:
        readers: dict[str, StemReader] = {}
        for name, file in files.items():
            readers[name] = stack.enter_context(file.open())
        streams = {name: reader.blocks() for name, reader in readers.items()}
        while streams:
            blocks: dict[str, Samples] = {}
            for name in list(streams):
                try:
                    blocks[name] = next(streams[name])
                except StopIteration:
                    del streams[name]
                except AudioReadError as error:
                    found.problems.append(str(error))
                    failed.add(name)
                    del streams[name]
            if blocks:
                yield blocks
        for reader in readers.values():
            found.problems += reader.warnings


def _measure(
    blocks: Mapping[str, Samples], has_mixture: bool, meter: NullMeter, beginning: _Beginning
) -> None:
    """Compare mixture and stems of equal rate and channels; files that ended count as silence."""
    samples = max(block.shape[1] for block in blocks.values())
    full = {
        name: np.pad(block, ((0, 0), (0, samples - block.shape[1])))
        for name, block in blocks.items()
    }
    stems = [block for name, block in full.items() if name != MIXTURE]
    total = np.sum(stems, axis=0) if stems else np.zeros_like(full[MIXTURE])
    if not has_mixture:
        beginning.add(total)
        return
    mixture = full.get(MIXTURE, np.zeros_like(total))
    beginning.add(mixture)
    meter.add(torch.from_numpy(mixture), torch.from_numpy(total)[None])


def sum_limit_db(files: Iterable[StemFile]) -> float:
    """Return how far a mixture may be, in dB of itself, from the sum of its stems.

    Parameters
    ----------
    files : iterable of StemFile
        The mixture's and the stems'.
    """
    lossless = not any(file.is_lossy for file in files)
    return _MAX_RESIDUAL_DB if lossless else _MAX_LOSSY_RESIDUAL_DB


def _judge_sum(files: Mapping[str, StemFile], residual_db: float, found: AudioFindings) -> None:
    limit_db = sum_limit_db(files.values())
    if residual_db > limit_db:
        found.problems.append(
            f"the mixture is not the sum of its stems: they differ by {residual_db:.1f} dB "
            f"of the mixture (up to {limit_db:g} dB would do)"
        )
