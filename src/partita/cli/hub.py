"""Models on the web, and export to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from partita.cli.console import set_up_logging
from partita.cli.licensing import CommercialOnly, check_licences
from partita.errors import PartitaError, one_line
from partita.weights.licences import hub_licence
from partita.weights.resolve import resolve
from partita.weights.web_models import fetch_web_model, pinned_model
from partita.weights.web_names import web_name
from partita.weights.web_pins import web_folder


def fetch_named(name: str, *, accept_changed: bool) -> None:
    """Fetch a model from the web, load it to verify it, and print its path."""
    from partita.weights.store import load_model

    pin = fetch_web_model(name, accept_changed=accept_changed)
    load_model(name)
    print(f"{one_line(name)}: {_path(name, pin.files[0].filename)}")


def web_facts(name: str) -> dict[str, Any]:
    """Return the facts of a model on the web; it is fetched if it is not cached."""
    from partita.weights.identity import NamedModel

    pin = pinned_model(name)
    licence = hub_licence(pin.licence)
    return {
        "name": pin.name,
        "sources": list(NamedModel(name).sources),
        "licence": licence.text,
        "commercial_use": licence.commercial_use,
        "licence_evidence": "the repository's card" if pin.licence else "not stated",
        "origin": {file.filename: file.address for file in pin.files},
        "size": {file.filename: f"{file.size:,} bytes" for file in pin.files},
        "sha256": {file.filename: file.sha256 for file in pin.files},
        **({"commit": pin.revision} if pin.revision else {}),
        "fetched": pin.fetched,
        "cached_at": str(_path(name, pin.files[0].filename)),
    }


def _path(name: str, filename: str) -> Path:
    found = web_name(name)
    assert found is not None
    return web_folder(found) / filename


def export(
    name: Annotated[
        str, typer.Argument(help="Name of weights, a checkpoint, or the folder of a training.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="New or empty folder.")],
    commercial_only: CommercialOnly = False,
) -> None:
    """Write a model as a folder for the Hugging Face Hub: safetensors, config.json, card."""
    set_up_logging(verbose=False, quiet=False)
    plan = resolve(name)
    check_licences([plan], commercial_only=commercial_only)
    from partita.weights.hub_export import export_folder
    from partita.weights.store import load_model

    model = load_model(plan.require_one())
    try:
        export_folder(out, model, name=plan.label, licence=plan.licence)
    except OSError as error:
        raise PartitaError(f"{one_line(out)} cannot be written ({error.strerror})") from error
    print(f"{one_line(name)}: {one_line(out)}")
