"""Signals in pieces for the page's player, made when they are asked for."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from partita.audio.reader import open_audio
from partita.errors import AudioReadError
from partita.reports.page.coding import Coding, Samples, page_coding, pieces
from partita.serve.library import NotFoundError

#: Pieces are that much quieter: loud songs have peaks beyond full scale, which FLAC cannot hold.
HEADROOM = 4.0
_MARGIN_S = 0.1
_PAST_END = "The song ends before."


def song_piece(path: Path, sample_rate: int, number: int) -> bytes:
    """Return a piece of any audio file as FLAC, for ``scripts/engine.js``.

    Parameters
    ----------
    path : Path
    sample_rate : int
        Of the file.
    number : int
        From 0.

    Raises
    ------
    NotFoundError
        The signal ends before.
    AudioReadError
    """
    coding = page_coding("flac", sample_rate)
    start_s, duration_s = _span(coding, number)
    try:
        with open_audio(path, start_s=start_s, duration_s=duration_s) as reader:
            return _encoded(reader.blocks(), sample_rate, coding)
    except AudioReadError as error:
        if "start_s" in str(error):
            raise NotFoundError(_PAST_END) from None
        raise


def stem_piece(path: Path, sample_rate: int, number: int) -> bytes:
    """Return a piece of a stem: as `song_piece`, but faster, for files that partita has written."""
    coding = page_coding("flac", sample_rate)
    start_s, duration_s = _span(coding, number)
    with soundfile.SoundFile(path) as file:
        start = round(start_s * sample_rate)
        if start >= file.frames:
            raise NotFoundError(_PAST_END)
        file.seek(start)
        samples = file.read(round(duration_s * sample_rate), dtype="float32", always_2d=True)
    return _encoded([samples.T], sample_rate, coding)


def _span(coding: Coding, number: int) -> tuple[float, float]:
    """Return start and length of a piece, with what the filters of another sample rate need."""
    rate = coding.sample_rate
    length_s = (coding.piece_samples + coding.fade_samples) / rate
    return number * coding.piece_samples / rate, length_s + _MARGIN_S


def _encoded(blocks: Iterable[Samples], sample_rate: int, coding: Coding) -> bytes:
    samples = next(pieces(blocks, sample_rate, coding), None)
    if samples is None:
        raise NotFoundError(_PAST_END)
    quieter = np.clip(samples.T / np.float32(HEADROOM), -1.0, 1.0)
    file = io.BytesIO()
    soundfile.write(file, quieter, coding.sample_rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()
