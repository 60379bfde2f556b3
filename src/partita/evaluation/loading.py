"""References and estimates of tracks whose stems lie in files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from partita.audio.signal import Audio
from partita.datasets.tracks import StemFile, Track, check_same_form
from partita.evaluation.signals import as_reference, as_tensor


@dataclass(frozen=True)
class Loaded:
    """Stems of a track.

    Attributes
    ----------
    stems : mapping of str to Tensor ``[channels, samples]``
        As long as their files are.
    sample_rate : int
        In hertz.
    warnings : tuple of str
        What went wrong with the files without stopping it.
    """

    stems: Mapping[str, Tensor]
    sample_rate: int
    warnings: tuple[str, ...]


def load_references(track: Track, names: Sequence[str]) -> Loaded:
    """Read true stems; what a lossy codec made is rounded, see `as_reference`.

    Raises
    ------
    AudioReadError
        A file cannot be read, or files have different rates or channel counts.
    """
    audio, warnings = _load(track, names)
    stems = {name: as_reference(each, name) for name, each in audio.items()}
    return Loaded(stems, _rate(audio), warnings)


def load_estimates(track: Track, names: Sequence[str]) -> Loaded:
    """Read estimated stems; raises as `load_references`."""
    audio, warnings = _load(track, names)
    stems = {name: as_tensor(each, name) for name, each in audio.items()}
    return Loaded(stems, _rate(audio), warnings)


def _rate(audio: Mapping[str, Audio]) -> int:
    return next(iter(audio.values())).sample_rate


def _load(track: Track, names: Iterable[str]) -> tuple[dict[str, Audio], tuple[str, ...]]:
    files = {name: track.stems[name] for name in names}
    check_same_form(track.name, files.values())
    loaded: dict[str, Audio] = {}
    warnings: list[str] = []
    for name, file in files.items():
        with file.open() as reader:
            samples = np.concatenate(list(reader.blocks()), axis=1)  # [channels, samples]
            warnings += reader.warnings
        loaded[name] = Audio(torch.from_numpy(samples), reader.sample_rate, file.is_lossy)
    return loaded, tuple(warnings)


def files_mark(files: Mapping[str, StemFile]) -> str:
    """Return a digest that changes when one of the files does: of paths, sizes and times.

    Raises
    ------
    OSError
        A file is not there.
    """
    states = [[name, *state] for name, file in sorted(files.items()) for state in file.states()]
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()
