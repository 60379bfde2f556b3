"""``partita models import`` and ``remove``, and the list of imported checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partita.cli.commands import Command
from partita.cli.console import set_up_logging
from partita.cli.model_list import COMMERCIAL_USE
from partita.cli.options import Verbose
from partita.cli.terminal import terminal_columns, wrapped
from partita.errors import UsageError, one_line
from partita.weights.cards import CARDS
from partita.weights.imported_checkpoints import (
    UNKNOWN_LICENCE,
    ImportedCheckpoint,
    describe_imported,
    imported_names,
    remove_imported,
)
from partita.weights.licences import allows_commercial_use
from partita.weights.web_names import is_web_name

if TYPE_CHECKING:
    from rich.console import Console


def add_commands(app: typer.Typer) -> None:
    """Add both commands to ``partita models``."""
    app.command("import", cls=Command)(import_model)
    app.command("remove", cls=Command)(remove)


def import_model(
    files: Annotated[
        list[str],  # not of paths: addresses would lose a slash
        typer.Argument(
            metavar="FILE...",
            help="A checkpoint (.ckpt, .pth, .th, .onnx, .safetensors) or a folder that holds one, "
            "and its YAML file, unless that is beside it.",
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="Name for --model.")],
    licence: Annotated[
        str | None,
        typer.Option("--licence", help="Licence of the weights, such as MIT; unknown without it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Import a downloaded checkpoint under a name: check, convert and keep it in the cache."""
    set_up_logging(verbose=verbose, quiet=as_json)
    from partita.training.recipes import recipe_names
    from partita.weights.checkpoint_import import import_checkpoint

    for file in files:
        if is_web_name(file):
            raise UsageError(
                f"{one_line(file)} is not a local file: use it with --model, or "
                "fetch it with partita models fetch"
            )
    import_checkpoint([*map(Path, files)], name, licence=licence, taken=recipe_names())
    facts = imported_facts(name)
    if as_json:
        print(json.dumps(facts))
        return
    lines = [
        f"{name}: {facts['model']} ({', '.join(facts['sources'])}), {facts['path']}",
        f"licence: {facts['licence']}",
    ]
    if facts["licence"] == UNKNOWN_LICENCE:
        lines[1] += " (--licence states it)"
    for line in lines:
        print(wrapped(line, 4, terminal_columns()))


def remove(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names of imported checkpoints.")
    ],
) -> None:
    """Remove imported checkpoints."""
    for name in names:
        describe_imported(name)  # checks all names before removing any
    for name in dict.fromkeys(names):
        print(f"{name}: removed {remove_imported(name)}")


def imported_facts(name: str) -> dict[str, Any]:
    """Return the facts of an imported checkpoint."""
    found = describe_imported(name)
    hidden = {"hidden_by": "the card of that name"} if name in CARDS else {}
    return {
        "name": name,
        "imported": True,
        **hidden,
        "model": found.model or "unknown: the file is damaged",
        "sources": _sources(found),
        "licence": found.licence,
        "commercial_use": allows_commercial_use(found.licence),
        "bytes": found.size,
        "made_from": json.loads(found.origin) if found.origin else {},
        "path": str(found.path),
    }


def _sources(found: ImportedCheckpoint) -> list[str]:
    from partita.weights.identity import checkpoint_sources

    return list(checkpoint_sources(found.path)) if found.model else []


def print_imported(console: Console) -> None:
    """Print a table of imported checkpoints, if there are any."""
    names = imported_names()
    if not names:
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("imported by you", no_wrap=True)
    table.add_column("stems")
    table.add_column("licence")
    table.add_column("commercial", no_wrap=True)
    for facts in map(imported_facts, names):
        stems = ", ".join(facts["sources"]) or facts["model"]
        use = COMMERCIAL_USE[facts["commercial_use"]]
        hidden = " (hidden by a card)" if "hidden_by" in facts else ""
        table.add_row(facts["name"] + hidden, stems, facts["licence"], use)
    print()
    console.print(table)
