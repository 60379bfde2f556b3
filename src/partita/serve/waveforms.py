"""Waveforms for the page: the greatest samples of equal spans of time."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt


def waveform(peaks: npt.NDArray[np.float32]) -> str:
    """Return peaks, see `partita.reports.page.audio.PeakMeter`, as text.

    Returns
    -------
    str
        Base64 of bytes, in 255ths of full scale.
    """
    levels = np.rint(np.clip(peaks, 0.0, 1.0) * 255).astype(np.uint8)
    return base64.b64encode(levels.tobytes()).decode()
