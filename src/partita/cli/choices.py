"""Which weights to take: by what was measured, and by what their licences allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean

from partita.weights.card import Card
from partita.weights.cards import DEFAULT_MODEL, get_card
from partita.weights.measured import MEASURED

_LICENCES = {True: "", None: "licence unclear", False: "no commercial use"}


def best_model() -> Card:
    """Return the card that separates the default's stems best, of those that were measured."""
    stems = set(get_card(DEFAULT_MODEL).sources)
    return _best({
        name: fmean(found.sdr.values()) for name, found in MEASURED.items()
        if set(found.sdr) == stems
    })  # fmt: skip


def choices() -> Iterable[tuple[str, str]]:
    """Yield what somebody wants, and what to take for it."""
    yield "fast, free for any use", f"{DEFAULT_MODEL} (the default)"
    if better := better_stems():
        yield "best four stems", better
    vocals = {
        name: found.two_stems["vocals"] for name, found in MEASURED.items() if found.two_stems
    }
    if vocals:
        best = _best(vocals)
        free = _best({name: sdr for name, sdr in vocals.items() if get_card(name).commercial_use})
        yield (
            "vocals only",
            f"--two-stems vocals --model {_said(best)}; free for any use: --model {free.name}",
        )


def better_stems() -> str:
    """Return what gives better stems than the default, and its restriction; empty: nothing does."""
    best = best_model()
    return "" if best.name == DEFAULT_MODEL else f"--model {_said(best)}"


def _best(sdrs: Mapping[str, float]) -> Card:
    """Return the card of the highest figure; of equal ones, the fastest."""
    return max(map(get_card, sdrs), key=lambda card: (sdrs[card.name], card.speed))


def _said(card: Card) -> str:
    said = _LICENCES[card.commercial_use]
    return f"{card.name} ({said})" if said else card.name
