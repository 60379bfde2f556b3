"""Which weights to choose, by measured scores and licences."""

from __future__ import annotations

from collections.abc import Iterable

from partita.weights.card import Card
from partita.weights.cards import DEFAULT_MODEL, get_card
from partita.weights.measured import MEASURED
from partita.weights.recommended import best_model, best_of

_LICENCES = {True: "", None: "licence unclear", False: "no commercial use"}


def recommendations() -> Iterable[tuple[str, str]]:
    """Yield purposes and the weights for each."""
    yield "fast, free for any use", f"{DEFAULT_MODEL} (the default)"
    if better := better_weights():
        yield "best four stems", better
    vocals = {
        name: found.two_stems["vocals"] for name, found in MEASURED.items() if found.two_stems
    }
    if vocals:
        best = best_of(vocals)
        free = best_of({name: sdr for name, sdr in vocals.items() if get_card(name).commercial_use})
        yield (
            "vocals only",
            f"--two-stems vocals --model {_with_restriction(best)}; "
            f"free for any use: --model {free.name}",
        )


def better_weights() -> str:
    """Return better weights than the default, with their restriction; empty: none."""
    best = best_model()
    return "" if best.name == DEFAULT_MODEL else f"--model {_with_restriction(best)}"


def _with_restriction(card: Card) -> str:
    restriction = _LICENCES[card.commercial_use]
    return f"{card.name} ({restriction})" if restriction else card.name
