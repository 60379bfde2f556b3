"""Conversion of FFmpeg's sample formats to float32."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_FULL_SCALE = {"s16": 1 << 15, "s16p": 1 << 15, "s32": 1 << 31, "s32p": 1 << 31}
_FLOAT = frozenset(("flt", "fltp", "dbl", "dblp"))
#: Layouts that are others in another channel order: FFmpeg 9 has one for AAC's 6.1.
_ORDER = {"6.1(back)": [0, 1, 2, 3, 6, 4, 5]}


class ToFloat:
    """Turns decoded frames into float32 arrays ``[channels, samples]``."""

    def __init__(self) -> None:
        self._shape: tuple[int, int, str] | None = None
        self._resampler: Any = None

    def __call__(self, frame: Any) -> Samples:
        """Return a decoded frame as ``[channels, samples]``, in the order of `mix_channels`."""
        samples = self._converted(frame)
        order = _ORDER.get(frame.layout.name) if len(samples) > 2 else None  # names take time
        return samples if order is None else samples[order]

    def _converted(self, frame: Any) -> Samples:
        """Return a decoded frame as ``[channels, samples]``, in its own order."""
        channels, form = frame.layout.nb_channels, frame.format.name
        # PyAV miscounts the planes of frames with eight channels.
        if channels < 8 and form == "fltp":
            return _planar(frame, channels)
        if channels < 8 and (form in _FULL_SCALE or form in _FLOAT):
            array = frame.to_ndarray()  # planar [channels, samples], packed [1, samples * channels]
            if not frame.format.is_planar:
                array = array.reshape(-1, channels).T
            samples = np.ascontiguousarray(array, np.float32)
            if form in _FULL_SCALE:
                samples *= np.float32(1 / _FULL_SCALE[form])
            return samples
        shape = (frame.sample_rate, channels, form)
        if shape != self._shape:
            self._shape, self._resampler = shape, av.AudioResampler(format="flt")
        frame.pts = None
        packed = [converted.to_ndarray() for converted in self._resampler.resample(frame)]
        joined = np.concatenate(packed, axis=1).reshape(-1, channels)
        return np.ascontiguousarray(joined.T, np.float32)


def _planar(frame: Any, channels: int) -> Samples:
    """Return a frame of planar float32, which most lossy codecs make, in one copy."""
    samples = np.empty((channels, frame.samples), np.float32)
    for row, plane in zip(samples, frame.planes, strict=False):  # padding may follow
        row[:] = np.frombuffer(plane, np.float32, frame.samples)
    return samples
