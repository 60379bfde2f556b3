"""The option that refuses weights whose licence does not clearly allow commercial use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from partita.weights.licences import licence_of, require_commercial_use, wants_commercial_only

CommercialOnly = Annotated[
    bool,
    typer.Option(
        "--commercial-only",
        help="Refuse weights whose licence does not clearly allow commercial use.",
    ),
]


def check_licences(models: Iterable[str], *, commercial_only: bool) -> None:
    """Refuse models, where the option or PARTITA_COMMERCIAL_ONLY asks for it.

    Parameters
    ----------
    models : iterable of str
        As for `partita.weights.plan.parse_plan`.
    commercial_only : bool
        Whether the option was given.

    Raises
    ------
    UsageError
        One does not clearly allow commercial use.
    """
    if commercial_only or wants_commercial_only():
        for model in models:
            require_commercial_use(model)


def licence_facts(name: str) -> dict[str, Any]:
    """Return what --json says of the weights' licence; nothing where there is none."""
    licence = licence_of(name)
    if licence is None:
        return {}
    return {"licence": licence.text, "commercial_use": licence.commercial_use}
