"""Seconds of a separation that are worth listening to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from partita.evaluation.quality.meter import REST, Shares

_DROP_DB = 8.0  # below the stem's median
_HEARD_DB = -20.0  # relative to the stem's mean power
_CLIPPED_SAMPLES = 10
_OFTEN = 0.2  # of all seconds
_MISSING_DB = -6.0  # of the mixture, in no stem
_COMPLETE_DB = -15.0  # stems that leave more than that over are not meant to be all
_LEAST_DB = -50.0  # quieter seconds of the mixture are pauses

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Suspect:
    """Some seconds in which a stem is probably worse than in the rest of the song.

    Attributes
    ----------
    stem : str
        Empty: all stems.
    start_s, end_s : float
        From the start of the stems' files.
    reason : str
        In plain words.
    drop_db : float or None
        By how much the implied SDR is below its median.
    """

    stem: str
    start_s: float
    end_s: float
    reason: str
    drop_db: float | None = None


def find_suspects(shares: Shares) -> tuple[Suspect, ...]:
    """Return suspect seconds, in the order of time.

    Notes
    -----
    A stem is suspect in seconds in which the SDR that it implies (see `QualityMeter`) is 8 dB below
    its median, while it is heard. Seconds are suspect for all stems where the mixture is clipped,
    or where half of it by amplitude is in no stem though elsewhere the stems add up.
    """
    found = [*_bleeding(shares), *_clipped(shares), *_missing(shares)]
    return tuple(sorted(found, key=lambda suspect: (suspect.start_s, suspect.stem)))


def _bleeding(shares: Shares) -> Iterator[Suspect]:
    for index, (stem, implied) in enumerate(
        zip(shares.stems, shares.implied_by_second_db().T, strict=True)
    ):
        power = shares.power[:, index]
        heard = power > power.mean() * 10 ** (_HEARD_DB / 10)
        if not heard.any():
            continue
        with np.errstate(invalid="ignore"):  # infinite where it shares no bin
            drops = np.median(implied[heard]) - implied
        for start, end in _runs(heard & (drops >= _DROP_DB)):
            with_others = shares.shared[start:end, index].sum(axis=0)
            with_others[index] = 0
            other = (*shares.stems, REST)[int(with_others.argmax())]
            reason = "part of it may be in no stem" if other == REST else f"bleed from {other}"
            drop_db = float(drops[start:end].max())
            yield Suspect(stem, float(start), float(end), reason, drop_db)


def _clipped(shares: Shares) -> Iterator[Suspect]:
    seconds = shares.clipped >= _CLIPPED_SAMPLES
    if seconds.mean() > _OFTEN:
        reason = f"the song is clipped in {seconds.sum()} of {len(seconds)} seconds"
        yield Suspect("", 0.0, float(len(seconds)), reason)
        return
    for start, end in _runs(seconds):
        yield Suspect("", float(start), float(end), "the song is clipped")


def _missing(shares: Shares) -> Iterator[Suspect]:
    rest, mixture = shares.power[:, -1], shares.mixture
    if rest.sum() > mixture.sum() * 10 ** (_COMPLETE_DB / 10):
        return
    plays = mixture > mixture.mean() * 10 ** (_LEAST_DB / 10)
    for start, end in _runs(plays & (rest > mixture * 10 ** (_MISSING_DB / 10))):
        yield Suspect("", float(start), float(end), "much of the song is in no stem")


def _runs(flags: Flags) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of true windows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    yield from ((int(start), int(end)) for start, end in edges.reshape(-1, 2))
