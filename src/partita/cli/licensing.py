"""The option that refuses weights whose licence does not clearly allow commercial use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from partita.weights.licences import Licence, wants_commercial_only
from partita.weights.plan import ModelPlan

CommercialOnly = Annotated[
    bool,
    typer.Option(
        "--commercial-only",
        help="Refuse weights whose licence does not clearly allow commercial use.",
    ),
]


def check_licences(plans: Iterable[ModelPlan], *, commercial_only: bool) -> None:
    """Refuse models without a clear licence, if the option or PARTITA_COMMERCIAL_ONLY is set.

    Parameters
    ----------
    plans : iterable of ModelPlan
    commercial_only : bool
        Whether the option was given.

    Raises
    ------
    UsageError
        The licence of one does not clearly allow commercial use.
    """
    if commercial_only or wants_commercial_only():
        for plan in plans:
            plan.require_commercial_use()


def licence_facts(licence: Licence | None) -> dict[str, Any]:
    """Return the JSON fields of a licence; none without a licence."""
    if licence is None:
        return {}
    return {"licence": licence.text, "commercial_use": licence.commercial_use}
