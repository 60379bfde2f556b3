"""The folder of a page: models, ONNX Runtime and the page's own files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from partita._version import __version__
from partita.errors import UsageError, one_line, write_error
from partita.export.export import Progress
from partita.export.web.fitting import check_models
from partita.export.web.notices import parts_of
from partita.export.web.runtime import runtime_files
from partita.export.web.site import site_files
from partita.files import exists, whole_file
from partita.models._protocol import SeparationModel
from partita.weights.chain import taken_stem
from partita.weights.identity import NamedModel
from partita.weights.licences import licence_text
from partita.weights.plan import ChainPlan, ModelPlan
from partita.weights.store import load_model

_FACTS = "model.json"
_INDEX = "index.html"
_SPECTRA = "spectra.onnx"
_VERSION = "partita"  # the key that only pages have


@dataclass(frozen=True)
class WebPage:
    """A page that was written.

    Attributes
    ----------
    folder : Path
    files : int
    size : int
        Of all files, in bytes; a browser loads most of it before the first song.
    """

    folder: Path
    files: int
    size: int


def export_page(plan: ModelPlan, folder: Path, *, progress: Progress | None = None) -> WebPage:
    """Write a page that separates songs in the browser, without a server that computes.

    Parameters
    ----------
    plan : ModelPlan
        Of a model or a chain. All of its models have one sample rate, two channels and windows.
    folder : Path
        New, empty, or that of an earlier page, whose files are replaced one by one; other files
        in it stay.
    progress : callable, optional
        Called with the name of each model before it is exported.

    Raises
    ------
    UsageError
        The model cannot run in the page, onnx is not installed, or the folder holds other files.
    WeightsError
        Weights or ONNX Runtime cannot be fetched, or are damaged.
    AudioWriteError
        A file cannot be written.
    """
    members = _members(plan)
    _check_folder(folder)
    models = [load_model(member).eval() for member, _ in members]
    check_models(models)
    graphs, spectra = _graphs([member.name for member, _ in members], models, progress)
    runtime = runtime_files()
    facts = _facts(plan, models, [taken for _, taken in members], graphs)
    weights = {_graph_file(number): graph for number, (graph, _) in enumerate(graphs, start=1)}
    loaded = sum(map(len, [*weights.values(), *runtime.values()]))
    files = {
        **weights,
        **runtime,
        _SPECTRA: spectra,
        _FACTS: json.dumps(facts, indent=1).encode(),
        **site_files(_about(plan, loaded), parts_of(member for member, _ in members)),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The page last: it names the others.
        for file in sorted(files, key=lambda file: file == _INDEX):
            with whole_file(folder / file) as partial:
                partial.write_bytes(files[file])
    except OSError as error:
        raise write_error(folder, error) from error
    return WebPage(folder, len(files), sum(map(len, files.values())))


def _members(plan: ModelPlan) -> list[tuple[NamedModel, str | None]]:
    """Return the models of a plan, and the stem that each takes of those before it."""
    root = plan.root
    parts = root.parts if isinstance(root, ChainPlan) else (root,)
    members: list[tuple[NamedModel, str | None]] = []
    for number, part in enumerate(parts):
        if not isinstance(part, NamedModel):
            raise UsageError(
                f"{one_line(plan.name)} averages several models: the page runs one model or a chain"
            )
        if part.exported is not None:
            raise UsageError(
                f"{one_line(part.name)} is exported already: name the model that it was made of"
            )
        taken = None
        if number and isinstance(root, ChainPlan):
            taken = taken_stem(root.links[number], root.beginning(number).sources)
        members.append((part, taken))
    return members


def _check_folder(folder: Path) -> None:
    try:
        is_free = not exists(folder) or _is_page(folder) or not any(folder.iterdir())
    except OSError as error:
        raise write_error(folder, error) from error
    if not is_free:
        raise UsageError(
            f"{one_line(folder)} holds other files than those of a page: name a new folder"
        )


def _is_page(folder: Path) -> bool:
    try:
        facts = json.loads((folder / _FACTS).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and _VERSION in facts


def _graphs(
    names: Iterable[str], models: Iterable[SeparationModel], progress: Progress | None
) -> tuple[list[tuple[bytes, int]], bytes]:
    """Return graph and least samples of each model, and the graph of spectra."""
    try:
        from partita.export.web.graphs import model_graph, spectra_graph
    except ImportError as error:
        raise UsageError("pages need ONNX: pip install 'partita[onnx]'") from error
    graphs = []
    for name, model in zip(names, models, strict=True):
        if progress is not None:
            progress(name)
        graphs.append(model_graph(model))
    return graphs, spectra_graph()


def _graph_file(number: int) -> str:
    return f"model-{number}.onnx"


def _facts(
    plan: ModelPlan,
    models: Sequence[SeparationModel],
    taken: Iterable[str | None],
    graphs: Iterable[tuple[bytes, int]],
) -> dict[str, object]:
    """Return what ``worker.js`` knows of the models."""
    members = []
    for number, parts in enumerate(zip(models, taken, graphs, strict=True), start=1):
        model, stem, (graph, least) = parts
        assert model.window is not None
        sizes = {name: getattr(model.window, name) for name in ("length", "overlap", "step")}
        members.append(
            {
                "file": _graph_file(number),
                "bytes": len(graph),
                "sources": list(model.sources),
                "window": {**sizes, "least": least},
                "taken": stem,
            }
        )
    return {
        _VERSION: __version__,
        "name": plan.label,
        "licence": None if plan.licence is None else plan.licence.text,
        "sampleRate": models[0].sample_rate,
        "sources": list(plan.sources),
        "spectra": _SPECTRA,
        "members": members,
    }


def _about(plan: ModelPlan, loaded: int) -> str:
    text = f"{plan.label}: {', '.join(plan.sources)}. "
    text += f"With the first song the page loads {round(loaded / 1e6)} MB of its own."
    return text if plan.licence is None else f"{text} Licence: {licence_text(plan.licence)}."
