"""Audio in memory."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping, Sequence
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
    """Samples with their sample rate. NumPy takes it as an array ``[channels, samples]``.

    Attributes
    ----------
    samples : Tensor ``[channels, samples]``
        float32, full scale at ±1.
    sample_rate : int
        In hertz.
    is_lossy : bool
        Whether it comes from a lossy codec; evaluation rounds such references to 16 bits.
    """

    samples: Tensor
    sample_rate: int
    is_lossy: bool = False

    def __repr__(self) -> str:
        return f"Audio({self.form})"

    def _repr_html_(self) -> str | None:
        """Return a player for notebooks; None, which shows the text, of what is no audio."""
        return signals_html({"audio": self}, heading=self.form)

    @property
    def form(self) -> str:
        """Channels, duration and sample rate as text."""
        channels = "one channel" if self.channels == 1 else f"{self.channels} channels"
        return f"{channels}, {self.duration_s:.3f} s, {self.sample_rate} Hz"

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Return the samples for NumPy, without a copy if possible."""
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
        """``(channels, samples)``."""
        return tuple(self.samples.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions: 2."""
        return self.samples.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's data type of the samples."""
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
        """Write a file; its extension chooses the format.

        Audio that would clip is attenuated, with a warning. `partita.Estimates.save` writes stems
        that belong together with the same gain.

        Parameters
        ----------
        path : str or Path
            ``.wav``, ``.flac``, ``.mp3``, ``.ogg``, ``.opus`` or ``.m4a``.
        bits, bitrate : str or int, optional
            As for `partita.audio.formats.stem_format`.

        Returns
        -------
        float
            The gain in dB: 0, or negative if the audio would clip; always 0 with
            ``bits="float"``.

        Raises
        ------
        UsageError
            The format is unknown, or ``.stem.mp4``, which holds several signals.
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
                f"{one_line(path)}: the peak is {-gain_db:.2f} dB above full scale: written with "
                f"a gain of {gain_db:.2f} dB; bits='float' (wav) keeps the level, "
                "Estimates.save gives all stems of a song the same gain",
                stacklevel=2,
            )
        return gain_db


def as_audio(mixture: Audio | Tensor | npt.NDArray[Any], sample_rate: int | None = None) -> Audio:
    """Check a mixture and return a float32 copy on the CPU.

    Parameters
    ----------
    mixture : Audio, Tensor or ndarray ``[channels, samples]``
        Floating-point samples of 1 to 8 channels.
    sample_rate : int, optional
        In hertz; required for arrays and tensors.

    Raises
    ------
    UsageError
        The samples are empty, of another type or shape, NaN or infinite; the sample rate is
        missing, contradictory or not a positive integer.
    """
    rate = mixture.sample_rate if isinstance(mixture, Audio) else sample_rate
    if rate is None:
        raise UsageError("an array needs `sample_rate`, in hertz")
    if sample_rate not in (None, rate):
        raise UsageError(f"the audio is at {rate} Hz, `sample_rate` is {sample_rate}")
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
    return Audio(torch.from_numpy(copied), whole_rate(rate))


def signals_html(
    signals: Mapping[str, Audio],
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> str | None:
    """Return a player of several signals for notebooks.

    Parameters
    ----------
    signals : mapping of str to Audio
    heading, notes, start_s, duration_s
        As for `partita.audio.player.player.player_html`.

    Returns
    -------
    str or None
        HTML; None if there is nothing to play.
    """
    from partita.audio.player.player import player_html

    arrays = {
        name: (audio.samples.detach().cpu().float().numpy(), audio.sample_rate)
        for name, audio in signals.items()
    }
    shapes = [samples.shape for samples, _ in arrays.values()]
    if not all(len(shape) == 2 and 1 <= shape[0] <= MAX_CHANNELS for shape in shapes):
        return None
    try:
        return player_html(
            arrays, heading=heading, notes=notes, start_s=start_s, duration_s=duration_s
        )
    except ValueError:  # nothing there
        return None


def whole_rate(sample_rate: object) -> int:
    """Return a sample rate as int, whatever numeric type it has.

    Raises
    ------
    UsageError
        It is not a positive integer.
    """
    if isinstance(sample_rate, numbers.Real) and not isinstance(sample_rate, bool):
        rate = float(sample_rate)
        if rate > 0 and rate.is_integer():  # neither NaN nor infinity
            return int(rate)
    raise UsageError(f"`sample_rate` must be a positive integer (hertz), not {sample_rate!r}")


def load_audio(
    path: str | Path,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    stream: int | None = None,
) -> Audio:
    """Read a file or an excerpt of it.

    Parameters
    ----------
    path : str or Path
        Audio or video file.
    start_s, duration_s : float
        Excerpt in seconds; by default the whole file.
    stream : int, optional
        Index of the sound track; by default the file's default one.

    Returns
    -------
    Audio
        With the file's sample rate and channel count.

    Raises
    ------
    UsageError
        The excerpt is invalid.
    AudioReadError
        The file cannot be read, or ends before the excerpt.

    Warns
    -----
    UserWarning
        A part of the file is damaged or missing.

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
    """Write audio of equal length with the same gain: all files or none.

    Parameters
    ----------
    files : mapping of Path to Audio
        Of one sample rate and shape.
    form : StemFormat

    Returns
    -------
    float
        The gain in dB, 0 or negative, which prevents clipping.

    Raises
    ------
    UsageError
        Shapes or sample rates differ, or cannot be written.
    AudioWriteError
        A file cannot be written.
    """
    if len({(tuple(audio.samples.shape), audio.sample_rate) for audio in files.values()}) != 1:
        raise UsageError("audio saved together needs one length, channel count and rate")
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
