"""``partita models``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from partita.cli.combined import checkpoint_facts, combined_facts
from partita.cli.commands import Command
from partita.cli.console import ProgressDisplay, set_up_logging
from partita.cli.hub import export, fetch_named, web_facts
from partita.cli.imported import add_commands, imported_facts, print_imported
from partita.cli.licensing import CommercialOnly, check_licences
from partita.cli.model_list import COMMERCIAL_USE
from partita.cli.options import Verbose
from partita.cli.terminal import terminal_columns, wrapped
from partita.errors import UnknownNameError, one_line
from partita.weights.aliases import own_name
from partita.weights.card import Card
from partita.weights.cards import CARDS, LISTER
from partita.weights.external_checkpoints import ExternalCheckpoint
from partita.weights.identity import NamedModel
from partita.weights.imported_checkpoints import imported_checkpoint, imported_names
from partita.weights.measured import CONVENTION, MEASURED, MEMORY_GB, SONGS
from partita.weights.resolve import part_cards, resolve
from partita.weights.web_names import is_web_name

app = typer.Typer(
    help="List, describe, fetch, import and export weights; list recipes.",
    invoke_without_command=True,
)

_JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def models(context: typer.Context) -> None:
    """List, describe, fetch, import and export weights; list recipes."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list", cls=Command)
def list_models(as_json: _JsonFlag = False) -> None:
    """List all weights and all training recipes."""
    if as_json:
        facts = [*map(_facts, CARDS.values()), *map(imported_facts, imported_names())]
        facts += map(_recipe_facts, _recipes())
        print(json.dumps(facts, indent=2))
        return
    from rich.console import Console

    from partita.cli.model_list import print_cards, print_recommendations

    console = Console(markup=False, highlight=False)
    print_cards([card for card in CARDS.values() if not card.member_of], console)
    print_imported(console)
    recipes = f"Recipes for partita train: {', '.join(_recipes())}."
    print(f"\n{wrapped(recipes, 2, terminal_columns())}\n")
    print_recommendations(console)


@app.command("show", cls=Command)
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of weights or of a recipe, a checkpoint, a chain or an ensemble."
        ),
    ],
    as_json: _JsonFlag = False,
) -> None:
    """Print all facts about weights, a checkpoint, a chain, an ensemble or a recipe."""
    name = own_name(name)
    is_recipe = name not in CARDS and name in _recipes()
    facts = _recipe_facts(name) if is_recipe else _named_facts(name)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    parts = facts.pop("parts", [])
    _print_facts(facts)
    for part in parts:
        print()
        _print_facts(part)


def _named_facts(name: str) -> dict[str, Any]:
    """Return the facts of weights, a checkpoint, a chain or an ensemble."""
    if name in CARDS:
        return _facts(CARDS[name])
    if imported_checkpoint(name) is not None:
        return imported_facts(name)
    plan = resolve(name)
    if not isinstance(plan.root, NamedModel):
        return combined_facts(plan, _named_facts)
    if is_web_name(name):
        return web_facts(name)
    if plan.root.file is not None:
        return checkpoint_facts(plan.root)
    known = [*CARDS, *imported_names(), *_recipes()]
    raise UnknownNameError("model or recipe", name, known, LISTER)


def _print_facts(facts: dict[str, Any]) -> None:
    width, columns = max(map(len, facts)), terminal_columns()
    for key, value in facts.items():
        for number, line in enumerate(_lines(value)):
            label = "" if number else key.replace("_", " ")
            print(wrapped(f"{label:<{width}}  {line}", width + 2, columns))


