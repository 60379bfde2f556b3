"""Placing decoded frames by their timestamps, with silence in the gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from partita.audio.conversion import convert_blocks

Samples = npt.NDArray[np.float32]

#: Timestamps that jump ahead by more are broken; the longer limit is for files that state such a
#: length.
_MAX_GAP_S, _MAX_STATED_GAP_S = 600.0, 3600.0
#: Timestamps that go back by more than this restart.
_RESTART_S = 1.0
#: Gaps of this length are filled, between neighbours or by accumulated drift.
_MIN_GAP_S, _FRAME_GAP_S, _DRIFT_S = 0.008, 0.05, 0.1
#: Timestamps less exact than this are not rounding errors.
_MAX_TICK_S = 0.002
_SILENCE_SAMPLES = 1 << 16
#: Resamplers want no more than so much before they give what an excerpt ends with.
_SINGLE_S = 0.5


class Frame(NamedTuple):
    """Decoded samples with their timestamp.

    Attributes
    ----------
    samples : ndarray ``[channels, samples]``
    rate : int
        In hertz.
    stamp_s : float or None
        When the frame begins, in seconds from the beginning of the file; None: behind the last one.
    tick_s : float
        Resolution of the timestamp.
    lost : bool
        Whether something before the frame could not be decoded.
    lost_s : float
        Stated duration of that; used if there is no timestamp.
    """

    samples: Samples
    rate: int
    stamp_s: float | None
    tick_s: float = 0.0
    lost: bool = False
    lost_s: float = 0.0

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        count: int = self.samples.shape[1]
        return count / self.rate


@dataclass
class Timeline:
    """Turns frames into pieces without gaps.

    Attributes
    ----------
    end_s : float or None
        Stated end of the file: gaps up to it are trusted.
    may_begin_late : bool
        Whether silence at the beginning is intended, under a video.
    position_s : float
        When the next piece begins.
    silences : list of (float, float)
        Times of gaps that were filled with silence.
    ignored : list of float
        Times of timestamps that were ignored.
    """

    end_s: float | None = None
    may_begin_late: bool = False
    position_s: float = 0.0
    silences: list[tuple[float, float]] = field(default_factory=list)
    ignored: list[float] = field(default_factory=list)
    _shift_s: float = 0.0
    _stamped_end_s: float | None = None

    def pieces(self, frames: Iterator[Frame]) -> Iterator[tuple[Samples, int]]:
        """Yield ``(samples, rate)``, with silence in gaps."""
        frame = next(frames, None)
        while frame is not None:
            following = next(frames, None)
            gap_s = self._gap_s(frame, following)
            if gap_s > 0:
                if self.position_s > 0 or frame.lost or not self.may_begin_late:
                    self._note(self.position_s, self.position_s + gap_s)
                yield from silence(len(frame.samples), round(gap_s * frame.rate), frame.rate)
                self.position_s += gap_s
            yield frame.samples, frame.rate
            self.position_s += frame.length_s
            frame = following

    def fill_to(self, end_s: float, channels: int, rate: int) -> Iterator[tuple[Samples, int]]:
        """Yield silence up to `end_s`, if the end could not be decoded."""
        missing = round((end_s - self.position_s) * rate)
        if missing > 0:
            self._note(self.position_s, end_s)
            self.position_s = end_s
            yield from silence(channels, missing, rate)

    def _gap_s(self, frame: Frame, following: Frame | None) -> float:
        """Return the length of the silence in front of a frame."""
        if frame.stamp_s is None:
            self._stamped_end_s = None
            return frame.lost_s
        stamp_s = frame.stamp_s + self._shift_s
        gap_s = stamp_s - self.position_s
        jump_s = gap_s if self._stamped_end_s is None else frame.stamp_s - self._stamped_end_s
        self._stamped_end_s = frame.stamp_s + frame.length_s
        if gap_s < -_RESTART_S:
            self._shift_s -= gap_s
            return 0.0
        if not frame.lost and gap_s <= _MIN_GAP_S:  # nearly all frames
            return 0.0
        if frame.lost:  # sums of lengths have rounding errors
            least_s = drift_s = max(1.5 * frame.tick_s, 1.5 / frame.rate)
        else:
            least_s = max(2 * frame.tick_s, _MIN_GAP_S, min(frame.length_s / 2, _FRAME_GAP_S))
            drift_s = _DRIFT_S
        if gap_s <= least_s or (jump_s <= least_s and gap_s <= drift_s):
            return 0.0
        if not self._is_credible(frame, following, gap_s):
            self.ignored.append(self.position_s)
            self._shift_s -= gap_s
            return 0.0
        return gap_s

    def _is_credible(self, frame: Frame, following: Frame | None, gap_s: float) -> bool:
        """Return whether a jump is a pause: the next frame agrees, and the file is long enough."""
        if following is not None and following.stamp_s is not None and frame.stamp_s is not None:
            step_s = following.stamp_s - frame.stamp_s
            if step_s < -_FRAME_GAP_S:
                return False
        if self.end_s is not None and self.position_s + gap_s <= self.end_s + _RESTART_S:
            return gap_s <= _MAX_STATED_GAP_S
        return gap_s <= _MAX_GAP_S

    def _note(self, start_s: float, end_s: float) -> None:
        if self.silences and start_s - self.silences[-1][1] < _FRAME_GAP_S:
            start_s, _ = self.silences.pop()
        self.silences.append((start_s, end_s))


def counted_s(first: Frame, found: Frame) -> float | None:
    """Return when a frame begins; more exact than its timestamp if all frames are of one length."""
    if first.stamp_s is None or found.stamp_s is None:
        return None
    end_s = first.stamp_s + first.length_s
    counted = end_s + round((found.stamp_s - end_s) / found.length_s) * found.length_s
    is_rounded = abs(counted - found.stamp_s) <= found.tick_s <= _MAX_TICK_S
    return counted if is_rounded else found.stamp_s


def ending_at(end_s: float, frames: Sequence[Frame]) -> Iterator[Frame]:
    """Yield frames behind a loss with timestamps such that the last one ends at `end_s`."""
    stamp_s = end_s - sum(frame.length_s for frame in frames)
    for frame in frames:
        yield frame._replace(stamp_s=stamp_s, tick_s=0.0, lost=True)
        stamp_s += frame.length_s


def silence(channels: int, samples: int, rate: int) -> Iterator[tuple[Samples, int]]:
    """Yield silence in pieces, which save memory."""
    while samples > 0:
        count = min(samples, _SILENCE_SAMPLES)
        yield np.zeros((channels, count), np.float32), rate
        samples -= count


def gathered(
    pieces: Iterator[tuple[Samples, int]], samples: int, wanted_s: float | None
) -> Iterator[tuple[Samples, int]]:
    """Join neighbours of one sample rate and channel count, which are too short to convert singly.

    Parameters
    ----------
    pieces : iterator of (ndarray ``[channels, samples]``, int)
    samples : int
        Joined pieces have a multiple of these.
    wanted_s : float or None
        Near that time and later nothing is joined, so that nothing is decoded in vain; None: all
        is wanted.
    """
    held: list[Samples] = []
    count, own_rate, position_s = 0, 0, 0.0
    for piece, rate in pieces:
        if held and (rate != own_rate or len(piece) != len(held[0])):
            yield np.concatenate(held, axis=1), own_rate
            held, count = [], 0
        held.append(piece)
        own_rate = rate
        count += piece.shape[1]
        position_s += piece.shape[1] / rate
        is_near_end = wanted_s is not None and position_s >= wanted_s - _SINGLE_S
        if count >= samples or is_near_end:
            joined = np.concatenate(held, axis=1)
            whole = count if is_near_end else count - count % samples
            yield joined[:, :whole], rate
            held, count = [joined[:, whole:]] if whole < count else [], count - whole
    if held:
        yield np.concatenate(held, axis=1), own_rate


def uniform(pieces: Iterator[tuple[Samples, int]], channels: int, rate: int) -> Iterator[Samples]:
    """Convert pieces to one channel count and sample rate: ``[channels, samples]``."""
    for own_rate, run in groupby(pieces, key=lambda piece: piece[1]):
        yield from convert_blocks((samples for samples, _ in run), own_rate, rate, channels)


def trimmed(blocks: Iterator[Samples], skip: int, limit: int | None) -> Iterator[Samples]:
    """Cut off the first `skip` samples, and all behind the `limit` samples after these."""
    for block in blocks:
        used = block[:, min(max(skip, 0), block.shape[1]) :]
        skip -= block.shape[1]
        if limit is not None:
            used = used[:, :limit]
            limit -= used.shape[1]
        if used.shape[1]:
            yield used
        if limit == 0:
            return


def describe_spans(spans: list[tuple[float, float]], most: int = 5) -> str:
    """Return "1.702 s to 1.795 s, 3.000 s to 4.500 s and 2 more places"."""
    told = ", ".join(f"{start_s:.3f} s to {end_s:.3f} s" for start_s, end_s in spans[:most])
    more = len(spans) - most
    return f"{told} and {more} more places" if more > 0 else told
