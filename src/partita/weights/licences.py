"""What the licences of weights allow. Nothing here imports PyTorch."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from partita.errors import UsageError, WeightsCorruptError, one_line
from partita.weights.card import Card
from partita.weights.cards import CARDS, get_card
from partita.weights.external_checkpoints import external_checkpoint
from partita.weights.own_checkpoints import own_checkpoint
from partita.weights.plan import parse_plan, plan_models
from partita.weights.safetensors_header import read_header
from partita.weights.web_models import stated_licence
from partita.weights.web_names import is_web_name

COMMERCIAL_ONLY = "PARTITA_COMMERCIAL_ONLY"
_NO = ("", "0", "false", "no", "off")
#: SPDX identifiers of licences that allow it.
_FREE = (
    *("mit", "mit-0", "isc", "0bsd", "bsd-2-clause", "bsd-3-clause", "apache-2.0", "unlicense"),
    *("cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
)
#: Those and others that the Hub has identifiers of.
HUB_LICENCES = (*_FREE, "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0")
_USE = {True: "commercial use allowed", False: "no commercial use", None: "commercial use unknown"}


@dataclass(frozen=True)
class Licence:
    """What is known of the licence of a model, chain or ensemble.

    Attributes
    ----------
    text : str
        SPDX expression, what the owner says in words, or ``unknown``; of several models, all
        of them.
    commercial_use : bool or None
        Whether all of it clearly allows commercial use; None: unknown.
    """

    text: str
    commercial_use: bool | None


def licence_of(name: str) -> Licence | None:
    """Return the licence of what a name stands for; None: there is nothing to license.

    Checkpoints of one's own are left out: their licence is for their owner to say. Imported ones
    have the licence that was stated then, repositories of the Hub what their cards state. Nothing
    is known of other programs' checkpoints.

    Parameters
    ----------
    name : str
        As for `partita.weights.plan.parse_plan`.

    Raises
    ------
    UsageError
        As `parse_plan`; no such card.
    """
    found = [licence for _, licence in _parts(name)]
    if not found:
        return None
    use = _all_allow({licence.commercial_use for licence in found})
    return Licence(" AND ".join(dict.fromkeys(licence.text for licence in found)), use)


def hub_licence(stated: str) -> Licence:
    """Return what a licence that a card of the Hugging Face Hub states means; empty: none."""
    return Licence(stated or "unknown", allows_commercial_use(stated))


def licence_text(licence: Licence | Card) -> str:
    """Return a licence, and whether it allows commercial use, in words."""
    text = licence.licence if isinstance(licence, Card) else licence.text
    return f"{text} ({_USE[licence.commercial_use]})"


def wants_commercial_only() -> bool:
    """Tell whether PARTITA_COMMERCIAL_ONLY is set in the environment."""
    return os.environ.get(COMMERCIAL_ONLY, "").strip().lower() not in _NO


def require_commercial_use(name: str) -> None:
    """Refuse weights whose licence does not clearly allow commercial use.

    Raises
    ------
    UsageError
        The card, or one of a chain's or bag's, does not allow it, or nothing is known.
    """
    for part, licence in _parts(name):
        if licence.commercial_use is not True:
            allowed = ", ".join(card.name for card in CARDS.values() if card.commercial_use)
            raise UsageError(
                f"{one_line(part)} is not clearly free for commercial use: its licence is "
                f"{licence_text(licence)}; `commercial_only` and {COMMERCIAL_ONLY} allow {allowed}"
            )


def _parts(name: str) -> list[tuple[str, Licence]]:
    """Return what a name consists of, as far as somebody else has to license it."""
    parts = []
    for model in plan_models(parse_plan(name)):
        if is_web_name(model):
            parts.append((model, hub_licence(stated_licence(model))))
        elif external_checkpoint(model) is not None:
            parts.append((model, Licence("unknown", None)))
        elif (own := own_checkpoint(model)) is not None:
            if stated := _stated(own):
                parts.append((model, Licence(stated, allows_commercial_use(stated))))
        else:
            card = get_card(model)
            if card.has_weights:
                parts.append((card.name, Licence(card.licence, card.commercial_use)))
    return parts


def _stated(checkpoint: Path) -> str:
    """Return the licence that an imported checkpoint carries; empty: it is none, or damaged."""
    try:
        return read_header(checkpoint).metadata.get("licence", "")
    except WeightsCorruptError:  # whoever loads it says why
        return ""


def allows_commercial_use(licence: str) -> bool | None:
    """Tell by its SPDX expression whether a licence allows commercial use; None: unknown."""
    return _all_allow({_allows(name) for name in licence.lower().split(" and ")})


def _allows(identifier: str) -> bool | None:
    if identifier in _FREE:
        return True
    return False if re.fullmatch(r"cc-by-nc(-\S+)?", identifier) else None


def _all_allow(uses: Collection[bool | None]) -> bool | None:
    return False if False in uses else None if None in uses else True