@app.command("fetch", cls=Command)
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of weights.")],
    accept_changed: Annotated[
        bool,
        typer.Option(
            "--accept-changed",
            help="Accept models on the web that have changed since they were fetched.",
        ),
    ] = False,
    commercial_only: CommercialOnly = False,
    verbose: Verbose = False,
) -> None:
    """Download and verify weights, so that separating needs no network."""
    set_up_logging(verbose=verbose, quiet=False)
    plans = [resolve(name) for name in names]
    check_licences(plans, commercial_only=commercial_only)
    models = dict.fromkeys(model for plan in plans for model in plan.models)  # each once
    on_web = [model.name for model in models if is_web_name(model.name)]
    others = [model for model in models if not is_web_name(model.name)]
    here = [model for model in others if model.file is not None]
    cards = [model.card for model in others if model.file is None]
    from partita.weights.places import example_path, weights_path
    from partita.weights.store import fetch as fetch_weights
    from partita.weights.store import load_model

    for model in here:
        load_model(model)
        path = model.file.path if isinstance(model.file, ExternalCheckpoint) else model.file
        print(f"{one_line(model.name)}: {one_line(path)}")
    for name in on_web:
        fetch_named(name, accept_changed=accept_changed)
    for card in cards:
        if not card.has_weights:
            print(f"{card.name}: has no weights: nothing to fetch")
            continue
        if card.remote:
            with ProgressDisplay(enabled=True) as display:
                fetch_weights(card, progress=display.count(card.name, is_named=True))
        load_model(card.name)  # verifies them
        print(f"{card.name}: {weights_path(card)}")
        if card.example is not None and example_path(card).exists():
            print(f"{card.name}: example song {example_path(card)}")


add_commands(app)


app.command("export", cls=Command)(export)


def _recipes() -> list[str]:
    from partita.training.recipes import recipe_names

    return recipe_names()


def _recipe_facts(name: str) -> dict[str, Any]:
    from partita.training.recipes import recipe_facts

    facts = recipe_facts(name)
    return {"recipe": facts.pop("name"), **facts}


def _facts(card: Card) -> dict[str, Any]:
    from partita.weights.places import is_cached, weights_path

    facts = {key: value for key, value in asdict(card).items() if value not in ("", None, {})}
    facts.pop("published_in", None)  # part of the scores
    if not card.speed:
        del facts["speed"]
    facts.pop("bundled", None)
    facts.pop("remote")
    facts["sources"] = list(card.sources)
    facts |= _scores(card)
    if card.name in MEMORY_GB:
        facts["memory_gb"] = MEMORY_GB[card.name]
    facts.pop("config_in_file")
    if facts.pop("members", None):
        facts["members"] = {each.model: list(each.weights) for each in card.members}
    if card.has_parts:
        del facts["config"]
        return {**facts, "parts": [_facts(part) for part in part_cards(card)]}
    if not card.has_weights:
        for key in ("download_bytes", "licence"):
            del facts[key]
        return {**facts, "weights": "none needed"}
    facts["commercial_use"] = card.commercial_use  # None (unknown) included
    path = str(weights_path(card))
    if card.bundled is not None:
        del facts["download_bytes"]
        return {**facts, "origin": card.bundled.origin, "path": path}
    origins, digests = [], []
    for source in card.remote:
        origins.append(_one_or_all({name: file.origin for name, file in source.files.items()}))
        digests.append(_one_or_all({name: file.digest for name, file in source.files.items()}))
    facts["origin"] = origins[0] if len(origins) == 1 else origins
    are_same = all(digest == digests[0] for digest in digests)
    facts["sha256"] = digests[0] if are_same else digests
    return {**facts, "cached_at": path if is_cached(card) else "not cached"}


def _scores(card: Card) -> dict[str, Any]:
    """Return published and measured scores, each with its convention."""
    found: dict[str, Any] = {}
    if card.published:
        found["published"] = {
            "SDR": dict(card.published),
            "convention": f"{CONVENTION}, test songs of MUSDB18",
            "in": card.published_in,
        }
    if card.name in MEASURED:
        measured = asdict(MEASURED[card.name])
        caveat = measured.pop("caveat")
        found["measured"] = {
            "SDR": measured.pop("sdr"),
            "uSDR": measured.pop("usdr"),
            **{key: value for key, value in measured.items() if value not in ({}, None)},
            "scored_together": list(MEASURED[card.name].sdr),
            "convention": CONVENTION,
            "songs": list(SONGS),
            **({"caveat": caveat} if caveat else {}),
        }
    return found


def _one_or_all(values: dict[str, str]) -> str | dict[str, str]:
    return next(iter(values.values())) if len(values) == 1 else values


def _lines(value: object) -> list[str]:
    """Return the printed lines of a fact."""
    if isinstance(value, dict):
        return [f"{key}: {', '.join(_lines(item))}" for key, item in value.items()]
    if isinstance(value, list):
        return [", ".join(map(str, value))]
    if isinstance(value, bool | None):
        return [COMMERCIAL_USE[value]]
    return [str(value)]
