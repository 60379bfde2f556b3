"""Estimates of SDR without references, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.errors import UsageError
from partita.evaluation.quality.calibration import Calibration, load_calibration
from partita.evaluation.quality.meter import QualityMeter, Shares
from partita.evaluation.quality.suspects import Suspect, find_suspects

_BLOCK_SAMPLES = 1 << 18
_SILENT_DB = -60.0
_QUIET_DB = -20.0  # true stems are louder: 95 % of them in the calibration


@dataclass(frozen=True)
class StemQuality:
    """How good a stem is, as far as can be told without its reference.

    Attributes
    ----------
    stem : str
    sdr_db : float or None
        Estimate of the SDR of the whole song (uSDR), in dB; None: the stem is silent.
    intervals_db : mapping of int to tuple of float
        In percent, 80 and 90: lowest and highest SDR. As many stems of songs and models that the
        calibration had not seen lay within.
    implied_db : float
        What the estimate is made of: see `QualityMeter`.
    level_db : float
        Energy over the mixture's, in dB.
    is_known_stem, is_known_model : bool
        Whether the calibration has seen stems of this name, and these weights. The intervals of
        others are wider: those of stems and models that were left out of the calibration.
    """

    stem: str
    sdr_db: float | None
    intervals_db: Mapping[int, tuple[float, float]]
    implied_db: float
    level_db: float
    is_known_stem: bool
    is_known_model: bool

    @property
    def is_quiet(self) -> bool:
        """Whether so little is in it that the song may not have it at all."""
        return self.level_db < _QUIET_DB


@dataclass(frozen=True)
class Quality:
    """How good a separation is, without references.

    Attributes
    ----------
    stems : tuple of StemQuality
    suspects : tuple of Suspect
        Seconds to listen to, in the order of time.
    """

    stems: tuple[StemQuality, ...]
    suspects: tuple[Suspect, ...]


def quality_of(
    mixture: Tensor, stems: Mapping[str, Tensor], sample_rate: int, *, model: str = ""
) -> Quality:
    """Estimate the quality of stems in memory.

    Parameters
    ----------
    mixture : Tensor ``[channels, samples]``
    stems : mapping of str to Tensor ``[channels, samples]``
        By name; what they leave of the mixture counts as one more part.
    sample_rate : int
        In Hz, of all signals.
    model : str
        As for `estimate_quality`.

    Raises
    ------
    UsageError
        No stems, no samples, or shapes that differ.
    ScoresError
        NaN or infinite samples.
    """
    meter = QualityMeter(list(stems), sample_rate)
    if any(stem.shape != mixture.shape for stem in stems.values()):
        raise UsageError("stems and mixture differ in shape")
    for start in range(0, mixture.shape[-1], _BLOCK_SAMPLES):
        block = slice(start, start + _BLOCK_SAMPLES)
        meter.add(mixture[:, block], torch.stack([stem[:, block] for stem in stems.values()]))
    return estimate_quality(meter.finish(), model)


def estimate_quality(shares: Shares, model: str = "") -> Quality:
    """Estimate the SDR of each stem and find suspect seconds.

    Parameters
    ----------
    shares : Shares
        From `QualityMeter`.
    model : str
        Name of the weights that separated; empty: not known, which widens the intervals.

    Notes
    -----
    What was measured, on which songs, and where it fails: docs/research/blind_quality.md. No
    loudness changes the estimate.
    """
    figures = zip(shares.stems, shares.implied_sdr_db(), shares.level_db(), strict=True)
    stems = tuple(
        stem_quality(stem, float(implied), float(level), model) for stem, implied, level in figures
    )
    return Quality(stems, find_suspects(shares))


def stem_quality(
    stem: str,
    implied_db: float,
    level_db: float,
    model: str = "",
    *,
    calibration: Calibration | None = None,
) -> StemQuality:
    """Return the quality of one stem, from its two figures; see `estimate_quality`."""
    calibration = calibration or load_calibration()
    curve, is_known_stem = calibration.curve(stem)
    known = is_known_stem, model in calibration.models
    if math.isnan(implied_db) or not level_db > _SILENT_DB:
        return StemQuality(stem, None, {}, math.nan, level_db, *known)
    low, high = calibration.range_db
    line_db = curve.sdr_db(min(max(implied_db, low), high))
    sdr_db = line_db + calibration.models.get(model, 0.0)
    errors = curve.errors_db if model in calibration.models else curve.new_model_errors_db
    intervals = {
        percent: (sdr_db + errors[f"{tail}"], sdr_db + errors[f"{100 - tail}"])
        for percent, tail in ((80, 10), (90, 5))
    }
    return StemQuality(stem, sdr_db, intervals, implied_db, level_db, *known)
