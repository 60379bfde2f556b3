"""Excerpts of recordings at a new pitch and tempo, and adding them to a song."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partita.datasets.tracks import StemFile

Samples = npt.NDArray[np.float32]

_MARGIN_S = 0.08  # what is changed is vague at its ends
MAX_CHANNELS = 2  # what has more becomes mono


def read_excerpt(
    file: StemFile,
    begin_s: float,
    end_s: float,
    sample_rate: int,
    semitones: int = 0,
    tempo: float = 1.0,
) -> Samples:
    """Return an excerpt ``[channels, samples]`` in its new key and tempo.

    It may begin before the recording, and end after it.
    """
    import soxr
    import torch

    from partita.audio.pitch_tempo import change_pitch_and_tempo

    lead_s = max(0.0, begin_s - _MARGIN_S)
    with file.open(start_s=lead_s, duration_s=end_s + _MARGIN_S - lead_s) as reader:
        samples: Any = torch.from_numpy(np.concatenate(list(reader.blocks()), axis=1))
    rate = reader.sample_rate
    if len(samples) > MAX_CHANNELS:
        samples = samples.mean(dim=0, keepdim=True)
    changed = change_pitch_and_tempo(samples, rate, semitones, tempo).numpy()
    first = round((begin_s - lead_s) / tempo * rate)
    count = round((end_s - begin_s) / tempo * rate)
    excerpt = np.zeros((len(changed), count), np.float32)
    begin, end = max(first, 0), min(first + count, changed.shape[1])
    excerpt[:, begin - first : end - first] = changed[:, begin:end]
    if rate == sample_rate:
        return excerpt
    converted = soxr.resample(excerpt.T, rate, sample_rate, quality="HQ")
    return np.ascontiguousarray(converted.T, np.float32)


def add_faded(out: Samples, sound: Samples, start: int, fade_in: int, fade_out: int) -> None:
    """Add sound, faded at its ends, as far as it lies within the song."""
    length = sound.shape[1]
    places = np.arange(length, dtype=np.float32)
    rise = places / max(min(fade_in, length // 2), 1)
    fall = (length - places) / max(min(fade_out, length // 2), 1)
    faded = sound * np.minimum(1, np.minimum(rise, fall))
    begin, end = max(start, 0), min(start + length, out.shape[1])
    if begin < end:
        out[:, begin:end] += faded[:, begin - start : end - start]
