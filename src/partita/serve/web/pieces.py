"""Signals in pieces for the page's player, made when they are asked for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

from partita.audio.reader import open_audio
from partita.errors import AudioReadError
from partita.reports.page.coding import page_coding, pieces
from partita.serve.library import NotFoundError

#: Pieces are that much quieter: loud songs have peaks beyond full scale, which FLAC cannot hold.
HEADROOM = 4.0
_MARGIN_S = 0.1  # for the filters of another sample rate


def piece(path: Path, sample_rate: int, number: int) -> bytes:
    """Return a piece of a signal as FLAC, for `scripts/engine.js`.

    Parameters
    ----------
    path : Path
    sample_rate : int
        Of the signal.
    number : int
        From 0.

    Raises
    ------
    NotFoundError
        The signal ends before.
    AudioReadError
    """
    coding = page_coding("flac", sample_rate)
    hop_s = coding.piece_samples / coding.sample_rate
    fade_s = coding.fade_samples / coding.sample_rate
    try:
        with open_audio(
            path, start_s=number * hop_s, duration_s=hop_s + fade_s + _MARGIN_S
        ) as reader:
            samples = next(pieces(reader.blocks(), sample_rate, coding), None)
    except AudioReadError as error:
        if "start_s" in str(error):
            samples = None
        else:
            raise
    if samples is None:
        raise NotFoundError("The song ends before.")
    quieter = np.clip(samples.T / np.float32(HEADROOM), -1.0, 1.0)
    file = io.BytesIO()
    soundfile.write(file, quieter, coding.sample_rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()
