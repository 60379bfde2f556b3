"""Electronic instruments: synthesised basses, leads, pads and drums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from partita.errors import UsageError
from partita_synthesis.electronic.bass import draw_bass
from partita_synthesis.electronic.drum_machine import draw_kit, play_kit
from partita_synthesis.electronic.ensemble import draw_ensemble, play_through
from partita_synthesis.electronic.lead import draw_lead
from partita_synthesis.electronic.pad import ENSEMBLE_PADS, draw_pad
from partita_synthesis.electronic.patches import play_patch
from partita_synthesis.instruments import Instrument
from partita_synthesis.score import Part

__all__ = ["play_electronic"]

_DRAW = {"bass": draw_bass, "lead": draw_lead, "pad": draw_pad}


def play_electronic(
    part: Part,
    instrument: Instrument,
    duration_s: float,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    tuning_cents: float = 0.0,
) -> NDArray[np.float32]:
    """Play a part with one sound of a synthesiser or drum machine, drawn anew at every call.

    Parameters
    ----------
    part : Part
        Notes that begin within `duration_s` are played.
    instrument : Instrument
        Whose `synthesis` is ``"bass"``, ``"lead"``, ``"pad"`` or ``"drums"``.
    duration_s : float
        What sounds on is cut off there.
    sample_rate : int
        In hertz.
    rng : Generator
        Decides the sound, and how one note differs from the next.
    tuning_cents : float
        How far the tuning is above 440 Hz; drums have none.

    Returns
    -------
    ndarray
        float32 ``[1 or 2, round(duration_s * sample_rate)]``, some -20 dBFS RMS at full play.

    Raises
    ------
    UsageError
        None of these synthesisers plays the instrument.
    """
    if instrument.synthesis == "drums":
        kit = draw_kit(instrument.name, rng)
        return play_kit(part.notes, kit, duration_s, sample_rate, rng)
    if instrument.synthesis not in _DRAW:
        raise UsageError(
            f"{instrument.name}: no electronic instrument; "
            f"those are of the kinds {', '.join(_DRAW)}, drums"
        )
    patch = _DRAW[instrument.synthesis](instrument.name, rng)
    ensemble = draw_ensemble(rng) if _has_ensemble(instrument, rng) else None
    samples = play_patch(part.notes, patch, duration_s, sample_rate, rng, tuning_cents=tuning_cents)
    return samples if ensemble is None else play_through(samples, sample_rate, ensemble)


def _has_ensemble(instrument: Instrument, rng: np.random.Generator) -> bool:
    return instrument.name in ENSEMBLE_PADS and rng.random() < 0.7
