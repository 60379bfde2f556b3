"""Which weights to choose, by measured scores and licences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean

from partita.weights.card import Card
from partita.weights.cards import DEFAULT_MODEL, get_card
from partita.weights.measured import MEASURED

_LICENCES = {True: "", None: "licence unclear", False: "no commercial use"}


def best_model() -> Card:
    """Return the measured card with the highest mean SDR on the stems of the default."""
    stems = set(get_card(DEFAULT_MODEL).sources)
    return _best({
        name: fmean(found.sdr.values()) for name, found in MEASURED.items()
        if set(found.sdr) == stems
    })  # fmt: skip


def recommendations() -> Iterable[tuple[str, str]]:
    """Yield purposes and the weights for each."""
    yield "fast, free for any use", f"{DEFAULT_MODEL} (the default)"
    if better := better_weights():
        yield "best four stems", better
    vocals = {
        name: found.two_stems["vocals"] for name, found in MEASURED.items() if found.two_stems
    }
    if vocals:
        best = _best(vocals)
        free = _best({name: sdr for name, sdr in vocals.items() if get_card(name).commercial_use})
        yield (
            "vocals only",
            f"--two-stems vocals --model {_with_restriction(best)}; "
            f"free for any use: --model {free.name}",
        )


def better_weights() -> str:
    """Return better weights than the default, with their restriction; empty: none."""
    best = best_model()
    return "" if best.name == DEFAULT_MODEL else f"--model {_with_restriction(best)}"


def _best(sdrs: Mapping[str, float]) -> Card:
    """Return the card with the highest score; the fastest of equal ones."""
    return max(map(get_card, sdrs), key=lambda card: (sdrs[card.name], card.speed))


def _with_restriction(card: Card) -> str:
    restriction = _LICENCES[card.commercial_use]
    return f"{card.name} ({restriction})" if restriction else card.name
