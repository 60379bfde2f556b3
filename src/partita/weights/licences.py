"""Licences of weights, and whether they allow commercial use. Nothing here imports PyTorch."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from partita.errors import UsageError, one_line
from partita.weights.card import Card
from partita.weights.cards import CARDS

COMMERCIAL_ONLY = "PARTITA_COMMERCIAL_ONLY"
_NO = ("", "0", "false", "no", "off")
#: SPDX identifiers of licences that allow it.
_FREE = (
    *("mit", "mit-0", "isc", "0bsd", "bsd-2-clause", "bsd-3-clause", "apache-2.0", "unlicense"),
    *("cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
)
#: Those, and others with an identifier on the Hub.
HUB_LICENCES = (*_FREE, "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0")
_USE = {True: "commercial use allowed", False: "no commercial use", None: "commercial use unknown"}


@dataclass(frozen=True)
class Licence:
    """The licence of a model, chain or ensemble.

    Attributes
    ----------
    text : str
        SPDX expression, the owner's own words, or ``unknown``; all of them for several models.
    commercial_use : bool or None
        Whether it clearly allows commercial use; None: unknown.
    """

    text: str
    commercial_use: bool | None


def joint_licence(licences: Iterable[Licence | None]) -> Licence | None:
    """Return the licence of several models together; None: nothing needs a licence."""
    found = [licence for licence in licences if licence is not None]
    if not found:
        return None
    use = _all_allow({licence.commercial_use for licence in found})
    return Licence(" AND ".join(dict.fromkeys(licence.text for licence in found)), use)


def hub_licence(stated: str) -> Licence:
    """Return the licence that a card on the Hugging Face Hub states; empty: it states none."""
    return Licence(stated or "unknown", allows_commercial_use(stated))


def licence_text(licence: Licence | Card) -> str:
    """Return a licence in words, with whether it allows commercial use."""
    text = licence.licence if isinstance(licence, Card) else licence.text
    return f"{text} ({_USE[licence.commercial_use]})"


def wants_commercial_only() -> bool:
    """Return whether PARTITA_COMMERCIAL_ONLY is set in the environment."""
    return os.environ.get(COMMERCIAL_ONLY, "").strip().lower() not in _NO


def require_commercial_use(name: str, licence: Licence | None) -> None:
    """Refuse weights whose licence does not clearly allow commercial use.

    Parameters
    ----------
    name : str
        Of the weights.
    licence : Licence or None
        None: nothing needs a licence.

    Raises
    ------
    UsageError
        The licence does not allow it, or is unknown.
    """
    if licence is not None and licence.commercial_use is not True:
        allowed = ", ".join(card.name for card in CARDS.values() if card.commercial_use)
        raise UsageError(
            f"{one_line(name)} is not clearly free for commercial use: its licence is "
            f"{licence_text(licence)}; `commercial_only` and {COMMERCIAL_ONLY} allow {allowed}"
        )


def allows_commercial_use(licence: str) -> bool | None:
    """Return whether an SPDX expression allows commercial use; None: unknown."""
    return _all_allow({_allows(name) for name in licence.lower().split(" and ")})


def _allows(identifier: str) -> bool | None:
    if identifier in _FREE:
        return True
    return False if re.fullmatch(r"cc-by-nc(-\S+)?", identifier) else None


def _all_allow(uses: Collection[bool | None]) -> bool | None:
    return False if False in uses else None if None in uses else True
