"""Signals in overlapping pieces that a browser decodes one by one and joins without a click."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from partita.audio.channels import fit_channels
from partita.audio.conversion import convert_blocks
from partita.audio.encode import AvWriter
from partita.audio.formats import StemFormat
from partita.errors import UsageError

Samples = npt.NDArray[np.float32]

OPUS_RATE = 48_000
_PIECE_S = 10
_FADE_S = 0.01
#: A packet of Opus, and by how much libopus is late; both at 48 kHz.
_PACKET, _DELAY = 960, 312
#: What a piece of Opus begins early: its decoder settles before it is heard.
_OPUS_LEAD = 2 * _PACKET
_OPUS_BITRATES = {1: 80_000, 2: 128_000}
#: What every browser's audio clock can run at.
_BROWSER_RATES = (8_000, 96_000)


@dataclass(frozen=True)
class Coding:
    """How a page's audio is stored.

    Attributes
    ----------
    name : {"opus", "flac"}
        Opus takes about 1 MB per minute of stereo; FLAC is exact to 16 bits and four to six times
        as large. Safari decodes Opus in Ogg from version 18.4 on, FLAC from 11 on.
    sample_rate : int
        In hertz; that of all signals of a page.
    """

    name: Literal["opus", "flac"]
    sample_rate: int

    @property
    def piece_samples(self) -> int:
        """From the beginning of a piece to that of the next."""
        return _PIECE_S * self.sample_rate

    @property
    def fade_samples(self) -> int:
        """By how much a piece overlaps the next one, into which it is faded."""
        return round(_FADE_S * self.sample_rate)

    @property
    def lead_samples(self) -> int:
        """What a piece begins before its place; the browser leaves it out."""
        return _OPUS_LEAD if self.name == "opus" else 0

    @property
    def delay_samples(self) -> int:
        """What a decoder puts before the piece unless it heeds the file's header."""
        return _DELAY if self.name == "opus" else 0

    def for_engine(self) -> dict[str, int]:
        """Return what ``new partita.Engine`` needs to know, ready for JSON."""
        return {
            "sampleRate": self.sample_rate,
            "piece": self.piece_samples,
            "fade": self.fade_samples,
        }


def page_coding(name: str, sample_rate: int) -> Coding:
    """Return how signals of a sample rate are stored.

    Parameters
    ----------
    name : {"opus", "flac"}
        Opus has 48 kHz always, FLAC the signals' own rate where browsers can play it.
    sample_rate : int

    Raises
    ------
    UsageError
        Another name.
    """
    low, high = _BROWSER_RATES
    if name == "flac":
        return Coding("flac", sample_rate if low <= sample_rate <= high else OPUS_RATE)
    if name == "opus":
        return Coding("opus", OPUS_RATE)
    raise UsageError(f"`audio`: {name!r} is not a format of pages; opus and flac are")


def pieces(blocks: Iterable[Samples], sample_rate: int, coding: Coding) -> Iterator[Samples]:
    """Cut a signal into overlapping pieces.

    Parameters
    ----------
    blocks : iterable of ndarray ``[channels, samples]``
        More than two channels are mixed down to stereo.
    sample_rate : int
        Of the blocks.
    coding : Coding

    Yields
    ------
    ndarray ``[channels, samples]``
        From `lead_samples` before the piece's place, with silence before the signal's beginning, to
        `fade_samples` behind the place of the next. Pieces of Opus are longer, so that they fill
        their last packet: no decoder has anything to cut off there.
    """
    held: Samples | None = None
    hop, reach = coding.piece_samples, coding.piece_samples + coding.fade_samples
    wanted = coding.lead_samples + reach + _filling(coding.lead_samples + reach, coding)
    for block in convert_blocks(_at_most_stereo(blocks), sample_rate, coding.sample_rate):
        if held is None:
            held = np.zeros((len(block), coding.lead_samples), np.float32)
        held = np.concatenate([held, block], axis=1)
        while held.shape[1] >= wanted:
            yield held[:, :wanted]
            held = held[:, hop:]
    while held is not None and held.shape[1] > coding.lead_samples:
        end = min(wanted, held.shape[1])
        filled = held[:, :end]
        yield np.pad(filled, ((0, 0), (0, _filling(end, coding))))
        held = held[:, hop:]


def _at_most_stereo(blocks: Iterable[Samples]) -> Iterator[Samples]:
    for block in blocks:
        yield fit_channels(block, min(2, len(block)))


def _filling(samples: int, coding: Coding) -> int:
    return -(samples + _DELAY) % _PACKET if coding.name == "opus" else 0


def encode_piece(piece: Samples, coding: Coding, path: Path) -> bytes:
    """Return a piece as a file of its own.

    Parameters
    ----------
    piece : ndarray ``[channels, samples]``
        Of `coding.sample_rate`, within ±1.
    coding : Coding
    path : Path
        For the codec; removed before this returns.

    Raises
    ------
    AudioWriteError
        The codec failed.
    OSError
    """
    channels = len(piece)
    if coding.name == "opus":
        form = StemFormat("opus", bitrate=_OPUS_BITRATES[channels])
    else:
        form = StemFormat("flac", bits="16")
    writer = AvWriter(path, form, coding.sample_rate, [channels])
    try:
        writer.write(0, piece)
        writer.flush()
    finally:
        writer.close()
    coded = path.read_bytes()
    path.unlink()
    return coded
