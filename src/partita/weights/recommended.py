"""Which weights separate best, by this project's own scores."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from partita.weights.card import Card
from partita.weights.cards import DEFAULT_MODEL, get_card
from partita.weights.measured import MEASURED


def best_model() -> Card:
    """Return the measured card with the highest mean SDR on the stems of the default."""
    stems = set(get_card(DEFAULT_MODEL).sources)
    return best_of({
        name: fmean(found.sdr.values()) for name, found in MEASURED.items()
        if set(found.sdr) == stems
    })  # fmt: skip


def best_of(sdrs: Mapping[str, float]) -> Card:
    """Return the card with the highest score; the fastest of equal ones."""
    return max(map(get_card, sdrs), key=lambda card: (sdrs[card.name], card.speed))
