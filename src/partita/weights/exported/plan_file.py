"""Folders of exported models: a file that says how the ONNX files in it are combined.

Nothing here imports PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from partita.errors import WeightsCorruptError, one_line
from partita.files import write_text
from partita.weights.chain import Link, taken_stem
from partita.weights.exported.metadata import FORMAT, PLAN_FILE
from partita.weights.identity import NamedModel
from partita.weights.plan import ChainPlan, EnsemblePlan, Member, ModelPlan, Part

_MOST_BYTES = 1_000_000
_MOST_DEPTH = 8


def write_plan(folder: Path, plan: ModelPlan, files: Mapping[NamedModel, str]) -> None:
    """Write how exported models are combined.

    Parameters
    ----------
    folder : Path
    plan : ModelPlan
    files : mapping of NamedModel to str
        The name of each model's ONNX file in the folder.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    found = {"format": FORMAT, "name": plan.label, "model": _described(plan.root, files)}
    write_text(folder / PLAN_FILE, json.dumps(found, indent=2) + "\n")


def _described(part: Part, files: Mapping[NamedModel, str]) -> dict[str, Any]:
    if isinstance(part, NamedModel):
        return {"file": files[part]}
    if isinstance(part, EnsemblePlan):
        members = [
            {**_described(member.plan, files), "weights": list(member.weights)}
            for member in part.members
        ]
        return {"ensemble": members, "sources": list(part.sources)}
    parts = [_described(part.parts[0], files)]
    for number, link in enumerate(part.links[1:], start=1):
        stem = taken_stem(link, part.beginning(number).sources)
        parts.append({**_described(part.parts[number], files), "separates": stem})
    return {"chain": parts}


def read_plan(path: Path, model: Callable[[str], NamedModel]) -> Part:
    """Return what a folder of exported models stands for.

    Parameters
    ----------
    path : Path
        As `plan_file` returns it.
    model : callable
        Returns the model of an ONNX file by its path.

    Raises
    ------
    WeightsCorruptError
        The file is damaged, of another version, or names files outside the folder.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        found = json.loads(path.read_bytes())
        if found["format"] != FORMAT:
            raise ValueError("another version of partita exported it: export it again")
        return _part(path.parent, found["model"], model, 0)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise WeightsCorruptError(
            f"{one_line(path)}: not a folder of exported models ({one_line(error)})"
        ) from error


def _part(
    folder: Path, found: Mapping[str, Any], model: Callable[[str], NamedModel], depth: int
) -> Part:
    if depth > _MOST_DEPTH:
        raise ValueError("it is nested too deeply")
    if "file" in found:
        return model(str(folder / _inside(found["file"])))
    if "ensemble" in found:
        members = tuple(
            Member(_part(folder, each, model, depth + 1), tuple(map(float, each["weights"])))
            for each in _several(found["ensemble"])
        )
        return EnsemblePlan(str(folder), members, tuple(map(str, found["sources"])), is_file=True)
    each = _several(found["chain"])
    parts = tuple(_part(folder, one, model, depth + 1) for one in each)
    links = tuple(
        Link(part.name, str(one["separates"]) if number else None)
        for number, (part, one) in enumerate(zip(parts, each, strict=True))
    )
    return ChainPlan(parts, links)


def _inside(name: Any) -> str:
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ValueError(f"it names {one_line(str(name)[:100])}, which is not in the folder")
    return name


def _several(found: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError("its models are not a list")
    if len(found) < 2:
        raise ValueError("it combines fewer than two models")
    return found
