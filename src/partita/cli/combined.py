"""What ``partita models show`` tells of checkpoints, chains, ensembles and bags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from partita.cli.licensing import licence_facts
from partita.errors import WeightsUnavailableError, one_line
from partita.files import exists
from partita.weights.external_checkpoints import external_checkpoint
from partita.weights.identity import model_sources
from partita.weights.own_checkpoints import own_checkpoint
from partita.weights.plan import (
    ChainPlan,
    EnsemblePlan,
    plan_models,
    plan_name,
    plan_sources,
)


def checkpoint_facts(name: str) -> dict[str, Any]:
    """Return what is known of a checkpoint on this machine, which is loaded for it."""
    from partita.weights.checkpoint import load_checkpoint
    from partita.weights.msst import load_external

    external, own = external_checkpoint(name), own_checkpoint(name)
    path = own if external is None else external.path
    if path is None or not exists(path):
        raise WeightsUnavailableError(f"{one_line(name)}: no such checkpoint")
    model = load_checkpoint(path) if external is None else load_external(external)
    config = external.config if external else None
    return {
        "name": name,
        "model": model.registry_name,
        "sources": list(model.sources),
        "sample_rate": model.sample_rate,
        "channels": model.channels,
        "parameters": sum(each.numel() for each in model.parameters()),
        **licence_facts(name),
        "bytes": path.stat().st_size,
        "path": str(path),
        **({"configuration": str(config)} if config else {}),
    }


def combined_facts(
    name: str, plan: ChainPlan | EnsemblePlan, facts_of: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """Return what is known of a chain, an ensemble or a bag that has no card.

    Parameters
    ----------
    name : str
    plan : ChainPlan or EnsemblePlan
        What the name stands for.
    facts_of : callable
        Returns what is known of one of its models.
    """
    weights = {}
    if isinstance(plan, EnsemblePlan):
        weights = {plan_name(each.plan): list(each.weights) for each in plan.members}
    return {
        "name": name,
        **({"members": weights} if weights else {}),
        "sources": list(plan_sources(plan, model_sources)),
        **licence_facts(name),
        "parts": [facts_of(model) for model in plan_models(plan)],
    }
