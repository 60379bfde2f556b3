"""Speed without another pitch, and pitch without another speed, for streams of any length.

The tempo is changed by Signalsmith Stretch, a phase vocoder that keeps transients and locks the
phases of all channels to each other. The pitch is changed by resampling, which is exact, and by
the tempo in the other direction: the library's own transposition is off by up to 40 cents in the
bass.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.audio.conversion import Conversion
from partita.errors import UsageError

Samples = npt.NDArray[np.float32]

#: The library processes a piece as a whole. Pieces are short enough for flat memory: so many
#: seconds of one channel, but not fewer seconds of all.
_PIECE_CHANNEL_SECONDS, _SHORTEST_PIECE_S = 240.0, 30.0
_OVERLAP_S = 5.0
_MARGIN_S = 0.2  # at the ends of a piece, where the library lacks context
_FADE_S = 0.04
_SEED = 0
_MOST_A_PASS = 2.0  # beyond, the library's phases are random: two passes sound better
_SAME = 1e-9
_FLOOR = 1e-3  # of the mean level: below, nobody hears a difference


def require_stretch() -> Any:
    """Import the library.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        from python_stretch.Signalsmith import Stretch
    except ImportError:
        raise UsageError(
            "`speed` and `pitch` need the extra mix: pip install 'partita[mix]'"
        ) from None
    return Stretch


class SpeedPitch:
    """A stream on its way to another speed and pitch.

    Of ``n`` samples in all, exactly ``round(n / speed)`` come out, and what is at sample ``p`` is
    at ``p / speed`` afterwards. All channels are changed together: stems that are stacked as
    channels add up to the changed mixture.

    Parameters
    ----------
    sample_rate : int
        In hertz.
    channels : int
    speed : float
        Above 1 is faster.
    semitones : float
        Upwards.

    Raises
    ------
    UsageError
        The library is not installed.

    Notes
    -----
    The library has no state between calls, so that a stream of more than two minutes (of two
    channels) is cut into pieces. Neighbours overlap by 5 s; within these, they are crossfaded in
    the 40 ms in which they differ least.
    """

    def __init__(
        self, sample_rate: int, channels: int, *, speed: float = 1.0, semitones: float = 0.0
    ) -> None:
        self._stretch = require_stretch()
        self._rate, self._channels, self._speed = sample_rate, channels, speed
        ratio = math.exp2(semitones / 12.0)
        self._resampling = Conversion(sample_rate * ratio, sample_rate)
        self._tempo = speed / ratio
        piece_s = max(_SHORTEST_PIECE_S, _PIECE_CHANNEL_SECONDS / channels)
        self._piece, self._overlap = round(piece_s * sample_rate), round(_OVERLAP_S * sample_rate)
        self._read = self._written = 0
        self._held: list[Samples] = []  # resampled blocks of the next piece
        self._start = 0  # its first sample in the resampled stream
        self._tail: Samples | None = None  # of the result: all from `_tail_start` on
        self._tail_start = 0

    def push(self, block: Samples, last: bool = False) -> Samples:
        """Return what a further block completes.

        Parameters
        ----------
        block : ndarray ``[channels, samples]``
        last : bool
            The stream ends with this block, which may be empty.

        Returns
        -------
        ndarray ``[channels, samples]``
        """
        self._read += block.shape[1]
        block = self._resampling.push(block, last)
        if abs(self._tempo - 1.0) < _SAME:
            return self._counted(block, last)
        self._held.append(block)
        done = [np.zeros((self._channels, 0), np.float32)]
        while (held := sum(each.shape[1] for each in self._held)) >= self._piece:
            piece, step = np.concatenate(self._held, axis=1), self._piece - self._overlap
            self._held = [piece[:, step:].copy()]
            done.append(self._join(self._changed(piece[:, : self._piece])))
            self._start += step
        if last:
            if self._tail is None or held > self._overlap:
                done.append(self._join(self._changed(np.concatenate(self._held, axis=1))))
            assert self._tail is not None
            done.append(self._tail)
        return self._counted(np.concatenate(done, axis=1), last)

    def _counted(self, block: Samples, last: bool) -> Samples:
        """Bring the whole stream to its exact length, by a sample more or less."""
        if last:
            wanted = round(self._read / self._speed) - self._written
            block = block[:, : max(0, wanted)]
            block = np.pad(block, ((0, 0), (0, max(0, wanted - block.shape[1]))))
        self._written += block.shape[1]
        return block

    def _changed(self, piece: Samples) -> Samples:
        """Change the tempo of ``[C, T]`` to ``[C, about T / tempo]``."""
        passes = max(1, math.ceil(abs(math.log(self._tempo, _MOST_A_PASS)) - _SAME))
        length = max(1, self._out(self._start + piece.shape[1]) - self._out(self._start))
        passes = passes if piece.shape[1] else 0
        for left in range(passes, 0, -1):
            # The rest of the way in equal steps.
            factor = (piece.shape[1] / length) ** (1 / left)
            piece = self._one_pass(piece, factor)
        return piece

    def _one_pass(self, piece: Samples, tempo: float) -> Samples:
        stretch = self._stretch(_SEED)
        stretch.preset(self._channels, float(self._rate))
        stretch.setTimeFactor(tempo)
        short = max(0, stretch.blockSamples() - piece.shape[1])
        length = math.ceil(piece.shape[1] / tempo)
        padded = np.pad(piece, ((0, 0), (0, short))) if short else piece
        # It reads memory in order, whatever the strides are.
        changed: Samples = stretch.process(np.ascontiguousarray(padded))
        return changed[:, :length]

    def _out(self, position: int) -> int:
        """Return where a sample of the resampled stream is in the result."""
        return round(position / self._tempo)

    def _join(self, piece: Samples) -> Samples:
        """Take a changed piece; return what is before the place where it takes over."""
        start = self._out(self._start)
        if self._tail is None:
            self._tail, self._tail_start = piece, start
            return piece[:, :0]
        before, old = np.split(self._tail, [start - self._tail_start], axis=1)
        both = min(old.shape[1], piece.shape[1])
        fade = min(round(_FADE_S * self._rate), both)
        margin = min(round(_MARGIN_S * self._rate), (both - fade) // 2)
        inner = slice(margin, both - margin)
        at = margin + _most_alike(old[:, inner], piece[:, inner], fade)
        rising = np.linspace(0.0, 1.0, fade, dtype=np.float32)
        mixed = old[:, at : at + fade] * (1 - rising) + piece[:, at : at + fade] * rising
        self._tail, self._tail_start = piece[:, at + fade :], start + at + fade
        return np.concatenate([before, old[:, :at], mixed], axis=1)


def _most_alike(one: Samples, other: Samples, length: int) -> int:
    """Return where so many samples of two signals ``[C, T]`` differ least, for their level."""
    error = np.square(one - other).sum(axis=0, dtype=np.float64)
    level = (np.square(one) + np.square(other)).sum(axis=0, dtype=np.float64)
    errors, levels = _sums(error, length), _sums(level, length)
    floor = _FLOOR * float(levels.mean()) + np.finfo(np.float64).tiny
    return int(np.argmin(errors / (levels + floor)))


def _sums(values: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.float64]:
    """Return the sums of all runs of so many values."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    sums: npt.NDArray[np.float64] = total[length:] - total[:-length]
    return sums
