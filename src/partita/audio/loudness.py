"""Loudness of a stream by ITU-R BS.1770, in flat memory."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
import numpy.typing as npt

from partita.audio.encode import LAYOUTS

Samples = npt.NDArray[np.float32]

_NOTHING_LUFS = -70.0  # the absolute gate: what is softer does not count
_WAITS = (av.BlockingIOError, av.EOFError)


class LoudnessMeter:
    """Measures the integrated loudness and the true peak of a stream with FFmpeg's ``ebur128``.

    Parameters
    ----------
    sample_rate : int
        In hertz.
    channels : int
        1 to 8.

    Attributes
    ----------
    loudness_lufs : float
        Of all blocks so far; ``-inf`` where nothing is loud or long enough (0.4 s).
    true_peak : float
        Largest magnitude between the samples as well, full scale 1.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._rate, self._layout = sample_rate, LAYOUTS[channels - 1]
        self._samples = 0
        self.loudness_lufs, self.true_peak = -math.inf, 0.0
        time_base = Fraction(1, sample_rate)
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        source = self._graph.add_abuffer(
            sample_rate=sample_rate, format="flt", layout=self._layout, time_base=time_base
        )
        meter = self._graph.add("ebur128", "metadata=1:peak=true")
        self._graph.link_nodes(source, meter, self._graph.add("abuffersink")).configure()

    def push(self, block: Samples, last: bool = False) -> None:
        """Add a block ``[channels, samples]``; `last`: the stream ends with it."""
        if block.size:
            packed: Any = np.ascontiguousarray(block.T).reshape(1, -1)  # [1, samples * channels]
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self._layout)
            frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
            frame.pts = self._samples
            self._samples += block.shape[1]
            self.true_peak = max(self.true_peak, float(np.abs(block).max()))
            self._graph.push(frame)
        if last:
            self._graph.push(None)
        self._pull()

    def _pull(self) -> None:
        while True:
            try:
                facts = self._graph.pull().metadata
            except _WAITS:
                return
            if "lavfi.r128.I" not in facts:  # less than a tenth of a second
                continue
            loudness = float(facts["lavfi.r128.I"])
            self.loudness_lufs = loudness if loudness > _NOTHING_LUFS else -math.inf
            self.true_peak = max(self.true_peak, float(facts["lavfi.r128.true_peak"]))
