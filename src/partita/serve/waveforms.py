"""Waveforms for the page: the greatest samples of equal spans of time."""

from __future__ import annotations

import base64

import numpy as np

from partita.reports.page.audio import Source, measure


def waveform(source: Source) -> tuple[str, int]:
    """Return the waveform of a signal, and its length in samples.

    Returns
    -------
    str
        Base64 of bytes: the greatest absolute samples of at most
        `partita.reports.page.audio.COLUMNS` spans of time, in 255ths of full scale.
    int

    Raises
    ------
    AudioReadError
    """
    peaks, samples, _ = measure(source)
    levels = np.rint(np.clip(peaks, 0.0, 1.0) * 255).astype(np.uint8)
    return base64.b64encode(levels.tobytes()).decode(), samples
