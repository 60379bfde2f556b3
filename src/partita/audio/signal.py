"""A piece of audio in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.audio.formats import StemFormat, is_lossy, is_stem_mp4, stem_format
from partita.audio.reader import MAX_CHANNELS, open_audio
from partita.audio.stem_writer import StemWriter
from partita.audio.tags import Tags
from partita.errors import UsageError, one_line

_BLOCK_SAMPLES = 1 << 16


@dataclass(frozen=True, eq=False)
class Audio:
    """Samples and their rate; an array ``[channels, samples]`` to NumPy.

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

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Return the samples for NumPy; they share memory with the tensor where they can."""
        array = self.samples.detach().cpu().numpy()
        if copy is None:  # NumPy 1 has no such parameter
            return np.asarray(array, dtype)
        return np.array(array, dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Tensor:
        return self.samples[index]

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels and samples."""
        return tuple(self.samples.shape)

    @property
    def ndim(self) -> int:
        """Number of axes: 2."""
        return self.samples.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of a sample."""
        return np.asarray(self).dtype

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.samples.shape[0]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.shape[-1] / self.sample_rate

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
        if is_stem_mp4(path):
            raise UsageError(
                f"{one_line(path)}: a .stem.mp4 holds a song and its stems: "
                'Separator.separate writes it with `format="stem.mp4"`'
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


def as_audio(mixture: Audio | Tensor | npt.NDArray[Any], sample_rate: int | None = None) -> Audio:
    """Return a copy of samples as float32 in this process's memory.

    Parameters
    ----------
    mixture : Audio, Tensor or ndarray ``[channels, samples]``
        Floating-point samples of 1 to 8 channels; never changed.
    sample_rate : int, optional
        In hertz; needed for arrays.

    Raises
    ------
    UsageError
        It is something else, empty, or holds NaN or infinite samples; no sample rate, or two.
    """
    rate = mixture.sample_rate if isinstance(mixture, Audio) else sample_rate
    if rate is None:
        raise UsageError("arrays do not know their sample rate: `sample_rate` says it, in hertz")
    if sample_rate not in (None, rate):
        raise UsageError(f"the audio is at {rate} Hz, `sample_rate` says {sample_rate}")
    if not float(rate).is_integer() or rate <= 0:
        raise UsageError(f"`sample_rate` is a whole number of hertz above 0, not {rate}")
    samples = mixture.samples if isinstance(mixture, Audio) else mixture
    if isinstance(samples, Tensor):
        samples = samples.detach().cpu()
        array = (samples.float() if samples.is_floating_point() else samples).numpy()
    else:
        array = np.asarray(samples)
    if not np.issubdtype(array.dtype, np.floating):
        raise UsageError(
            f"a mixture holds floating-point samples, full scale ±1, not {array.dtype}"
        )
    if array.ndim != 2 or not 1 <= array.shape[0] <= MAX_CHANNELS or array.shape[1] == 0:
        raise UsageError(
            f"a mixture is [channels, samples] with 1 to 8 channels, not {list(array.shape)}"
        )
    # A copy: PyTorch wants neither negative strides nor memory that it may not write to.
    with np.errstate(over="ignore"):  # becomes infinite, which is found next
        copied = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(copied).all():
        raise UsageError("the mixture holds NaN or infinite samples")
    return Audio(torch.from_numpy(copied), int(rate))


def load_audio(
    path: str | Path,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    stream: int | None = None,
) -> Audio:
    """Read a file, or an excerpt of it, into memory.

    Parameters
    ----------
    path : str or Path
        Any audio or video file.
    start_s, duration_s : float
        The excerpt in seconds; None reads to the end.
    stream : int, optional
        Which sound track of the file; by default the file's default one.

    Returns
    -------
    Audio
        At the file's own rate and channel count.

    Raises
    ------
    UsageError
        An excerpt that cannot be.
    AudioReadError
        The file cannot be read, or ends before the excerpt.

    Warns
    -----
    UserWarning
        Something of the file is damaged or missing.

    Examples
    --------
    >>> chorus = load_audio("song.mp3", start_s=60, duration_s=20)  # doctest: +SKIP
    """
    with open_audio(path, start_s=start_s, duration_s=duration_s, stream=stream) as reader:
        blocks = list(reader.blocks())
        for warning in reader.warnings:
            warnings.warn(warning, stacklevel=2)
        samples = torch.from_numpy(np.concatenate(blocks, axis=1))
        return Audio(samples, reader.sample_rate, is_lossy(Path(path)))


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
