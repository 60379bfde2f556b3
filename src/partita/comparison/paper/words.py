"""Captions: data, budget, seeds, convention; what was scaled, and what cannot be compared."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from partita.comparison.paper.budgets import Budget
from partita.comparison.paper.data import PaperData
from partita.comparison.paper.entrants import PAPER_NAMES
from partita.comparison.paper.numbers import SOURCES, TRACK
from partita.comparison.results import Comparison, EntrantResult, TrainingPlan
from partita.training.recipes import DICTIONARIES, load_recipe

#: Settings that say nothing about how much was trained.
_PLAIN = frozenset({"sources", "seed"})


def caption(text: str, data: PaperData, comparison: Comparison, budget: Budget) -> str:
    """Return a caption with data, budget, seeds and convention."""
    facts = (data.words, f"budget {budget.name}", seeds(comparison), convention(comparison))
    return f"{text}. {'; '.join(facts)}."


def convention(comparison: Comparison) -> str:
    """Return how the figures were made."""
    options = comparison.options
    window = f"windows of {options.window_s:g} s" if options.window_s < math.inf else "whole tracks"
    return (
        f"ours: BSS Eval {options.version}, dB, {window}, medians over windows, then over tracks, "
        "overall the mean over sources; the paper's: museval, it does not say whether means or "
        "medians"
    )


def seeds(comparison: Comparison) -> str:
    """Return the seeds of the trainings."""
    plans = [result.entrant.training for result in comparison.results]
    found = {plan.seed for plan in plans if plan is not None and plan.seed is not None}
    if not found:
        return "nothing was trained"
    return f"{'seed' if len(found) == 1 else 'seeds'} {', '.join(sorted(found))}"


def which_track(data: PaperData) -> str:
    """Return which track the tables of one track are about."""
    if data.is_papers_track:
        return f"The one track is the paper's, {TRACK}."
    return (
        f"The data set lacks the paper's track, {TRACK}: tables of one track are about "
        f"{data.track}, the first that is scored. Other music: compare orders, not figures."
    )


def which_sources(data: PaperData) -> str:
    """Return which of the paper's sources cannot be compared; empty if all can."""
    missing = [source for source in SOURCES if source not in data.sources]
    more = [source for source in data.sources if source not in SOURCES]
    parts = []
    if missing:
        parts.append(f"The tracks have no {' and no '.join(missing)} to compare with the paper's.")
    if more:
        parts.append(f"The paper has no {' and no '.join(more)}.")
    return " ".join(parts)


def scaled(plan: TrainingPlan) -> str:
    """Return how a training differs from its recipe, which is as the paper's table says."""
    changes = list(_changes(plan))
    return ", ".join(changes) if changes else "as in the paper's table"


def _changes(plan: TrainingPlan) -> Iterator[str]:
    settings = dict(text.partition("=")[::2] for text in plan.settings)
    if plan.recipe == DICTIONARIES:
        return
    before = load_recipe(plan.recipe)
    after = before.changed(plan.settings)
    old, new = (
        {**dataclasses.asdict(recipe.training), **recipe.config} for recipe in (before, after)
    )
    for name in settings:
        if name not in _PLAIN and old.get(name) != new.get(name):
            yield f"{name} {new.get(name)} instead of {old.get(name)}"


def why_missing(result: EntrantResult) -> str:
    """Return why an entrant has no figures, or not all; empty if it has."""
    whole = result.failures.get("")
    if whole:
        return f"{result.entrant.name}: {whole}."
    return " ".join(f"{result.entrant.name}: {why}." for why in result.failures.values())


def paper_name(entrant: str) -> str:
    """Return what the paper calls an entrant, its own name if the paper does not have it."""
    return PAPER_NAMES.get(entrant, entrant)
