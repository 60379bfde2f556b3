"""Changing pitch and tempo."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor

Samples = npt.NDArray[np.float32]

_MAX_STAGE = 2.0  # limits of FFmpeg's atempo: 1/2 to 2, above it skips samples
_RUN_OUT_S = 0.2  # of appended silence, because atempo ends up to 50 ms early


def change_pitch_and_tempo(
    audio: Tensor, sample_rate: int, semitones: float, tempo: float
) -> Tensor:
    """Change the pitch of audio, its tempo, or both.

    Channels are changed together: their phases stay aligned, and stems that are stacked as channels
    add up to the changed mixture.

    Parameters
    ----------
    audio : Tensor ``[channels, samples]``
        float32, on the CPU; any number of channels.
    sample_rate : int
        In hertz.
    semitones : float
        Upwards; 0 leaves the pitch.
    tempo : float
        Above 1 is faster; 1 leaves the tempo.

    Returns
    -------
    Tensor ``[channels, round(samples / tempo)]``
        `audio` itself if nothing changes.

    Notes
    -----
    The tempo is changed with FFmpeg's ``atempo`` (WSOLA), whose times are exact to some hundredths
    of a second (0.06 s at half the tempo); the pitch by resampling, and atempo in the other
    direction.
    """
    if semitones == 0 and tempo == 1:
        return audio
    length = round(audio.shape[1] / tempo)
    speed = 2.0 ** (semitones / 12)
    # Called in prefetching threads: NumPy uses no further threads.
    run_out = round(_RUN_OUT_S * sample_rate * max(1.0, tempo))
    samples = np.pad(audio.numpy(), ((0, 0), (0, run_out)))  # [C, T + run_out]
    if speed != 1:
        samples = _play_at_speed(samples, sample_rate, speed)
    if tempo != speed:
        samples = _change_tempo(samples, sample_rate, tempo / speed)
    changed = np.zeros((len(samples), length), np.float32)
    changed[:, : samples.shape[1]] = samples[:, :length]
    return torch.from_numpy(changed)


def _play_at_speed(samples: Samples, sample_rate: int, speed: float) -> Samples:
    """Change pitch and tempo by the same factor: ``[C, T]`` to ``[C, T / speed]``."""
    faster: Samples = soxr.resample(
        np.ascontiguousarray(samples.T), sample_rate * speed, sample_rate, quality="HQ"
    )
    return np.ascontiguousarray(faster.T)


def _change_tempo(samples: Samples, sample_rate: int, tempo: float) -> Samples:
    """Change the tempo only: ``[C, T]`` to ``[C, about T / tempo]``."""
    channels = len(samples)
    layout = f"{channels} channels"  # a layout without names allows any number
    graph = av.filter.Graph()
    graph.threads = 1
    nodes: list[Any] = [
        graph.add_abuffer(
            sample_rate=sample_rate,
            format="flt",
            layout=layout,
            time_base=Fraction(1, sample_rate),
        )
    ]
    stages = max(1, math.ceil(abs(math.log(tempo, _MAX_STAGE))))
    nodes += [graph.add("atempo", repr(tempo ** (1 / stages))) for _ in range(stages)]
    nodes.append(graph.add("abuffersink"))
    graph.link_nodes(*nodes).configure()
    packed: Any = np.ascontiguousarray(samples.T).reshape(1, -1)  # [1, T * C]
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate, frame.time_base, frame.pts = sample_rate, Fraction(1, sample_rate), 0
    graph.push(frame)
    graph.push(None)
    blocks = [block.reshape(-1, channels) for block in _pull(graph)]
    return np.ascontiguousarray(np.concatenate(blocks).T)


def _pull(graph: Any) -> Iterator[Samples]:
    while True:
        try:
            frame = graph.pull()
        except av.EOFError:
            return
        yield frame.to_ndarray()
