"""A piece of audio in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from partita.audio.formats import StemFormat, stem_format
from partita.audio.reader import MAX_CHANNELS, open_audio
from partita.audio.stem_writer import StemWriter
from partita.audio.tags import Tags
from partita.errors import UsageError, one_line

_BLOCK_SAMPLES = 1 << 16
_STEM_MP4 = ".stem.mp4"

_LOSSLESS = (".wav", ".wave", ".flac", ".aif", ".aiff", ".aifc", ".caf", ".au", ".w64", ".rf64")


def is_lossy(path: Path) -> bool:
    """Tell by its extension whether a file may hold what a lossy codec made."""
    return path.suffix.lower() not in _LOSSLESS


@dataclass(frozen=True, eq=False)
class Audio:
    """Samples and their rate.

    Attributes
    ----------
    samples : Tensor ``[channels, samples]``
        float32, full scale at ±1.
    sample_rate : int
        In hertz.
    is_lossy : bool
        Whether a lossy codec made it: as a reference for scores it is then rounded to 16 bits.
    """

    samples: Tensor
    sample_rate: int
    is_lossy: bool = False

    def __repr__(self) -> str:
        return f"Audio({self.form})"

    @property
    def form(self) -> str:
        """Channels, length and rate in words."""
        channels = "one channel" if self.channels == 1 else f"{self.channels} channels"
        return f"{channels}, {self.duration_s:.3f} s, {self.sample_rate} Hz"

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.samples.shape[0]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.shape[-1] / self.sample_rate

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        start_s: float = 0.0,
        duration_s: float | None = None,
        stream: int | None = None,
    ) -> Self:
        """Read a whole file, or an excerpt of it, into memory.

        Parameters and errors are those of `partita.audio.reader.open_audio`.

        Warns
        -----
        UserWarning
            Something of the file is damaged or missing.
        """
        with open_audio(path, start_s=start_s, duration_s=duration_s, stream=stream) as reader:
            blocks = list(reader.blocks())
            for warning in reader.warnings:
                warnings.warn(warning, stacklevel=2)
            samples = torch.from_numpy(np.concatenate(blocks, axis=1))
            return cls(samples, reader.sample_rate, is_lossy(Path(path)))

    def save(
        self,
        path: str | Path,
        *,
        bits: str | int | None = None,
        bitrate: str | int | None = None,
    ) -> float:
        """Write the audio; the extension names the format.

        Audio beyond full scale is never clipped: where the format would do so, all of it becomes
        as much softer as it takes, with a warning. Stems that belong together are written by
        `partita.Estimates.save`, with one gain.

        Parameters
        ----------
        path : str or Path
            ``.wav``, ``.flac``, ``.mp3``, ``.ogg``, ``.opus`` or ``.m4a``.
        bits, bitrate : str or int, optional
            As for `partita.audio.formats.stem_format`.

        Returns
        -------
        float
            The gain in dB: 0, or negative where the peak was beyond full scale; always 0 with
            ``bits="float"``.

        Raises
        ------
        UsageError
            The format does not exist, or is ``.stem.mp4``, which holds several signals.
        AudioWriteError
            The file cannot be written.

        Warns
        -----
        UserWarning
            The level was lowered.
        """
        path = Path(path)
        if path.name.lower().endswith(_STEM_MP4):
            raise UsageError(
                f"{one_line(path)}: a .stem.mp4 holds a song and its stems: partita separate "
                "--format stem.mp4 writes it, in Python Separator.separate_to_files"
            )
        gain_db = save_together({path: self}, stem_format(path.suffix, bits, bitrate))
        if gain_db:
            warnings.warn(
                f"{one_line(path)}: the peak is {-gain_db:.2f} dB above full scale: written "
                f"{-gain_db:.2f} dB softer; bits='float' (wav) keeps the level, "
                "Estimates.save gives all stems of a song one gain",
                stacklevel=2,
            )
        return gain_db


def save_together(files: Mapping[Path, Audio], form: StemFormat) -> float:
    """Write audio of one length with one gain: all files, or none.

    Parameters
    ----------
    files : mapping of Path to Audio
        One rate, one shape.
    form : StemFormat

    Returns
    -------
    float
        The gain in dB that keeps the loudest peak below full scale, 0 or negative.

    Raises
    ------
    UsageError
        The audio is of several shapes or rates, or none that can be written.
    AudioWriteError
        A file cannot be written.
    """
    if len({(tuple(audio.samples.shape), audio.sample_rate) for audio in files.values()}) != 1:
        raise UsageError("audio that is saved together has one length, channel count and rate")
    first_path, first = next(iter(files.items()))
    if first.samples.ndim != 2 or not 1 <= first.channels <= MAX_CHANNELS:
        shape = list(first.samples.shape)
        raise UsageError(f"audio is [channels, samples] with 1 to 8 channels, not {shape}")
    paths = {str(path): path for path in files}
    with StemWriter(
        paths,
        form,
        sample_rate=first.sample_rate,
        channels=first.channels,
        tags=dict.fromkeys(paths, Tags()),
        root=first_path.parent,
    ) as writer:
        for start in range(0, first.samples.shape[1], _BLOCK_SAMPLES):
            block = torch.stack(  # [files, channels, samples]
                [audio.samples[:, start : start + _BLOCK_SAMPLES] for audio in files.values()]
            )
            samples = block.detach().cpu().float().numpy()
            writer.write(samples.sum(axis=0), samples)
        writer.finish()
        return writer.gain_db
