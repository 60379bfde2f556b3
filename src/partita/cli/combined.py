"""Facts about checkpoints, chains, ensembles and bags, for ``partita models show``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from partita.cli.licensing import licence_facts
from partita.errors import WeightsUnavailableError, one_line
from partita.files import exists
from partita.weights.external_checkpoints import ExternalCheckpoint
from partita.weights.identity import NamedModel
from partita.weights.plan import EnsemblePlan, ModelPlan


def checkpoint_facts(named: NamedModel) -> dict[str, Any]:
    """Return the facts of a local checkpoint, which is loaded."""
    from partita.weights.store import load_model

    file = named.file
    path = file.path if isinstance(file, ExternalCheckpoint) else file
    config = file.config if isinstance(file, ExternalCheckpoint) else None
    if path is None or not exists(path):
        raise WeightsUnavailableError(f"{one_line(named.name)}: no such checkpoint")
    model = load_model(named)
    return {
        "name": named.name,
        "model": model.registry_name,
        "sources": list(model.sources),
        "sample_rate": model.sample_rate,
        "channels": model.channels,
        "parameters": sum(each.numel() for each in model.parameters()),
        **licence_facts(named.licence),
        "bytes": path.stat().st_size,
        "path": str(path),
        **({"configuration": str(config)} if config else {}),
    }


def combined_facts(plan: ModelPlan, facts_of: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Return the facts of a chain, an ensemble or a bag without a card.

    Parameters
    ----------
    plan : ModelPlan
    facts_of : callable
        Returns the facts of one of its models by name.
    """
    weights = {}
    if isinstance(plan.root, EnsemblePlan):
        weights = {one_line(each.plan.name): list(each.weights) for each in plan.root.members}
    return {
        "name": plan.name,
        **({"members": weights} if weights else {}),
        "sources": list(plan.sources),
        **licence_facts(plan.licence),
        "parts": [facts_of(model.name) for model in plan.models],
    }
