"""A piece of audio in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from partita.audio.formats import stem_format
from partita.audio.reader import MAX_CHANNELS, open_audio
from partita.audio.stem_writer import StemWriter
from partita.audio.tags import Tags
from partita.errors import UsageError


@dataclass(frozen=True, eq=False)
class Audio:
    """Samples and their rate.

    Attributes
    ----------
    samples : Tensor ``[channels, samples]``
        float32, full scale at ±1.
    sample_rate : int
        In hertz.
    """

    samples: Tensor
    sample_rate: int

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
        stream: int = 0,
    ) -> Self:
        """Read a whole file, or an excerpt of it, into memory.

        Parameters and errors are those of `partita.audio.reader.open_audio`.
        """
        with open_audio(path, start_s=start_s, duration_s=duration_s, stream=stream) as reader:
            blocks = list(reader.blocks())
            return cls(torch.from_numpy(np.concatenate(blocks, axis=1)), reader.sample_rate)

    def save(self, path: str | Path, *, bits: str = "16", bitrate: str | None = None) -> float:
        """Write the audio; the extension names the format.

        Parameters
        ----------
        path : str or Path
            ``.wav``, ``.flac``, ``.mp3``, ``.ogg``, ``.opus`` or ``.m4a``.
        bits, bitrate : str
            As for `partita.audio.formats.stem_format`.

        Returns
        -------
        float
            The gain in dB, 0 or negative, that was needed to keep the peak below full scale;
            always 0 with ``bits="float"``.

        Raises
        ------
        UsageError
            The format does not exist.
        AudioWriteError
            The file cannot be written.
        """
        path = Path(path)
        form = stem_format(path.suffix.lstrip(".").lower(), bits, bitrate)
        samples = self.samples.detach().cpu().float().numpy()
        if samples.ndim != 2 or not 1 <= len(samples) <= MAX_CHANNELS:
            shape = list(samples.shape)
            raise UsageError(f"audio is [channels, samples] with 1 to 8 channels, not {shape}")
        with StemWriter(
            {"audio": path},
            form,
            sample_rate=self.sample_rate,
            channels=self.channels,
            tags={"audio": Tags()},
            root=path.parent,
        ) as writer:
            writer.write(samples, samples[None])  # [channels, samples] -> [1, channels, samples]
            writer.finish()
            return writer.gain_db
