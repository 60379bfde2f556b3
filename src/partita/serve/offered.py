"""The models that clients may choose: those that a name stands for, and no path or address."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from partita.errors import UnknownNameError
from partita.weights.card import Card
from partita.weights.cards import CARDS, DEFAULT_MODEL
from partita.weights.imported_checkpoints import describe_imported, imported_names
from partita.weights.licences import allows_commercial_use, wants_commercial_only
from partita.weights.measured import MEASURED
from partita.weights.recommended import best_model
from partita.weights.resolve import part_cards, resolve


@dataclass(frozen=True)
class OfferedModel:
    """A model that can be chosen.

    Attributes
    ----------
    name, summary : str
    stems : tuple of str
    licence : str
        Of its weights; empty: it has none.
    commercial_use : bool or None
        Whether the licence clearly allows it; None: unknown.
    download_bytes : int
        What is fetched before its first use; 0: nothing.
    sdr_db : float or None
        Mean over the stems of this project's own scores.
    speed : float or None
        Seconds of music in a second on two cores; None: not measured.
    recommended : str
        Why it is recommended; empty: it is not.
    """

    name: str
    summary: str
    stems: tuple[str, ...]
    licence: str
    commercial_use: bool | None
    download_bytes: int
    sdr_db: float | None
    speed: float | None
    recommended: str


def offered_models() -> list[OfferedModel]:
    """Return the models to choose from, the recommended ones first."""
    cards = [card for card in CARDS.values() if not card.member_of and not card.input_stem]
    if wants_commercial_only():
        cards = [card for card in cards if card.commercial_use or not _has_weights(card)]
    offers = [*map(_of_card, cards), *map(_of_imported, imported_names())]
    return sorted(offers, key=lambda offer: not offer.recommended)


def check_model(name: str) -> None:
    """Check that a model is offered.

    Raises
    ------
    UnknownNameError
    """
    known = [offer.name for offer in offered_models()]
    if name not in known:
        raise UnknownNameError("model", name, known)


def _has_weights(card: Card) -> bool:
    return card.has_weights or card.has_parts


def _of_card(card: Card) -> OfferedModel:
    from partita.weights.places import is_cached

    recommended = ""
    if card.name == best_model().name:
        recommended = "best"
    if card.name == DEFAULT_MODEL:
        recommended = "fast, free for any use"
    measured = MEASURED.get(card.name)
    missing = (part for part in part_cards(card) if part.remote and not is_cached(part))
    return OfferedModel(
        name=card.name,
        summary=card.summary,
        stems=tuple(card.sources),
        licence=card.licence if _has_weights(card) else "",
        commercial_use=card.commercial_use if _has_weights(card) else True,
        download_bytes=sum(part.download_bytes for part in missing),
        sdr_db=None if measured is None else round(fmean(measured.sdr.values()), 1),
        speed=card.speed or None,
        recommended=recommended,
    )


def _of_imported(name: str) -> OfferedModel:
    found = describe_imported(name)
    return OfferedModel(
        name=name,
        summary="imported",
        stems=resolve(name).sources if found.model else (),
        licence=found.licence,
        commercial_use=allows_commercial_use(found.licence),
        download_bytes=0,
        sdr_db=None,
        speed=None,
        recommended="",
    )
