"""Export of what a name stands for: one file, or a folder of the files of its models."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from partita.errors import UsageError, one_line
from partita.models._protocol import SeparationModel
from partita.weights.exported.plan_file import write_plan
from partita.weights.exported.quantise import FLOAT32, check_kind, require_onnx
from partita.weights.exported.torch_export import export_pt2
from partita.weights.exported.write import ExportedFile, export_network
from partita.weights.identity import NamedModel
from partita.weights.plan import ModelPlan
from partita.weights.store import load_model

ONNX, PT2 = FORMATS = ("onnx", "pt2")
#: Called with the name of each model before it is exported.
Progress = Callable[[str], None]


def export_model(
    plan: ModelPlan,
    out: Path,
    *,
    format: str = ONNX,
    quantise: str = FLOAT32,
    whole: bool = False,
    progress: Progress | None = None,
) -> list[ExportedFile]:
    """Write the networks of a model, a chain or an ensemble.

    Parameters
    ----------
    plan : ModelPlan
    out : Path
        For a single model the file, whose suffix is the format's. For a chain or an ensemble a new
        or empty folder: the files of its models, and ``partita-model.json``, which combines them.
    format : str
        ``onnx`` or ``pt2``, see `export_network` and `export_pt2`.
    quantise : str
        ``float32``, ``float16`` or ``int8``: how ONNX files store weights.
    whole : bool
        Whether ONNX files hold transform and masks as well: a mixture in, estimates out. For stereo
        models with masks, and for those whose network is all of the model.
    progress : callable, optional

    Returns
    -------
    list of ExportedFile
        In the order of the models.

    Raises
    ------
    UsageError
        An option is unknown, `out` does not fit, or a model has no network.
    ModelError
        An exported network does not give what PyTorch's gives.
    WeightsError
        Weights cannot be fetched or read.
    OSError
        `out` cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(f"`format` {one_line(format)} is not one of {', '.join(FORMATS)}")
    check_kind(quantise)
    if format != ONNX and quantise != FLOAT32:
        raise UsageError("`quantise` is for ONNX files")
    if whole and format != ONNX:
        raise UsageError("`whole` is for ONNX files")
    told = progress or (lambda _name: None)
    if not isinstance(plan.root, NamedModel):
        return _into_folder(plan, out, format, quantise, whole, told)
    if out.suffix.lower() != f".{format}" or out.is_dir():
        raise UsageError(f"`out` {one_line(out)} is not the name of a file that ends in .{format}")
    out.parent.mkdir(parents=True, exist_ok=True)
    told(plan.root.name)
    return [_export(plan.root, out, format, quantise, whole)]


def _into_folder(
    plan: ModelPlan, out: Path, format: str, quantise: str, whole: bool, told: Progress
) -> list[ExportedFile]:
    """Write all files into a hidden folder, which gets its name in the end."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"`out`: {one_line(plan.name)} has several models, which need a new or empty folder; "
            f"{one_line(out)} exists"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".export.", dir=out.parent))
    try:
        files = _file_names(plan, format)
        made = []
        for named, file in files.items():
            told(named.name)
            made.append(_export(named, unfinished / file, format, quantise, whole))
        write_plan(unfinished, plan, files)
        unfinished.chmod(0o755)
        unfinished.replace(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return [
        ExportedFile(out / each.path.name, each.bytes, each.difference, each.least_samples)
        for each in made
    ]


def _file_names(plan: ModelPlan, format: str) -> Mapping[NamedModel, str]:
    """Return a file name of its own for each model."""
    names: dict[NamedModel, str] = {}
    for named in plan.models:
        name, number = f"{named.label}.{format}", 2
        while name in names.values():
            name, number = f"{named.label}-{number}.{format}", number + 1
        names[named] = name
    return names


def _export(named: NamedModel, path: Path, format: str, quantise: str, whole: bool) -> ExportedFile:
    if named.exported is not None:
        raise UsageError(f"{one_line(named.name)} is exported already")
    model: SeparationModel = load_model(named)
    if model.no_core:
        raise UsageError(f"{one_line(named.name)} cannot be exported: {model.no_core}")
    licence = named.licence
    facts: dict[str, Any] = {
        "name": named.label,
        "licence": licence.text if licence else "",
        "digest": named.digest,
    }
    if format == PT2:
        return export_pt2(model, path, **facts)
    if not whole:
        return export_network(model, path, quantise=quantise, **facts)
    require_onnx()
    from partita.export.whole import check_whole, checked_whole_graph

    check_whole(model)
    return export_network(model, path, quantise=quantise, around=checked_whole_graph, **facts)
